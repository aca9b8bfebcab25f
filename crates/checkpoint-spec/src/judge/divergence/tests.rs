use tensor_compare::NonFinite;

use super::*;
use crate::judge::fixtures::{assay, compared, failed, missing, observation, specs, statistics};
use crate::results::{Outcome, Reason, Side, StatisticsRecord, Verdict};
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
    Law { specs, subject_weights: false }
}

#[test]
fn what_cannot_be_an_input_taints_what_follows_from_it_and_nothing_else() {
    let specs = specs();
    let nan = || {
        let non_finite = NonFinite { actual_nan: 1, ..NonFinite::default() };
        compared(StatisticsRecord { non_finite, ..statistics() })
    };
    let (expected, found) = (capture::Shape::new([2]).unwrap(), capture::Shape::new([3]).unwrap());
    let shape = Outcome::ShapeMismatch { expected, found, side: Side::Subject };
    let unreadable = Outcome::Unreadable { problem: String::new() };
    let after = |outcome| {
        let isolated =
            |name: &str, outcome, inputs: &[&str]| observed(&specs, name, Mode::Isolated, outcome, inputs);
        let assay = assay(vec![
            isolated("h.{l}.ln_1", right(), &["embd"]),
            isolated("h.{l}.mid", outcome, &["embd", "h.0.attn.out"]),
            isolated("h.{l}.ln_2", right(), &["h.0.mid"]),
            isolated("h.{l}.mlp.fc", failed(), &["h.0.ln_2"]),
        ]);
        downstream(law(&specs), &assay)
    };
    for outcome in [nan(), shape, unreadable, missing("subject")] {
        assert_eq!(after(outcome.clone()), [false, false, true, false], "{outcome:?}");
    }
    // A wrong value is an input like any other: what follows from it can be judged.
    for outcome in [failed(), right()] {
        assert_eq!(after(outcome), [false; 4]);
    }
}

#[test]
fn what_only_a_chain_can_judge_follows_from_everything_in_the_steps() {
    let specs = specs();
    let after = |name: &str, step: Option<usize>, outcome| {
        let mut first = observed(&specs, name, Mode::Isolated, outcome, &[]);
        first.required.name.step = step;
        let mut chained = observed(&specs, "generated.logits", Mode::Chained, failed(), &[]);
        chained.required.name.step = None;
        downstream(law(&specs), &assay(vec![first, chained]))[1]
    };
    assert!(after("h.{l}.mid", Some(0), failed()) && after("h.{l}.mid", Some(0), missing("subject")));
    assert!(!after("h.{l}.mid", Some(0), right()));
    assert!(!after("h.{l}.mid", Some(0), missing("graph@f64")));
    assert!(!after("head.tied", None, failed()));
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
fn the_first_divergence_is_that_of_execution() {
    let specs = specs();
    let every = checkpoints(&specs, |_| true);
    let of = |name: &str, mode, outcome| observed(&specs, name, mode, outcome, &[]);
    let first = |observations| first(law(&specs), &[assay(vec![]), assay(observations)], &every);
    assert_eq!(first(vec![of("ln_f", Mode::Isolated, right())]), None);

    let mut observations = vec![
        of("h.{l}.mid", Mode::Isolated, right()),
        of("ln_f", Mode::Isolated, failed()),
        of("logits", Mode::Isolated, failed()),
    ];
    let found = first(observations.clone()).unwrap();
    assert_eq!(
        (found.activation.as_str(), found.mode, found.reason),
        ("ln_f", Mode::Isolated, Reason::Exact)
    );
    assert_eq!((found.case.as_str(), found.step, found.checkpoint.as_str()), ("tiny", Some(0), "01"));
    observations.swap(1, 2);
    assert_eq!(first(observations.clone()).unwrap().activation, "logits");
    observations[1] = of("generated.logits", Mode::Chained, failed());
    let found = first(observations).unwrap();
    assert_eq!((found.mode, found.reason), (Mode::Chained, Reason::Chained));
}

#[test]
fn a_divergence_at_a_checkpoint_that_is_not_reported_is_passed_over() {
    let specs = specs();
    let observations = vec![
        observed(&specs, "ln_f", Mode::Isolated, failed(), &[]),
        observed(&specs, "logits", Mode::Isolated, failed(), &[]),
    ];
    let of = |chosen: fn(&str) -> bool| {
        first(law(&specs), &[assay(observations.clone())], &checkpoints(&specs, chosen))
    };
    assert_eq!(of(|_| true).unwrap().activation, "ln_f");
    assert_eq!(of(|id| id == "08").unwrap().activation, "logits");
    assert_eq!(of(|id| id == "00"), None);
}
