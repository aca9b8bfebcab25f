//! Who refused a faulty run first, and what is said of it.

use crate::judge::fixtures::{
    assay, budget, compared, comparison, facts, failed, finding, missing, observation, requirement, specs,
    statistics,
};
use crate::judge::judge;
use crate::results::{BudgetRecord, ComparisonVerdict, Finding, Incident, Mode, Outcome, StatisticsRecord};

use super::super::*;

/// A judged run in which everything passed.
fn passed() -> Results {
    let mut results = judge(&specs(), &facts(), &[]).unwrap();
    results.checkpoints.truncate(3);
    for checkpoint in &mut results.checkpoints {
        (checkpoint.verdict, checkpoint.compared, checkpoint.required) = (Verdict::Pass, 5, 5);
        checkpoint.requirements.clear();
    }
    results.quorum.verdict = Verdict::Pass;
    results
}

fn incident() -> Incident {
    Incident {
        implementation: "first@f32".to_owned(),
        case: None,
        kind: "crashed".to_owned(),
        message: "signal 11".to_owned(),
    }
}

fn divergence(reason: Reason) -> Divergence {
    Divergence {
        checkpoint: "01".to_owned(),
        activation: "ln_f".to_owned(),
        case: "tiny".to_owned(),
        step: Some(0),
        mode: Mode::Isolated,
        reason,
    }
}

/// A run whose first divergence is at these comparisons of checkpoint 01.
fn diverged(reason: Reason, comparisons: Vec<Comparison>) -> Results {
    let mut results = passed();
    results.first_divergence = Some(divergence(reason));
    results.checkpoints[1].comparisons = comparisons;
    results
}

fn refused(reason: Reason, outcome: Outcome) -> Comparison {
    Comparison { reason: Some(reason), outcome, ..comparison(ComparisonVerdict::Fail, false) }
}

#[test]
fn a_run_that_nobody_refuses_has_no_killer() {
    let found = observe_fault("a", true, &passed());
    assert_eq!((found.killer, found.verdict, found.changed), (None, Verdict::Pass, true));
    assert_eq!((found.id.as_str(), found.refusals.len()), ("a", 0));
}

#[test]
fn refusals_are_those_that_keep_a_run_from_conforming() {
    let mut results = passed();
    results.checkpoints[0].verdict = Verdict::Conditional;
    results.checkpoints[1].verdict = Verdict::Blocked;
    results.checkpoints[2].verdict = Verdict::Fail;
    let found = observe_fault("a", false, &results);
    let expected = [("01".to_owned(), Verdict::Blocked), ("02".to_owned(), Verdict::Fail)];
    assert_eq!(found.refusals, BTreeMap::from(expected));
    assert_eq!((found.verdict, found.changed), (Verdict::Fail, false));
}

#[test]
fn a_faulty_run_is_what_checkpoints_quorum_and_incidents_come_to() {
    let mut results = passed();
    results.quorum.verdict = Verdict::Error;
    assert_eq!(conclusion(&results), Verdict::Error);
    results = passed();
    results.incidents.push(incident());
    assert_eq!(conclusion(&results), Verdict::Error);
    results = passed();
    results.determinism.verdict = Verdict::Fail;
    assert_eq!(conclusion(&results), Verdict::Pass);
    results.checkpoints.clear();
    assert_eq!(conclusion(&results), Verdict::Incomplete);
}

#[test]
fn references_come_first_then_the_first_divergence_then_a_requirement() {
    let mut results = diverged(Reason::Budget, vec![refused(Reason::Budget, failed())]);
    results.checkpoints[2].verdict = Verdict::Fail;
    let by = |results: &Results| killer(results).map(|killer| killer.by).unwrap_or_default();
    assert_eq!(by(&results), "01");
    results.quorum.verdict = Verdict::Error;
    results.quorum.disagreement = Some(finding(Reason::Exact));
    assert_eq!(by(&results), FaultJudge::QUORUM);
    results.incidents.push(incident());
    assert_eq!(by(&results), FaultJudge::REFERENCES);
    results = passed();
    results.checkpoints[2].verdict = Verdict::Fail;
    assert_eq!(by(&results), "02");
    // What is a consequence of something else kills nothing.
    results.checkpoints[2].verdict = Verdict::Blocked;
    assert_eq!(by(&results), "");
}

#[test]
fn an_incident_is_told_in_its_own_words() {
    let mut results = passed();
    results.incidents.push(incident());
    let found = killer(&results).unwrap();
    assert_eq!(found.message, "first@f32 crashed: signal 11");
    assert_eq!((found.reason, found.tensor, found.mode, found.margin), (Reason::Incident, None, None, None));
}

