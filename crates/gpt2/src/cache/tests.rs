use ndarray::{Array4, s};

use super::{ContextError, LayerCache};

fn counted(batch: usize, new: usize, offset: usize) -> Array4<f32> {
    Array4::from_shape_fn((batch, new, 2, 3), |(b, s, h, d)| {
        (offset + 1000 * b + 100 * s + 10 * h + d) as f32
    })
}

#[test]
fn what_is_stored_is_retrieved_and_the_rest_stays_zero() {
    let mut cache = LayerCache::new(2, 5, 2, 3);
    assert!(cache.slots.iter().all(|&slot| slot == 0.0));
    let (keys, values) = (counted(2, 2, 1), counted(2, 2, 5000));
    cache.store(1, keys.view(), values.view()).unwrap();
    let (found_keys, found_values) = cache.retrieve(3);
    assert_eq!(found_keys.slice(s![.., 1.., .., ..]), keys);
    assert_eq!(found_values.slice(s![.., 1.., .., ..]), values);
    assert!(found_keys.is_standard_layout() && found_values.is_standard_layout());
    for unused in [0..1, 3..5] {
        assert!(cache.slots.slice(s![.., .., unused, .., ..]).iter().all(|&slot| slot == 0.0));
    }
}

#[test]
fn one_row_is_not_copied() {
    let cache = LayerCache::new(1, 5, 2, 3);
    assert!(cache.retrieve(3).0.is_view());
}

#[test]
fn beyond_the_context_nothing_is_stored() {
    let mut cache = LayerCache::new(1, 4, 2, 3);
    cache.store(0, counted(1, 3, 1).view(), counted(1, 3, 1).view()).unwrap();
    let before = cache.slots.clone();
    for (past, new) in [(3, 2), (4, 1), (0, 5), (usize::MAX, 1)] {
        let error = cache.store(past, counted(1, new, 7).view(), counted(1, new, 7).view()).unwrap_err();
        assert_eq!(error, ContextError { past, new, context: 4 });
        assert_eq!(cache.slots, before);
    }
    let error = ContextError { past: 3, new: 2, context: 4 };
    assert_eq!(
        error.to_string(),
        "2 tokens after 3 earlier ones need 5 positions; the model's context limit is 4"
    );
}
