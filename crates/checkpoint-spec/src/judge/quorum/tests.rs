use capture::{Shape, TensorName};

use super::*;
use crate::judge::fixtures::{CASE, assay, compared, facts, failed, missing, observation, specs, statistics};
use crate::results::{Mode, StatisticsRecord};

fn agreement(outcome: Outcome) -> QuorumObservation {
    QuorumObservation {
        name: TensorName::of_step(0, "ln_f"),
        mode: Mode::Run,
        between: "second@f64 against first@f64".to_owned(),
        outcome,
    }
}

/// The case, judged by both references, whose agreement came out so.
fn with(outcomes: Vec<Outcome>) -> CaseAssay {
    let specs = specs();
    let by = |reference: &str| {
        let observed = observation(&specs, "ln_f", Mode::Run, compared(statistics()));
        crate::assay::Observation { reference: reference.to_owned(), ..observed }
    };
    let quorum = outcomes.into_iter().map(agreement).collect();
    CaseAssay { quorum, ..assay(vec![by("first@f64"), by("second@f32"), by(ITSELF)]) }
}

fn verdict(assays: &[CaseAssay]) -> Verdict {
    judge(&facts(), assays).verdict
}

fn used(share: f64) -> Outcome {
    compared(StatisticsRecord { used: Measured(share), ..statistics() })
}

#[test]
fn references_that_agree_on_everything_are_a_quorum() {
    let found = judge(&facts(), &[with(vec![used(0.25), used(0.5), used(0.125)])]);
    assert_eq!((found.verdict, found.compared, found.required), (Verdict::Pass, 3, 3));
    assert_eq!((found.used, found.worst), (Measured(0.5), Some(format!("{CASE}: step0/ln_f"))));
    assert_eq!(found.disagreement, None);
    assert!(judge(&facts(), &[with(vec![used(0.5), used(f64::NAN), used(0.7)])]).used.0.is_nan());
}

#[test]
fn references_that_differ_may_not_judge() {
    let found = judge(&facts(), &[with(vec![compared(statistics()), failed()])]);
    assert_eq!(found.verdict, Verdict::Error);
    let disagreement = found.disagreement.unwrap();
    assert_eq!(disagreement.tensor, "step0/ln_f");
    assert!(disagreement.message.contains("second@f64 against first@f64: 1 of 4 elements differ"));
    let (expected, found) = (Shape::new([2]).unwrap(), Shape::new([3]).unwrap());
    let shape = Outcome::ShapeMismatch { expected, found, side: "second@f64".to_owned() };
    assert_eq!(verdict(&[with(vec![shape])]), Verdict::Error);
    let (expected, found) = (tensor_compare::DType::F64, tensor_compare::DType::F32);
    let dtype = Outcome::DtypeMismatch { expected, found, side: "second@f64".to_owned() };
    assert_eq!(verdict(&[with(vec![dtype])]), Verdict::Error);
}

#[test]
fn what_was_not_compared_is_no_agreement() {
    assert_eq!(verdict(&[with(vec![])]), Verdict::Incomplete);
    assert_eq!(verdict(&[with(vec![compared(statistics()), missing("second@f64")])]), Verdict::Incomplete);
    let nothing = compared(StatisticsRecord { elements: 0, ..statistics() });
    assert_eq!(verdict(&[with(vec![nothing])]), Verdict::Incomplete);
}

#[test]
fn fewer_than_two_references_are_a_reservation_and_none_are_nothing() {
    let mut facts = facts();
    facts.references.truncate(1);
    let mut alone = with(vec![]);
    alone.observations.truncate(1);
    assert_eq!(judge(&facts, &[alone.clone()]).verdict, Verdict::Conditional);
    facts.references.clear();
    assert_eq!(judge(&facts, &[alone]).verdict, Verdict::Incomplete);
}

#[test]
fn nobody_stands_in_for_another() {
    let agreed = || with(vec![compared(statistics())]);
    assert_eq!(verdict(&[agreed()]), Verdict::Pass);
    assert_eq!(verdict(&[]), Verdict::Incomplete);
    assert_eq!(verdict(&[agreed(), agreed()]), Verdict::Incomplete);
    let other_case = CaseAssay { case: "other".to_owned(), ..agreed() };
    assert_eq!(verdict(&[other_case]), Verdict::Incomplete);

    let judged_by = |references: &[&str]| {
        let mut assay = agreed();
        assay.observations.truncate(references.len());
        for (observation, reference) in assay.observations.iter_mut().zip(references) {
            observation.reference = (*reference).to_owned();
        }
        verdict(&[assay])
    };
    assert_eq!(judged_by(&["first@f64", "second@f64"]), Verdict::Pass);
    assert_eq!(judged_by(&["first@f64"]), Verdict::Incomplete);
    assert_eq!(judged_by(&["first@f64", "second@f64", "third@f64"]), Verdict::Incomplete);
    assert_eq!(judged_by(&["first@f64", "second@f16"]), Verdict::Incomplete);

    let mut twice = facts();
    twice.references[1].name = "first".to_owned();
    let mut assay = agreed();
    assay.observations.truncate(1);
    assert_eq!(judge(&twice, &[assay]).verdict, Verdict::Incomplete);
}
