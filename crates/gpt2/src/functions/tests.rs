#![expect(clippy::float_cmp, reason = "these values are exact")]

use ndarray::{Array2, Array4, array};
use proptest::prelude::*;

use super::*;

/// u, the unit roundoff of f32.
const UNIT: f64 = 1.0 / (1 << 24) as f64;

fn softmax_of(mut row: Array1<f32>) -> Array1<f32> {
    softmax(row.view_mut());
    row
}

proptest! {
    #[test]
    fn gelu_is_the_tanh_form(x in -30.0f32..30.0) {
        let exact = f64::from(x);
        let u = (2.0 / std::f64::consts::PI).sqrt() * (exact + 0.044715 * exact.powi(3));
        let expected = 0.5 * exact * (1.0 + u.tanh());
        prop_assert!((f64::from(gelu_new(x)) - expected).abs() <= 2.0 * UNIT * exact.abs());
    }

    #[test]
    fn softmax_is_accurate_and_sums_to_one(row in proptest::collection::vec(-50.0f32..50.0, 1..200)) {
        let probs = softmax_of(row.clone().into());
        let maximum = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f64 = row.iter().map(|&x| f64::from(x - maximum).exp()).sum();
        for (&x, &p) in row.iter().zip(&probs) {
            let expected = f64::from(x - maximum).exp() / total;
            prop_assert!((f64::from(p) - expected).abs() <= 4.0 * UNIT * expected + f64::from(f32::MIN_POSITIVE));
        }
        let sum: f64 = probs.iter().map(|&p| f64::from(p)).sum();
        prop_assert!((sum - 1.0).abs() <= 1e-6);
    }

    #[test]
    fn partial_sums_hold_all_terms(row in proptest::collection::vec(-8i8..8, 0..50)) {
        let floats: Array1<f32> = row.iter().map(|&x| x.into()).collect();
        let expected: f64 = row.iter().map(|&x| f64::from(x)).sum();
        prop_assert_eq!(sum(floats.view(), |x| x), expected);
    }
}

#[test]
fn gelu_at_the_edges() {
    assert_eq!(gelu_new(0.0), 0.0);
    assert_eq!(gelu_new(1e30), 1e30);
    assert_eq!(gelu_new(-1e30), 0.0);
    assert!(gelu_new(f32::NAN).is_nan());
    // erf GELU would give 0.8413447.
    assert!((gelu_new(1.0) - 0.841_192).abs() < 1e-6);
}

#[test]
fn softmax_does_not_overflow_and_hides_nothing() {
    assert_eq!(softmax_of(array![1e30, 1e30, -1e30]), array![0.5, 0.5, 0.0]);
    assert_eq!(softmax_of(array![f32::NEG_INFINITY, 0.0]), array![0.0, 1.0]);
    assert!(softmax_of(array![0.0, f32::NAN, 1.0]).iter().all(|p| p.is_nan()));
    assert!(softmax_of(array![f32::NAN, f32::NAN]).iter().all(|p| p.is_nan()));
    assert!(softmax_of(array![0.0, f32::INFINITY]).iter().any(|p| p.is_nan()));
}

#[test]
fn argmax_takes_the_lowest_of_equals_and_shows_nan() {
    assert_eq!(argmax(array![1.0, 3.0, 3.0].view()), 1);
    assert_eq!(argmax(array![-2.0, -1.0].view()), 1);
    assert_eq!(argmax(array![0.0, -0.0].view()), 0);
    assert_eq!(argmax(array![1.0, f32::NAN, f32::INFINITY, f32::NAN].view()), 1);
    assert_eq!(greedy(array![[0.0, 1.0], [1.0, 0.0]].view()), array![1, 0]);
}

#[test]
fn probabilities_follow_the_temperature() {
    let logits = array![[0.0f32, 2.0f32.ln(), 2.0f32.ln()]];
    let probs = probabilities(logits.view(), 1.0);
    assert!((&probs - &array![[0.2, 0.4, 0.4]]).iter().all(|d| d.abs() < 1e-6), "{probs}");
    let sharper = probabilities(logits.view(), 0.5);
    assert!((&sharper - &array![[1.0 / 9.0, 4.0 / 9.0, 4.0 / 9.0]]).iter().all(|d| d.abs() < 1e-6));
    for greedy in [0.0, 0.9e-6, -1.0] {
        assert_eq!(probabilities(logits.view(), greedy), array![[0.0, 1.0, 0.0]]);
    }
    assert!(probabilities(logits.view(), f32::NAN).iter().all(|p| p.is_nan()));
}

#[test]
fn mask_lets_each_query_see_itself_and_what_came_before() {
    let blocked = f32::NEG_INFINITY;
    let mask = causal_mask(2, 1, 2);
    assert_eq!(mask, array![[[0.0, 0.0, blocked], [0.0, 0.0, 0.0]], [[0.0, 0.0, blocked], [0.0, 0.0, 0.0]]]);
}

#[test]
fn attention_of_one_head_by_hand() {
    let q = Array4::from_shape_vec((1, 2, 1, 2), vec![1.0, 0.0, 0.0, 2.0]).unwrap();
    let keys = Array4::from_shape_vec((1, 2, 1, 2), vec![1.0, 3.0, 5.0, 7.0]).unwrap();
    let scores = attention_scores(q.view(), keys.view(), 0.5);
    assert_eq!(scores.into_shape_with_order((2, 2)).unwrap(), array![[0.5, 2.5], [3.0, 7.0]]);
    let even = Array4::zeros((1, 1, 2, 2));
    let probs = attention_probs(even, causal_mask(1, 0, 2).view());
    let context = attention_context(probs.view(), keys.view());
    assert_eq!(context.into_shape_with_order((2, 2)).unwrap(), array![[1.0, 3.0], [3.0, 5.0]]);
}

#[test]
fn heads_and_rows_do_not_mix() {
    let values = Array4::from_shape_fn((2, 1, 3, 4), |(b, _, h, d)| (100 * b + 10 * h + d) as f32);
    let context = attention_context(Array4::ones((2, 3, 1, 1)).view(), values.view());
    let expected = Array2::from_shape_fn((2, 12), |(b, d)| (100 * b + 10 * (d / 4) + d % 4) as f32);
    assert_eq!(context.into_shape_with_order((2, 12)).unwrap(), expected);
}
