//! Each check passes on what a correct subject hands in, and sees its fault.

#[expect(dead_code, reason = "tests of whole runs compute in more ways")]
#[path = "../../tests/support/model.rs"]
mod model;
mod scene;

use std::collections::BTreeSet;

use capture::{Precision, Tensor, TensorName, TensorSource};

use super::{Check, Examination};
use crate::results::Reason;
use crate::spec::Kind;
use scene::{Scene, caught};

#[test]
fn the_capture_is_exactly_what_is_required() {
    let scene = Scene::decode();
    let names: BTreeSet<TensorName> = scene.plan.iter().map(|required| required.name.clone()).collect();
    assert_eq!(names.len(), scene.plan.len(), "a tensor is required twice");
    assert_eq!(scene.capture.names(), names);
    for required in &scene.plan {
        let tensor = scene.capture.require(&required.name).unwrap();
        assert_eq!(tensor.require_layout(required.dtype, &required.shape), Ok(()), "{}", required.name);
    }
}

#[test]
fn a_correct_subject_passes_every_check() {
    Scene::decode().passes_everything();
    Scene::new(model::case(2, &[3, 1, 1], 3), Precision::F64).passes_everything();
    Scene::new(model::case(1, &[1], 0), Precision::F32).passes_everything();
    Scene::new(model::case(3, &[12], 1), Precision::F32).passes_everything();
}

#[test]
fn every_check_is_applied_somewhere() {
    let scene = Scene::decode();
    for (id, check) in scene.examined() {
        assert!(scene.examine(&id).1.checked > 0, "{id} {check:?} looks at nothing");
    }
}

#[test]
fn a_missing_tensor_is_named_and_not_counted() {
    for (id, check) in Scene::decode().examined() {
        let mut scene = Scene::decode();
        let gone = scene.of(&id).2[0].name.clone();
        scene.capture.tensors.remove(&gone);
        let (required, examination) = scene.examine(&id);
        assert!(examination.checked < required as u64, "{id} {check:?}");
        let missing =
            examination.findings.iter().any(|f| f.reason == Reason::Missing && f.tensor == gone.to_string());
        assert!(missing, "{id} {check:?}: {:?}", examination.findings);
    }
}

#[test]
fn another_shape_is_named_and_not_counted() {
    for (id, check) in Scene::decode().examined().into_iter().filter(|(_, check)| *check != Check::Contiguous)
    {
        let mut scene = Scene::decode();
        let required = scene.of(&id).2[0].clone();
        let tensor = Tensor::from_f32(&[1], &[0.0]).unwrap();
        scene.capture.tensors.insert(required.name.clone(), tensor);
        let (required, examination) = scene.examine(&id);
        assert!(examination.checked < required as u64, "{id} {check:?}");
        assert!(examination.findings.iter().any(|f| f.reason == Reason::Shape), "{id} {check:?}");
    }
}

#[test]
fn nan_never_passes() {
    let bitwise = [Check::Contiguous, Check::Distinct];
    for (id, check) in Scene::decode().examined().into_iter().filter(|(_, check)| !bitwise.contains(check)) {
        let mut scene = Scene::decode();
        let (_, _, required) = scene.of(&id);
        let required = &required[0];
        let tensor = match (scene.specs.of(required).kind, required.name.step) {
            (Kind::Float, _) => required.name.to_string(),
            (_, Some(step)) => format!("step{step}/logits.last"),
            (_, None) => "generated.logits".to_owned(),
        };
        scene.change(&tensor, |values| values.fill(f64::NAN));
        let (_, examination) = scene.examine(&id);
        assert!(!examination.findings.is_empty(), "{id} {check:?} lets NaN pass");
    }
}

#[test]
fn finite_sees_nan_infinity_and_a_misplaced_mask() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut scene = Scene::decode();
        scene.change("step1/h.1.mid", |values| values[11] = bad);
        caught(
            &scene,
            "07.3",
            "step1/h.1.mid",
            "1 of 16 elements are NaN or infinite where they must not be; the first at [1, 0, 3]",
        );
        assert_eq!(scene.examine("07.3").1.findings[0].reason, Reason::NonFinite);
    }
    let mut scene = Scene::decode();
    scene.change("step0/h.0.attn.mask", |values| values.swap(0, 1));
    caught(&scene, "04.3", "step0/h.0.attn.mask", "2 of 18 elements");
    let mut scene = Scene::decode();
    scene.change("step0/h.0.attn.mask", |values| values[1] = f64::from(f32::MIN));
    caught(&scene, "04.3", "step0/h.0.attn.mask", "expected −∞");
}

