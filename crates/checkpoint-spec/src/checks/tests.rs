//! Each check passes on what a correct subject hands in, and sees its fault.

#[path = "../../tests/support/model.rs"]
mod model;
mod scene;

use std::collections::BTreeSet;

use capture::{Precision, Tensor, TensorName, TensorSource};
use proptest::prelude::*;

use super::{Check, Examination};
use crate::Architecture;
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
fn a_replay_fed_with_its_own_run_repeats_it() {
    let scene = Scene::decode();
    let replay = model::Implementation::correct(Precision::F32).replay(&scene.case, &scene.capture);
    assert!(replay.names().iter().any(|name| name.activation == "h.1.mlp.out"));
    for (name, tensor) in &replay.tensors {
        let activation = name.activation.trim_start_matches("whole/").to_owned();
        let chained = TensorName { step: name.step, activation };
        assert_eq!(tensor, scene.capture.require(&chained).unwrap(), "{name}");
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
        let (_, spec, required) = scene.of(&id);
        let required = &required[0];
        let tensor = match (scene.specs.specs[spec].activations[required.activation].kind, required.name.step)
        {
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
            "07.4",
            "step1/h.1.mid",
            "1 of 16 elements are NaN or infinite where they must not be; the first at [1, 0, 3]",
        );
        assert_eq!(scene.examine("07.4").1.findings[0].reason, Reason::NonFinite);
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
    let (required, examination) = scene.examine_with("05.9", &strided);
    assert_eq!(examination.checked, required as u64);
    assert_eq!(examination.findings.len(), 1);
    assert_eq!(examination.findings[0].tensor, "step2/h.0.attn.context");
}

#[test]
fn plausible_range_sees_an_outlier() {
    let mut scene = Scene::decode();
    scene.change("step0/logits", |values| values[5] = -20_000.0);
    caught(&scene, "08.5", "step0/logits", "-20000, expected [-10000, 10000]");
}

#[test]
fn normalised_mean_sees_a_shift() {
    let mut scene = Scene::decode();
    scene.change("step0/h.0.ln_2.normalized", |values| values.iter_mut().take(8).for_each(|x| *x += 1e-4));
    caught(&scene, "01.3", "step0/h.0.ln_2.normalized", "1 of 6 rows do not have mean 0");
}

#[test]
fn normalised_variance_sees_the_unbiased_one() {
    let mut scene = Scene::decode();
    let unbiased = (7.0f64 / 8.0).sqrt();
    scene.change("step0/ln_f.normalized", |values| values.iter_mut().for_each(|x| *x *= unbiased));
    caught(&scene, "01.4", "step0/ln_f.normalized", "6 of 6 rows");
}

#[test]
fn pre_norm_sees_the_norm_of_another_stream() {
    let mut scene = Scene::decode();
    let post = scene.tensor("step0/h.0.ln_2.normalized").clone();
    *scene.tensor("step0/h.1.ln_1.normalized") = post;
    caught(&scene, "01.5", "step0/h.1.ln_1.normalized", "6 of 6 rows are not the normalised input");
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
        "05.5",
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
    caught(&scene, "05.7", "step1/h.0.attn.probs", "1 of 4 rows do not sum to 1");
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
fn gelu_has_a_minimum() {
    let mut scene = Scene::decode();
    scene.change("step0/h.0.mlp.act", |values| values[3] = -0.17005);
    caught(&scene, "06.6", "step0/h.0.mlp.act", "1 of 192");
}

#[test]
fn gelu_is_the_tanh_form() {
    // The erf form at 2 is 1.9544997, the tanh form 1.9545977: 1e-4 apart, which allclose(1e-4) would let pass.
    let mut scene = Scene::decode();
    scene.change("step0/h.0.mlp.fc", |values| values[3] = 2.0);
    scene.change("step0/h.0.mlp.act", |values| values[3] = 1.954_597_7);
    assert_eq!(scene.examine("06.5").1.findings, []);
    scene.change("step0/h.0.mlp.act", |values| values[3] = 1.954_499_7);
    caught(&scene, "06.5", "step0/h.0.mlp.act", "1 of 192");
}

#[test]
fn both_residuals_must_be_added() {
    for (sum, part) in [("step0/h.1.mid", "step0/h.1.attn.out"), ("step0/h.1.out", "step0/h.1.mlp.out")] {
        let mut scene = Scene::decode();
        let part = scene.tensor(part).clone();
        *scene.tensor(sum) = part;
        let found: Vec<String> = scene.examine("07.3").1.findings.into_iter().map(|f| f.tensor).collect();
        assert!(found.contains(&sum.to_owned()), "{found:?}");
    }
}

#[test]
fn tokens_must_be_the_lowest_argmax_of_own_logits() {
    let mut scene = Scene::decode();
    scene.change("step1/token", |ids| ids[1] = (ids[1] + 1.0) % 11.0);
    caught(&scene, "10.2", "step1/token", "1 of 2 tokens");
    let mut scene = Scene::decode();
    scene.change("step1/logits.last", |values| values.fill(0.5));
    scene.change("step1/token", |ids| ids.fill(0.0));
    assert_eq!(scene.examine("10.2").1.findings, []);
    scene.change("step1/token", |ids| ids.fill(10.0));
    caught(&scene, "10.2", "step1/token", "token 10, expected 0");
    let mut scene = Scene::decode();
    scene.change("generated", |ids| ids[5] = (ids[5] + 1.0) % 11.0);
    caught(&scene, "12.4", "generated", "the first at [1, 2]");
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

/// A row normalised in f32, in one of four correct ways, and with an epsilon.
fn normalise(row: &[f32], way: usize, epsilon: f32) -> Vec<f32> {
    let width = row.len() as f32;
    let mean = match way {
        1 => row.iter().rev().sum::<f32>() / width,
        _ => row.iter().sum::<f32>() / width,
    };
    let variance = match way {
        2 => row.iter().map(|x| x * x).sum::<f32>() / width - mean * mean,
        _ => row.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / width,
    };
    let inverse = 1.0 / (variance + epsilon).sqrt();
    match way {
        3 => row.iter().map(|x| x * inverse - mean * inverse).collect(),
        _ => row.iter().map(|x| (x - mean) * inverse).collect(),
    }
}

/// Puts a row of the tiny width through the three checks of normalisation; the findings of all.
fn norm_findings(input: &[f32], output: &[f32]) -> Vec<String> {
    let mut scene = Scene::new(model::case(1, &[1], 0), Precision::F32);
    scene.change("step0/h.0.mid", |values| {
        values.copy_from_slice(&input.iter().map(|&x| x.into()).collect::<Vec<_>>())
    });
    scene.change("step0/h.0.ln_2.normalized", |values| {
        values.copy_from_slice(&output.iter().map(|&x| x.into()).collect::<Vec<_>>());
    });
    let about = |id| scene.examine(id).1.findings.into_iter().filter(|f| f.tensor.contains("ln_2"));
    ["01.3", "01.4", "01.5"].into_iter().flat_map(about).map(|f| f.message).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Large means, outlier channels, tiny variances: no correct way to normalise is accused.
    #[test]
    fn correct_norms_are_not_accused(
        values in prop::collection::vec(-1.0f32..1.0, 8),
        scale in -4i32..4,
        shift in prop_oneof![Just(0.0f32), -100.0f32..100.0],
        outlier in prop_oneof![Just(1.0f32), Just(3000.0)],
        way in 0usize..4,
    ) {
        let mut row: Vec<f32> = values.iter().map(|x| x * 10f32.powi(scale) + shift).collect();
        row[3] *= outlier;
        let output = normalise(&row, way, 1e-5);
        // The one-pass form may leave nothing, or less, of a variance that is far below the square of the mean.
        prop_assume!(output.iter().all(|x| x.is_finite()));
        prop_assert_eq!(norm_findings(&row, &output), Vec::<String>::new());
    }

    /// Another epsilon shows at every ordinary size.
    #[test]
    fn another_epsilon_is_seen(values in prop::collection::vec(-1.0f32..1.0, 8)) {
        let row: Vec<f32> = values.iter().map(|x| x * 0.3).collect();
        prop_assume!(row.iter().any(|x| x.abs() > 0.01));
        let output = normalise(&row, 0, 1e-6);
        prop_assert!(!norm_findings(&row, &output).is_empty());
    }
}
