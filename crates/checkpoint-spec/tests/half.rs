//! A subject that stores in half precision: what is required of it, what its chained run may be off, and its ties.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests look at more of a scene")]
mod support;

use capture::{Precision, Tensor};
use checkpoint_spec::{ComparisonVerdict, Mode, Reason, Verdict};
use support::{Scene, checkpoint, comparisons};

const LOGITS: &str = "step0/logits";
const LAST: &str = "step0/logits.last";
const TOKEN: &str = "step0/token";

/// Everybody computes in f32, which is a correct subject of any half precision: nothing is rounded more than it may be.
fn half(precision: Precision) -> Scene {
    let mut scene = Scene::correct();
    scene.facts.subject.precision = precision;
    scene
}

/// The tensor with its largest value multiplied by 1 + `by`.
fn scaled(tensor: &Tensor, by: f64) -> Tensor {
    let mut values = tensor.view().to_f64_lossy();
    let largest = (0..values.len()).max_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs())).unwrap();
    values[largest] *= 1.0 + by;
    let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    Tensor::from_f32(tensor.shape().dimensions(), &values).unwrap()
}

#[test]
fn every_stored_float_is_required_once_against_the_oracle() {
    let [f32, f16, bf16] =
        [Precision::F32, Precision::F16, Precision::Bf16].map(|precision| half(precision).results());
    for (of_half, of_f32) in f16.checkpoints.iter().zip(&f32.checkpoints) {
        assert_eq!(of_half.compared, of_half.required, "{}", of_half.id);
        assert!(of_half.required <= of_f32.required, "{}", of_half.id);
    }
    let required = |results: &checkpoint_spec::Results| {
        results.checkpoints.iter().map(|c| c.required).collect::<Vec<_>>()
    };
    assert_eq!(required(&f16), required(&bf16));
    let run = comparisons(&f16, LOGITS, Mode::Run);
    assert_eq!(run.iter().map(|c| c.reference.as_str()).collect::<Vec<_>>(), ["first@f64"]);
    assert_eq!(comparisons(&f32, LOGITS, Mode::Run).len(), 3, "two peers and the oracle");
}

#[test]
fn a_correct_half_subject_passes_everywhere() {
    for precision in [Precision::F16, Precision::Bf16] {
        for found in half(precision).results().checkpoints {
            assert_eq!(found.verdict, Verdict::Pass, "{precision} {}", found.id);
        }
    }
}

#[test]
fn a_chained_run_may_be_off_as_far_as_its_own_unit_takes_it() {
    // One logit off by a twentieth is far out of f16's bound, and within that of bf16, whose unit is eight times as large.
    for (precision, by, expected) in [
        (Precision::F16, 1e-3, ComparisonVerdict::Pass),
        (Precision::F16, 10.0, ComparisonVerdict::Fail),
        (Precision::Bf16, 8e-3, ComparisonVerdict::Pass),
        (Precision::Bf16, 100.0, ComparisonVerdict::Fail),
    ] {
        let mut scene = half(precision);
        let changed = scaled(scene.run().get(LOGITS), by);
        scene.run().put(LOGITS, changed);
        let results = scene.results();
        let found = &comparisons(&results, LOGITS, Mode::Run)[0];
        assert_eq!(found.verdict, expected, "{precision} × (1 + {by})");
        assert_eq!(found.reason.is_some(), expected == ComparisonVerdict::Fail);
    }
}

#[test]
fn without_a_peer_at_its_precision_a_chained_run_has_no_bound_and_does_not_pass() {
    let mut scene = half(Precision::F16);
    scene.evidence[0].references.iter_mut().for_each(|reference| reference.f32.run = None);
    let results = scene.results();
    assert_ne!(checkpoint(&results, "08").verdict, Verdict::Pass);
    assert!(comparisons(&results, LOGITS, Mode::Run).iter().all(|c| c.verdict != ComparisonVerdict::Pass));
}

#[test]
fn what_is_moved_is_stored_once() {
    for (by, expected) in [(1.0 / 2048.0, ComparisonVerdict::Pass), (4.0 / 2048.0, ComparisonVerdict::Fail)] {
        let mut scene = half(Precision::F16);
        let changed = scaled(scene.replay().get(LAST), by);
        scene.replay().put(LAST, changed);
        let found = &comparisons(&scene.results(), LAST, Mode::Replay)[0].clone();
        assert_eq!(found.verdict, expected, "off by {by}");
    }
}

#[test]
fn a_replayed_token_is_a_tie_only_where_one_store_brings_the_logits_together() {
    let good = half(Precision::F16);
    let logits = good.evidence[0].references[0].f64.replay.as_ref().unwrap().get(LAST).view().to_f64_lossy();
    let tokens = good.evidence[0].subject.replay.as_ref().unwrap().get(TOKEN).view().to_i64().unwrap();
    let vocabulary = logits.len() / tokens.len();
    let top = usize::try_from(tokens[0]).unwrap();
    let other = (top + 1) % vocabulary;
    for (apart, expected) in [(1e-4, ComparisonVerdict::Pass), (1e-1, ComparisonVerdict::Fail)] {
        let mut scene = good.clone();
        let mut near = logits.clone();
        near[other] = near[top] * (1.0 - apart);
        let shape = [tokens.len(), vocabulary];
        let oracle = Tensor::from_f64(&shape, &near).unwrap();
        scene.evidence[0].references[0].f64.replay.as_mut().unwrap().put(LAST, oracle);
        let mut flipped = tokens.clone();
        flipped[0] = i64::try_from(other).unwrap();
        scene.replay().put(TOKEN, Tensor::from_i64(&[tokens.len()], &flipped).unwrap());
        let results = scene.results();
        let found = &comparisons(&results, TOKEN, Mode::Replay)[0];
        assert_eq!(found.verdict, expected, "{apart} apart");
        assert_eq!(found.outcome.ties(), u64::from(expected == ComparisonVerdict::Pass));
        assert_eq!(found.reason == Some(Reason::Exact), expected == ComparisonVerdict::Fail);
    }
}