#[test]
fn contiguous_sees_a_stride() {
    let scene = Scene::decode();
    let strided = BTreeSet::from([TensorName::parse("step2/h.0.attn.context").unwrap()]);
    let (required, examination) = scene.examine_with("05.8", &strided);
    assert_eq!(examination.checked, required as u64);
    assert_eq!(examination.findings.len(), 1);
    assert_eq!(examination.findings[0].tensor, "step2/h.0.attn.context");
}

#[test]
fn plausible_range_sees_an_outlier() {
    let mut scene = Scene::decode();
    scene.change("step0/logits", |values| values[5] = -20_000.0);
    caught(&scene, "08.4", "step0/logits", "-20000, expected [-10000, 10000]");
}

#[test]
fn distinct_sees_keys_handed_out_as_values() {
    let mut scene = Scene::decode();
    let keys = scene.tensor("step0/h.1.attn.k").clone();
    *scene.tensor("step0/h.1.attn.v") = keys;
    caught(&scene, "02.2", "step0/h.1.attn.k", "the same as `step0/h.1.attn.v`");
}

#[test]
fn unused_slots_must_hold_zero_bits() {
    for bad in [1e-30, -0.0, f64::NAN] {
        let mut scene = Scene::decode();
        // Keys, row 1, slot 5: the first that nothing was stored in.
        scene.change("step2/h.0.attn.cache", |values| values[(12 + 5) * 8] = bad);
        caught(
            &scene,
            "03.4",
            "step2/h.0.attn.cache",
            "1 of 28 unused slots were written to; the first at [0, 1, 5, 0, 0]",
        );
    }
}

#[test]
fn a_full_cache_has_no_unused_slots_to_look_at() {
    let scene = Scene::new(model::case(1, &[12], 1), Precision::F32);
    assert_eq!(scene.examine("03.4"), (0, Examination::default()));
    assert_eq!(scene.examine("03.5"), (0, Examination::default()));
}

#[test]
fn stored_slots_must_stay() {
    for tensor in ["step2/h.0.attn.cache", "step2/h.1.attn.cached_v"] {
        let mut scene = Scene::decode();
        scene.change(tensor, |values| values[9] = -values[9]);
        caught(&scene, "03.5", tensor, "stored slots have changed");
    }
}

#[test]
fn masked_keys_must_have_no_weight() {
    let mut scene = Scene::decode();
    scene.change("step0/h.1.attn.probs", |values| values[1] = 1e-38);
    caught(
        &scene,
        "05.4",
        "step0/h.1.attn.probs",
        "1 of 12 rows see keys after the query; the first at [0, 0, 0, 1]",
    );
}

#[test]
fn probabilities_must_lie_in_the_unit_interval() {
    for bad in [-1e-9, 1.000_001] {
        let mut scene = Scene::decode();
        scene.change("step0/probs.t1", |values| values[0] = bad);
        caught(&scene, "11.2", "step0/probs.t1", "expected [0, 1]");
    }
}

#[test]
fn probabilities_must_sum_to_one() {
    let mut scene = Scene::decode();
    scene.change("step1/h.0.attn.probs", |values| values.iter_mut().take(4).for_each(|x| *x *= 1.000_01));
    caught(&scene, "05.6", "step1/h.0.attn.probs", "1 of 4 rows do not sum to 1");
}

#[test]
fn probabilities_must_flatten_with_temperature() {
    let mut scene = Scene::decode();
    let cold = scene.tensor("step0/probs.t0.5").clone();
    *scene.tensor("step0/probs.t2") = cold;
    caught(&scene, "11.4", "step0/probs.t1", "2 of 2 rows");
    let mut scene = Scene::decode();
    scene.change("step0/probs.t2", |values| values.iter_mut().for_each(|x| *x *= 0.1));
    caught(&scene, "11.4", "step0/probs.t2", "expected at least");
}

#[test]
fn generation_must_go_on_from_the_prompt() {
    let mut scene = Scene::decode();
    scene.change("generated", |ids| ids[3] = (ids[3] + 1.0) % 11.0);
    caught(&scene, "12.3", "generated", "1 of 2 rows");
    let mut scene = Scene::decode();
    scene.change("generated.logits", |values| values[0] += 1e-3);
    caught(&scene, "12.3", "generated.logits", "not the logits of the last step");
}
