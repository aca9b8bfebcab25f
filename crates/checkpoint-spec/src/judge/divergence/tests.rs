use super::*;
use crate::judge::fixtures::{assay, compared, failed, missing, observation, specs, statistics};
use crate::results::{Outcome, Reason, Verdict};
use crate::spec::SpecSet;

/// An observation of an activation of layer 0, and what it is computed from.
fn observed(specs: &SpecSet, name: &str, mode: Mode, outcome: Outcome, inputs: &[&str]) -> Observation {
    let inputs = inputs.iter().map(|input| TensorName::of_step(0, *input)).collect();
    Observation { inputs, ..observation(specs, name, mode, outcome) }
}

fn right() -> Outcome {
    compared(statistics())
}

fn law(specs: &SpecSet) -> Law<'_> {
    Law { specs, subject_weights: false, half: false }
}

#[test]
fn a_chained_divergence_taints_everything_downstream_and_nothing_else() {
    let specs = specs();
    let run = |name: &str, outcome, inputs: &[&str]| observed(&specs, name, Mode::Run, outcome, inputs);
    let assay = assay(vec![
        run("h.{l}.ln_1", right(), &["embd"]),
        run("h.{l}.mid", failed(), &["embd", "h.0.attn.out"]),
        run("h.{l}.ln_2", right(), &["h.0.mid"]),
        run("h.{l}.mlp.fc", failed(), &["h.0.ln_2"]),
        run("ln_f", right(), &["h.0.ln_1"]),
    ]);
    assert_eq!(downstream(law(&specs), &assay), [false, false, true, true, false]);
}

#[test]
fn what_is_missing_taints_as_well_and_a_reference_that_is_missing_does_not() {
    let specs = specs();
    let after = |outcome| {
        let first = observed(&specs, "h.{l}.mid", Mode::Run, outcome, &[]);
        let second = observed(&specs, "h.{l}.ln_2", Mode::Run, right(), &["h.0.mid"]);
        downstream(law(&specs), &assay(vec![first, second]))[1]
    };
    assert!(after(missing("subject")));
    assert!(!after(missing("first@f64")));
    assert!(!after(Outcome::Unreadable { problem: String::new() }));
}

#[test]
fn a_replayed_activation_is_a_cause_and_a_composite_the_consequence_of_its_parts() {
    let specs = specs();
    let replay = |name: &str, outcome, inputs: &[&str]| observed(&specs, name, Mode::Replay, outcome, inputs);
    let of = |fc: Outcome, act: Outcome, input: Outcome| {
        let assay = assay(vec![
            observed(&specs, "h.{l}.mlp.fc", Mode::Run, failed(), &[]),
            replay("h.{l}.ln_2", input, &["h.0.mid"]),
            replay("h.{l}.mlp.fc", fc, &["h.0.ln_2"]),
            replay("h.{l}.mlp.act", act, &["h.0.mlp.fc"]),
            replay("h.{l}.mlp.out", right(), &["h.0.mlp.act"]),
            replay("whole/h.{l}.mlp.out", failed(), &["h.0.ln_2"]),
        ]);
        downstream(law(&specs), &assay)
    };
    assert_eq!(of(right(), failed(), right()), [false, false, false, false, false, true]);
    assert_eq!(of(failed(), right(), right()), [false, false, false, false, false, true]);
    // The composite had its input from the reference: what went wrong there is no cause of its own.
    assert_eq!(of(right(), right(), failed()), [false; 6]);
}

fn checkpoints(specs: &SpecSet, chosen: impl Fn(&str) -> bool) -> Vec<CheckpointResult> {
    let chosen = specs.specs.iter().filter(|spec| chosen(&spec.id));
    let result = |id: &String| CheckpointResult {
        id: id.clone(),
        name: String::new(),
        title: String::new(),
        verdict: Verdict::Pass,
        compared: 0,
        required: 0,
        ties: 0,
        comparisons: Vec::new(),
        requirements: Vec::new(),
        not_applicable: Vec::new(),
    };
    chosen.map(|spec| result(&spec.id)).collect()
}

#[test]
fn the_first_divergence_is_that_of_execution_and_the_isolated_one_before_the_chained() {
    let specs = specs();
    let every = checkpoints(&specs, |_| true);
    let of = |name: &str, mode, outcome| observed(&specs, name, mode, outcome, &[]);
    let first = |observations| first(law(&specs), &[assay(vec![]), assay(observations)], &every);
    assert_eq!(first(vec![of("ln_f", Mode::Run, right())]), None);

    let mut observations = vec![
        of("h.{l}.mid", Mode::Run, right()),
        of("ln_f", Mode::Run, failed()),
        of("logits", Mode::Run, failed()),
    ];
    let found = first(observations.clone()).unwrap();
    assert_eq!((found.activation.as_str(), found.mode, found.reason), ("ln_f", Mode::Run, Reason::Ceiling));
    assert_eq!((found.case.as_str(), found.step, found.checkpoint.as_str()), ("tiny", Some(0), "01"));

    observations.push(of("whole/logits", Mode::Replay, failed()));
    observations.push(of("ln_f", Mode::Replay, failed()));
    assert_eq!(first(observations.clone()).unwrap().mode, Mode::Replay);
    assert_eq!(first(observations.clone()).unwrap().activation, "ln_f");

    // Of activations that a run does not have nothing says when: they come last, and a composite where its result is.
    observations[1] = of("ln_f", Mode::Run, right());
    observations[4] = of("ln_f.normalized", Mode::Replay, failed());
    assert_eq!(first(observations.clone()).unwrap().activation, "whole/logits");
    observations.swap(3, 4);
    assert_eq!(first(observations).unwrap().activation, "whole/logits");
}

#[test]
fn a_divergence_at_a_checkpoint_that_is_not_reported_is_passed_over() {
    let specs = specs();
    let observations = vec![
        observed(&specs, "ln_f", Mode::Run, failed(), &[]),
        observed(&specs, "logits", Mode::Run, failed(), &[]),
    ];
    let of = |chosen: fn(&str) -> bool| {
        first(law(&specs), &[assay(observations.clone())], &checkpoints(&specs, chosen))
    };
    assert_eq!(of(|_| true).unwrap().activation, "ln_f");
    assert_eq!(of(|id| id == "08").unwrap().activation, "logits");
    assert_eq!(of(|id| id == "00"), None);
}