#[test]
fn references_that_differ_are_told_with_how_far() {
    let mut results = passed();
    results.quorum.disagreement = Some(finding(Reason::Exact));
    assert_eq!(disagreement(&results), None);
    results.quorum.verdict = Verdict::Error;
    results.quorum.used = Measured(1.0);
    let found = disagreement(&results).unwrap();
    assert_eq!((found.tensor.as_deref(), found.margin, found.message.as_str()), (Some("ln_f"), None, "said"));
    results.quorum.used = Measured(7.0);
    assert_eq!(disagreement(&results).unwrap().margin, Some(Measured(7.0)));
}

#[test]
fn a_divergence_is_told_by_the_comparisons_at_it() {
    let with = |used| {
        let budget = Some(BudgetRecord { used: Measured(used), ..budget(1, 0.0) });
        compared(StatisticsRecord { budget, ..statistics() })
    };
    let out = |used| refused(Reason::Budget, with(used));
    let elsewhere = |change: fn(&mut Comparison)| {
        let mut other = out(99.0);
        change(&mut other);
        other
    };
    let comparisons = vec![
        elsewhere(|other| other.name = "embd".to_owned()),
        elsewhere(|other| other.step = Some(1)),
        elsewhere(|other| other.mode = Mode::Chained),
        elsewhere(|other| other.reason = Some(Reason::Chained)),
        out(3.0),
        out(5.0),
    ];
    let found = killer(&diverged(Reason::Budget, comparisons)).unwrap();
    assert_eq!((found.margin, found.mode), (Some(Measured(5.0)), Some(Mode::Isolated)));
    assert_eq!(found.tensor.as_deref(), Some("step0/ln_f"));
    assert_eq!(found.message, with(3.0).to_string());
    let mut of_case = diverged(Reason::Budget, vec![]);
    of_case.first_divergence.as_mut().unwrap().step = None;
    let found = killer(&of_case).unwrap();
    assert_eq!((found.tensor.as_deref(), found.margin, found.message.as_str()), (Some("ln_f"), None, ""));
}

#[test]
fn the_margin_is_that_of_the_bound_that_was_passed() {
    let record =
        |violations, systematic| BudgetRecord { used: Measured(4.0), ..budget(violations, systematic) };
    let statistics = StatisticsRecord {
        used: Measured(2.0),
        rmse: Measured(6.0),
        budget: Some(record(1, 8.0)),
        ..statistics()
    };
    let of = |reason| {
        let chained_allowed = Some(Measured(0.5));
        margin(&Comparison { chained_allowed, ..refused(reason, compared(statistics.clone())) })
    };
    assert_eq!(of(Reason::Budget), Some(Measured(4.0)));
    assert_eq!(of(Reason::Systematic), Some(Measured(8.0)));
    assert_eq!(of(Reason::Chained), Some(Measured(12.0)));
    assert_eq!(of(Reason::Exact), None);
    assert_eq!(margin(&refused(Reason::Missing, missing("subject"))), None);
    assert_eq!(margin(&comparison(ComparisonVerdict::Fail, false)), None);
}

#[test]
fn a_requirement_is_told_by_its_first_finding_and_too_few_comparisons_by_their_number() {
    let mut results = passed();
    results.checkpoints[2].verdict = Verdict::Incomplete;
    results.checkpoints[2].compared = 4;
    let found = by_requirement(&results).unwrap();
    assert_eq!((found.by.as_str(), found.reason, found.tensor), ("02", Reason::Missing, None));
    assert_eq!(found.message, "4 of 5 compared");
    let warned = Finding { message: "warned".to_owned(), ..finding(Reason::Budget) };
    results.checkpoints[2].requirements = vec![
        requirement(ComparisonVerdict::Pass, vec![warned]),
        requirement(ComparisonVerdict::Fail, vec![finding(Reason::Invariant)]),
    ];
    let found = by_requirement(&results).unwrap();
    assert_eq!((found.reason, found.message.as_str()), (Reason::Invariant, "said"));
    assert_eq!(found.tensor.as_deref(), Some("ln_f"));
}

#[test]
fn the_killer_of_a_judged_run_is_where_it_diverged() {
    let specs = specs();
    let assays = [assay(vec![observation(&specs, "ln_f", Mode::Isolated, failed())])];
    let mut facts = facts();
    facts.references.truncate(1);
    let found = observe_fault("a", true, &judge(&specs, &facts, &assays).unwrap());
    assert_eq!(found.killer.map(|killer| (killer.by, killer.reason)), Some(("01".to_owned(), Reason::Exact)));
}
