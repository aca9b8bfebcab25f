//! A replay of a run's own activations gives the run's bits, from direct inputs alone.

use std::collections::BTreeSet;

use capture::{Capture, Tensor, TensorName};
use gpt2::RunError;

use crate::cases::{TINY, case, floats, model, of_step};

fn everything(_: &TensorName) -> bool {
    true
}

#[test]
fn replay_of_a_run_gives_its_bits() {
    for (model, batch, schedule) in [
        (model(TINY), 1, vec![9]),
        (model(TINY), 3, vec![5, 1, 2, 1]),
        (model("1,16,1,11,24@5+outlier"), 2, vec![1, 1, 20, 1, 1]),
        (model("2,40,5,300,700@2"), 1, vec![511, 1, 1, 1, 100]),
    ] {
        let case = case(&model, batch, &schedule);
        let run = model.run(&case).unwrap();
        let replay = model.replay(&case, &run, &everything).unwrap();
        for (name, tensor) in &replay.tensors {
            assert!(tensor == run.require(name).unwrap(), "{name}");
        }
        let replayed: BTreeSet<_> = replay.tensors.keys().collect();
        let not_replayed = |name: &&TensorName| {
            name.step.is_none() || name.activation == "token_ids" || name.activation.ends_with(".attn.cache")
        };
        let expected: BTreeSet<_> = run.tensors.keys().filter(|name| !not_replayed(name)).collect();
        assert_eq!(replayed, expected);
        assert!(replay.not_contiguous.is_empty());
    }
}

/// A run's capture with one tensor changed.
fn with_changed(run: &Capture, name: &TensorName) -> Capture {
    let mut changed = run.clone();
    let tensor = run.require(name).unwrap();
    let values: Vec<f32> = floats(tensor).iter().map(|value| value + 0.25).collect();
    let tensor = Tensor::from_f32(tensor.shape().dimensions(), &values).unwrap();
    changed.tensors.insert(name.clone(), tensor);
    changed
}

/// Activations of step 1 whose replay changes when the named one does; `step0/` for the step before.
const DEPENDENTS: [(&str, &[&str]); 21] = [
    ("embd", &["h.0.ln_1", "h.0.ln_1.normalized", "h.0.mid"]),
    ("h.0.ln_1.normalized", &[]),
    ("h.0.ln_1", &["h.0.attn.k", "h.0.attn.q", "h.0.attn.v"]),
    ("h.0.attn.q", &["h.0.attn.scores"]),
    ("h.0.attn.k", &["h.0.attn.cached_k"]),
    ("h.0.attn.v", &["h.0.attn.cached_v"]),
    ("h.0.attn.cached_k", &["h.0.attn.scores"]),
    ("h.0.attn.cached_v", &["h.0.attn.context"]),
    ("step0/h.0.attn.cached_k", &["h.0.attn.cached_k"]),
    ("step0/h.0.attn.cached_v", &["h.0.attn.cached_v"]),
    ("h.0.attn.mask", &[]),
    ("h.0.attn.probs", &["h.0.attn.context"]),
    ("h.0.attn.context", &["h.0.attn.out"]),
    ("h.0.attn.out", &["h.0.mid"]),
    ("h.0.mid", &["h.0.ln_2", "h.0.ln_2.normalized", "h.0.out"]),
    ("h.0.ln_2", &["h.0.mlp.fc"]),
    ("h.0.mlp.fc", &["h.0.mlp.act"]),
    ("h.0.mlp.act", &["h.0.mlp.out"]),
    ("h.0.mlp.out", &["h.0.out"]),
    ("h.0.out", &["h.1.ln_1", "h.1.ln_1.normalized", "h.1.mid"]),
    ("h.1.out", &["ln_f", "ln_f.normalized"]),
];

