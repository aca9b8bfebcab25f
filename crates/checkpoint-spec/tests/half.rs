//! A subject that stores in half precision: what is required of it, and what it may be off.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests look at more of a scene")]
mod support;

use capture::{Precision, Tensor};
use checkpoint_spec::{ComparisonVerdict, Reason, Results, Verdict};
use oracle::{HalfFormat, Replica};
use support::model::How;
use support::{Cast, Scene, checkpoint, comparisons, usual_case};

const LAST: &str = "step0/logits.last";
const GENERATED: &str = "generated.logits";

/// Everybody computes in f32, which is a correct subject of any half precision: nothing is rounded more than it may be.
fn wide(precision: Precision) -> Scene {
    let mut scene = Scene::correct();
    scene.facts.subject.precision = precision;
    scene
}

/// The subject and its peers store what they compute in half precision.
fn narrow(precision: Precision) -> Scene {
    let format = if precision == Precision::F16 { HalfFormat::F16 } else { HalfFormat::Bf16 };
    let way = |seed: u64| match How::shuffled(seed) {
        How::Replica(replica) => How::Replica(Replica { half: Some(format), ..replica }),
        other => other,
    };
    let mut cast = Cast::correct();
    (cast.subject.how, cast.references[0][0].how, cast.references[1][0].how) = (way(0), way(1), way(5));
    let mut scene = Scene::of(cast, &[usual_case()]);
    scene.facts.subject.precision = precision;
    scene
}

/// The tensor with its largest value multiplied by 1 + `by`.
fn scaled(tensor: &Tensor, by: f64) -> Tensor {
    support::model::changed(tensor, |values| {
        let largest = (0..values.len()).max_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs())).unwrap();
        values[largest] *= 1.0 + by;
    })
}

#[test]
fn as_much_is_required_of_half_precision_as_of_f32() {
    let required = |results: &Results| results.checkpoints.iter().map(|c| c.required).collect::<Vec<_>>();
    let f32 = wide(Precision::F32).results();
    for precision in [Precision::F16, Precision::Bf16] {
        let results = narrow(precision).results();
        assert_eq!(required(&results), required(&f32), "{precision}");
        for found in &results.checkpoints {
            assert_eq!(found.compared, found.required, "{precision} {}", found.id);
        }
    }
}

#[test]
fn a_correct_half_subject_passes_everywhere_whether_it_rounds_as_often_as_it_may_or_not() {
    for precision in [Precision::F16, Precision::Bf16] {
        for scene in [wide(precision), narrow(precision)] {
            for found in scene.results().checkpoints {
                assert_eq!(found.verdict, Verdict::Pass, "{precision} {}", found.id);
            }
        }
    }
}

#[test]
fn what_is_stored_in_half_precision_is_not_what_f32_may_be_off() {
    let mut scene = narrow(Precision::F16);
    scene.facts.subject.precision = Precision::F32;
    let failed = scene.results().checkpoints.iter().filter(|found| found.verdict == Verdict::Fail).count();
    assert!(failed >= 5, "{failed}");
}

#[test]
fn a_chained_run_may_be_off_as_far_as_its_own_unit_takes_it() {
    for (precision, by, expected) in [
        (Precision::F32, 1e-3, ComparisonVerdict::Fail),
        (Precision::F16, 1e-3, ComparisonVerdict::Pass),
        (Precision::F16, 1.0, ComparisonVerdict::Fail),
        (Precision::Bf16, 8e-3, ComparisonVerdict::Pass),
        (Precision::Bf16, 10.0, ComparisonVerdict::Fail),
    ] {
        let mut scene = wide(precision);
        let changed = scaled(scene.run().get(GENERATED), by);
        scene.run().put(GENERATED, changed);
        let results = scene.results();
        let [found] = comparisons(&results, GENERATED)[..] else { panic!("compared once") };
        assert_eq!(found.verdict, expected, "{precision} × (1 + {by})");
        let reason = (expected == ComparisonVerdict::Fail).then_some(Reason::Chained);
        assert_eq!(found.reason, reason);
    }
}

#[test]
fn without_a_chain_a_chained_result_has_no_bound_and_does_not_pass() {
    let mut scene = narrow(Precision::F16);
    scene.model = None;
    let results = scene.results();
    assert_ne!(checkpoint(&results, "12").verdict, Verdict::Pass);
    assert_eq!(comparisons(&results, GENERATED)[0].chained_allowed, None);
}

#[test]
fn what_is_moved_has_the_bits_of_what_was_stored() {
    for precision in [Precision::F16, Precision::Bf16] {
        let mut scene = narrow(precision);
        assert_eq!(comparisons(&scene.results(), LAST)[0].verdict, ComparisonVerdict::Pass);
        // A step of the format, which is what storing it again could not do.
        let changed = scaled(scene.run().get(LAST), 2.0 * precision.unit());
        scene.run().put(LAST, changed);
        let results = scene.results();
        let [found] = comparisons(&results, LAST)[..] else { panic!("compared once") };
        assert_eq!((found.verdict, found.reason), (ComparisonVerdict::Fail, Some(Reason::Exact)));
    }
}
