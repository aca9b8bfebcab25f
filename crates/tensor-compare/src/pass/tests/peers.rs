//! What other comparators have let through.

use super::{classic, f32s, statistics};
use crate::Criterion;

fn ramp(elements: u16) -> Vec<f32> {
    (0..elements).map(|value| 1.0 + f32::from(value) / 1024.0).collect()
}

#[test]
fn twelve_zeroed_values_of_twelve_thousand() {
    let expected = ramp(12_288);
    let mut actual = expected.clone();
    actual[5000..5012].fill(0.0);
    let found = statistics(&f32s(&actual), &f32s(&expected), classic(1e-4, 1e-4));
    assert_eq!(found.violations, 12);
}

#[test]
fn a_scale_error_of_four_percent() {
    let expected = ramp(1000);
    let actual: Vec<f32> = expected.iter().map(|value| value * 1.04).collect();
    let found = statistics(&f32s(&actual), &f32s(&expected), classic(1e-4, 1e-4));
    assert_eq!(found.violations, 1000);
    assert!(found.cosine.is_some_and(|cosine| cosine > 0.999_999), "the cosine does not see it");
}

#[test]
fn a_shuffled_tensor_with_the_same_mean() {
    let expected = ramp(1000);
    let actual: Vec<f32> = expected.iter().copied().rev().collect();
    assert_eq!(statistics(&f32s(&actual), &f32s(&expected), classic(1e-4, 1e-4)).violations, 1000);
}

#[test]
fn absolute_or_relative_is_not_the_bound() {
    let found = statistics(&f32s(&[1000.5, 0.5]), &f32s(&[1000.0, 0.0]), classic(1e-3, 1e-3));
    assert_eq!(found.violations, 1, "0.5 is half of rtol·1000 and 500 times atol");
    assert_eq!(found.worst[0].index, [1]);
}

#[test]
fn minus_infinity_where_a_mask_should_be() {
    let (mask, no_mask) = (f32s(&[0.0, f32::NEG_INFINITY]), f32s(&[0.0, 0.0]));
    for criterion in [classic(1e-4, 1e-4), Criterion::BitExact] {
        assert_eq!(statistics(&no_mask, &mask, criterion).violations, 1);
        assert_eq!(statistics(&mask, &no_mask, criterion).violations, 1);
        assert!(statistics(&mask, &mask, criterion).satisfied());
    }
}