#[test]
fn each_activation_depends_on_its_direct_inputs_alone() {
    let model = model("2,24,3,31,16@6");
    let case = case(&model, 1, &[4, 3]);
    let run = model.run(&case).unwrap();
    let plain = model.replay(&case, &run, &everything).unwrap();
    for (changed, dependents) in DEPENDENTS {
        let name = TensorName::parse(changed).filter(|name| name.step.is_some());
        let name = name.unwrap_or_else(|| TensorName::of_step(1, changed));
        let replay = model.replay(&case, &with_changed(&run, &name), &everything).unwrap();
        // A constant shift is what layer norm takes out again, but for epsilon and rounding.
        let differs = |name: &&TensorName| replay.tensors[*name] != plain.tensors[*name];
        let found: BTreeSet<&str> = plain
            .tensors
            .keys()
            .filter(|name| name.step == Some(1))
            .filter(differs)
            .map(|name| name.activation.as_str())
            .collect();
        assert_eq!(found, dependents.iter().copied().collect(), "after a change of {changed}");
    }
}

#[test]
fn the_end_of_the_pass_depends_on_its_direct_inputs_alone() {
    let model = model("1,24,3,31,16@6");
    let case = case(&model, 1, &[4]);
    let run = model.run(&case).unwrap();
    let plain = model.replay(&case, &run, &everything).unwrap();
    for (changed, dependents) in
        [("ln_f", &["logits"][..]), ("logits", &["logits.last"]), ("h.0.attn.scores", &["h.0.attn.probs"])]
    {
        let mut inputs = with_changed(&run, &TensorName::of_step(0, changed));
        if changed == "h.0.attn.scores" {
            // Softmax takes out a constant shift exactly, so change one element alone.
            let mut values = floats(of_step(&run, 0, changed));
            values[4] += 1.0;
            let tensor = Tensor::from_f32(&[1, 3, 4, 4], &values).unwrap();
            inputs.tensors.insert(TensorName::of_step(0, changed), tensor);
        }
        let replay = model.replay(&case, &inputs, &everything).unwrap();
        let found: BTreeSet<&str> = plain
            .tensors
            .iter()
            .filter(|(name, tensor)| replay.tensors[*name] != **tensor)
            .map(|(name, _)| name.activation.as_str())
            .collect();
        assert_eq!(found, dependents.iter().copied().collect(), "after a change of {changed}");
    }
}

#[test]
fn only_what_is_wanted_is_computed_and_needed() {
    let model = model(TINY);
    let case = case(&model, 2, &[3, 1]);
    let run = model.run(&case).unwrap();
    let wanted = TensorName::of_step(1, "h.1.mlp.act");
    let input = TensorName::of_step(1, "h.1.mlp.fc");
    let mut inputs = Capture::default();
    inputs.tensors.insert(input.clone(), run.tensors[&input].clone());
    let replay = model.replay(&case, &inputs, &|name| *name == wanted).unwrap();
    assert_eq!(
        replay.tensors.into_iter().collect::<Vec<_>>(),
        [(wanted.clone(), run.tensors[&wanted].clone())]
    );
    let nothing = model.replay(&case, &Capture::default(), &|_| false).unwrap();
    assert!(nothing.tensors.is_empty());
}

#[test]
fn inputs_that_are_missing_or_do_not_fit_are_named() {
    let model = model(TINY);
    let case = case(&model, 1, &[3]);
    let mut inputs = model.run(&case).unwrap();
    let name = TensorName::of_step(0, "h.1.attn.q");
    let wanted = |name: &TensorName| name.activation == "h.1.attn.scores";
    for (tensor, message) in [
        (None, "replay needs `step0/h.1.attn.q`"),
        (
            Some(Tensor::from_f32(&[1, 3, 48], &[0.0; 144]).unwrap()),
            "is of shape [1, 3, 48]; expected F32 of shape [1, 3, 4, 12]",
        ),
        (
            Some(Tensor::from_f64(&[1, 3, 4, 12], &[0.0; 144]).unwrap()),
            "is F64; expected F32 of shape [1, 3, 4, 12]",
        ),
    ] {
        match tensor {
            None => inputs.tensors.remove(&name),
            Some(tensor) => inputs.tensors.insert(name.clone(), tensor),
        };
        let error = model.replay(&case, &inputs, &wanted).unwrap_err();
        assert!(matches!(error, RunError::MissingInput { .. } | RunError::Input { .. }));
        assert!(error.to_string().contains(message), "{error}");
    }
}
