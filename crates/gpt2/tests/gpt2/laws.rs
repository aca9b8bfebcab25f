//! Laws of the forward pass and its cache, all bit for bit.

use capture::Capture;
use gpt2::cache::{Cache, ContextError};
use gpt2::{ForwardError, Gpt2, Scope};
use ndarray::{Array2, s};

use crate::cases::{TINY, bits, case, floats, model, of_step, row};

/// Activations `[B, S, …]` of every position.
const BY_POSITION: [&str; 11] = [
    "embd",
    "h.0.ln_1",
    "h.0.attn.q",
    "h.0.attn.v",
    "h.1.attn.context",
    "h.1.attn.out",
    "h.2.mid",
    "h.2.mlp.act",
    "h.2.out",
    "ln_f",
    "logits",
];

/// One activation of all positions of a batch row, steps after each other.
fn positions(capture: &Capture, steps: usize, name: &str, batch_row: usize) -> Vec<u32> {
    (0..steps).flat_map(|step| bits(&row(of_step(capture, step, name), batch_row))).collect()
}

#[test]
fn decoding_gives_the_bits_of_prefill() {
    for (model, tokens) in [(model(TINY), 17), (model("3,64,2,130,600@9"), 530)] {
        let prefill = model.run(&case(&model, 2, &[tokens])).unwrap();
        let schedules = [vec![1; tokens.min(20)], vec![tokens - 1, 1], vec![1, tokens - 1], vec![2, 3, 5, 7]];
        for schedule in schedules {
            let consumed: usize = schedule.iter().sum();
            let decoded = model.run(&case(&model, 2, &schedule)).unwrap();
            for name in BY_POSITION {
                for batch_row in 0..2 {
                    let expected = positions(&prefill, 1, name, batch_row);
                    let found = positions(&decoded, schedule.len(), name, batch_row);
                    assert_eq!(found.len() * tokens, expected.len() * consumed);
                    assert!(found == expected[..found.len()], "{name} of row {batch_row}, {schedule:?}");
                }
            }
        }
    }
}

#[test]
fn caches_of_decoding_and_prefill_are_equal() {
    let model = model(TINY);
    let prefill = model.run(&case(&model, 2, &[12])).unwrap();
    let decoded = model.run(&case(&model, 2, &[5, 1, 1, 4, 1])).unwrap();
    for l in 0..3 {
        let name = format!("h.{l}.attn.cache");
        assert_eq!(of_step(&decoded, 4, &name), of_step(&prefill, 0, &name));
    }
}

#[test]
fn rows_of_a_batch_do_not_see_each_other() {
    let model = model(TINY);
    let schedule = [6, 1, 3];
    let together = case(&model, 3, &schedule);
    let batch = model.run(&together).unwrap();
    for batch_row in 0..3 {
        let mut alone = together.clone();
        alone.token_ids = vec![together.token_ids[batch_row].clone()];
        let alone = model.run(&alone).unwrap();
        for name in BY_POSITION {
            assert_eq!(
                positions(&batch, 3, name, batch_row),
                positions(&alone, 3, name, 0),
                "{name} of row {batch_row}"
            );
        }
    }
}

#[test]
fn the_past_does_not_see_the_future() {
    let model = model(TINY);
    let original = case(&model, 1, &[10]);
    let mut changed = original.clone();
    changed.token_ids[0][6] = (changed.token_ids[0][6] + 1) % 97;
    let (original, changed) = (model.run(&original).unwrap(), model.run(&changed).unwrap());
    for name in BY_POSITION {
        let (original, changed) = (positions(&original, 1, name, 0), positions(&changed, 1, name, 0));
        let seen_before = original.len() / 10 * 6;
        assert!(original[..seen_before] == changed[..seen_before], "{name}");
        assert!(original[seen_before..] != changed[seen_before..], "{name}");
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let model = model("2,192,3,1500,96@4");
    let case = case(&model, 2, &[64, 1, 20]);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| model.run(&case)).unwrap()
    };
    let one = on(1);
    for threads in [2, 3] {
        assert!(on(threads) == one, "{threads} threads");
    }
    assert!(on(2) == one, "again");
}

fn ids(tokens: usize) -> Array2<i64> {
    Array2::from_shape_fn((1, tokens), |(_, position)| (position * 5 % 97) as i64)
}

