use capture::{Shape, TensorName};

use super::*;
use crate::judge::fixtures::{CASE, assay, compared, facts, failed, missing, observation, specs, statistics};
use crate::results::{Mode, StatisticsRecord};

const PAIRS: [&str; 2] = ["second@f64 against first@f64", "first@f64 against graph@f64"];

fn agreement(between: &str, outcome: Outcome) -> QuorumObservation {
    QuorumObservation { name: TensorName::of_step(0, "ln_f"), between: between.to_owned(), outcome }
}

/// The case, judged from own inputs and by both references, whose agreement came out so: the second's with the first, and
/// the first's with the graph.
fn with(outcomes: Vec<Outcome>) -> CaseAssay {
    let specs = specs();
    let by = |reference: &str| {
        let observed = observation(&specs, "ln_f", Mode::Isolated, compared(statistics()));
        crate::assay::Observation { reference: reference.to_owned(), ..observed }
    };
    let quorum = outcomes.into_iter().flat_map(|outcome| PAIRS.map(|pair| agreement(pair, outcome.clone())));
    CaseAssay {
        quorum: quorum.collect(),
        ..assay(vec![by("first@f64"), by("second@f64"), by(ITSELF), by(ORACLE)])
    }
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
    assert_eq!((found.verdict, found.compared, found.required), (Verdict::Pass, 6, 6));
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
    let shape = Outcome::ShapeMismatch { expected, found, side: "second@f64".to_owned().into() };
    assert_eq!(verdict(&[with(vec![shape])]), Verdict::Error);
    let (expected, found) = (tensor_compare::DType::F64, tensor_compare::DType::F32);
    let dtype = Outcome::DtypeMismatch { expected, found, side: "second@f64".to_owned().into() };
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
    let mut alone = with(vec![compared(statistics())]);
    alone.observations.truncate(1);
    alone.quorum.remove(0);
    assert_eq!(judge(&facts, &[alone.clone()]).verdict, Verdict::Conditional);
    // Alone it is held to the graph all the same.
    let mut silent = alone.clone();
    silent.quorum[0].outcome = missing("first@f64");
    assert_eq!(judge(&facts, &[silent]).verdict, Verdict::Incomplete);
    facts.references.clear();
    assert_eq!(judge(&facts, &[alone]).verdict, Verdict::Incomplete);
}

#[test]
fn voices_are_the_references_and_the_graph_with_where_each_comes_from() {
    let voices = judge(&facts(), &[with(vec![compared(statistics())])]).voices;
    let names: Vec<&str> = voices.iter().map(|voice| voice.name.as_str()).collect();
    assert_eq!(names, ["first@f64", "second@f64", "graph@f64"]);
    assert_eq!(voices[2].lineage, GRAPH);
}

#[test]
fn nobody_stands_in_for_another() {
    let agreed = || with(vec![compared(statistics())]);
    assert_eq!(verdict(&[agreed()]), Verdict::Pass);
    assert_eq!(verdict(&[]), Verdict::Incomplete);
    assert_eq!(verdict(&[agreed(), agreed()]), Verdict::Incomplete);
    let other_case = CaseAssay { case: "other".to_owned(), ..agreed() };
    assert_eq!(verdict(&[other_case]), Verdict::Incomplete);
    // Whoever judges an activation was claimed.
    for (judge, expected) in [
        ("first@f64", Verdict::Pass),
        (ORACLE, Verdict::Pass),
        (ITSELF, Verdict::Pass),
        ("third@f64", Verdict::Incomplete),
        ("first@f32", Verdict::Incomplete),
    ] {
        let mut assay = agreed();
        assay.observations[0].reference = judge.to_owned();
        assert_eq!(verdict(&[assay]), expected, "{judge}");
    }
    // Every claimed pair of voices was held together, and no other.
    let between = |pairs: &[&str]| {
        let quorum = pairs.iter().map(|pair| agreement(pair, compared(statistics()))).collect();
        verdict(&[CaseAssay { quorum, ..agreed() }])
    };
    assert_eq!(between(&PAIRS), Verdict::Pass);
    assert_eq!(between(&PAIRS[..1]), Verdict::Incomplete);
    assert_eq!(between(&PAIRS[1..]), Verdict::Incomplete);
    assert_eq!(between(&[PAIRS[0], "second@f64 against graph@f64"]), Verdict::Incomplete);
    assert_eq!(between(&[PAIRS[0], PAIRS[1], "third@f64 against first@f64"]), Verdict::Incomplete);

    let mut twice = facts();
    twice.references[1].name = "first".to_owned();
    assert_eq!(judge(&twice, &[agreed()]).verdict, Verdict::Incomplete);
}