fn forward(model: &Gpt2, ids: &Array2<i64>, cache: &mut Cache) -> Result<Vec<f32>, ForwardError> {
    let logits = model.forward(ids.view(), cache, &mut Scope::unobserved())?;
    Ok(logits.into_raw_vec_and_offset().0)
}

#[test]
fn unused_slots_are_neither_seen_nor_touched() {
    let model = model(TINY);
    let mut clean = Cache::new(&model.config, 1, 40);
    let mut poisoned = clean.clone();
    poisoned.layers.iter_mut().for_each(|layer| layer.slots.fill(f32::NAN));
    for tokens in [5, 1, 3] {
        let expected = forward(&model, &ids(tokens), &mut clean).unwrap();
        assert_eq!(forward(&model, &ids(tokens), &mut poisoned).unwrap(), expected);
    }
    for (clean, poisoned) in clean.layers.iter().zip(&poisoned.layers) {
        assert!(clean.slots.slice(s![.., .., 9.., .., ..]).iter().all(|&slot| slot == 0.0));
        assert!(clean.slots.slice(s![.., .., ..9, .., ..]).iter().all(|&slot| slot != 0.0));
        assert!(poisoned.slots.slice(s![.., .., 9.., .., ..]).iter().all(|slot| slot.is_nan()));
    }
}

#[test]
fn beyond_the_context_nothing_happens() {
    let model = model(TINY);
    let mut cache = Cache::new(&model.config, 1, 40);
    forward(&model, &ids(38), &mut cache).unwrap();
    let before = cache.clone();
    let error = forward(&model, &ids(3), &mut cache).unwrap_err();
    assert_eq!(error, ContextError { past: 38, new: 3, context: 40 }.into());
    assert!(cache.length == 38 && cache.layers.iter().zip(&before.layers).all(|(a, b)| a.slots == b.slots));
    forward(&model, &ids(2), &mut cache).unwrap();
    assert_eq!(cache.length, 40);
    assert!(forward(&model, &ids(1), &mut cache).is_err());
}

#[test]
fn a_step_that_does_not_fit_the_cache_or_the_vocabulary_is_refused() {
    let model = model(TINY);
    let mut cache = Cache::new(&model.config, 2, 40);
    let error = forward(&model, &ids(1), &mut cache).unwrap_err();
    let expected = (3, [2, 1, 40, 4, 12]);
    assert_eq!(error, ForwardError::Cache { expected, found: (3, [2, 2, 40, 4, 12]) });
    let mut shallow = Cache::new(&model.config, 1, 40);
    shallow.layers.pop();
    let error = forward(&model, &ids(1), &mut shallow).unwrap_err();
    assert_eq!(error, ForwardError::Cache { expected, found: (2, [2, 1, 40, 4, 12]) });
    assert_eq!(
        error.to_string(),
        "the cache has 2 layers of [2, 1, 40, 4, 12]; the step needs 3 of [2, 1, 40, 4, 12]"
    );
    shallow.layers.clear();
    assert!(matches!(forward(&model, &ids(1), &mut shallow), Err(ForwardError::Cache { found: (0, _), .. })));
    let mut cache = Cache::new(&model.config, 1, 40);
    let error = forward(&model, &Array2::from_elem((1, 1), 97), &mut cache).unwrap_err();
    assert_eq!(error, ForwardError::Token { token: 97, vocabulary: 97 });
    // A cache may have more slots than the model has positions.
    let mut large = Cache::new(&model.config, 1, 64);
    let error = forward(&model, &ids(41), &mut large).unwrap_err();
    assert_eq!(error, ContextError { past: 0, new: 41, context: 40 }.into());
}

#[test]
fn unobserved_logits_are_the_observed_ones() {
    let model = model(TINY);
    let case = case(&model, 2, &[11]);
    let ids = Array2::from_shape_fn((2, 11), |(row, position)| case.token_ids[row][position]);
    let logits = model.logits(ids.view()).unwrap();
    let capture = model.run(&case).unwrap();
    assert_eq!(logits.into_raw_vec_and_offset().0, floats(of_step(&capture, 0, "logits")));
}

#[test]
fn an_outlier_channel_leaves_everything_finite() {
    let model = model("3,48,4,97,40@1+outlier");
    let capture = model.run(&case(&model, 1, &[20])).unwrap();
    let stream = floats(of_step(&capture, 0, "h.2.out"));
    let largest = stream.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    assert!(largest > 10.0 && floats(of_step(&capture, 0, "logits")).iter().all(|logit| logit.is_finite()));
}
