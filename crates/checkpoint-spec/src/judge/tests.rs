use super::*;
use crate::assay::{Measurement, Observation};
use crate::judge::fixtures::{assay, case, compared, facts, observation, specs, statistics};
use crate::results::StatisticsRecord;

/// How many comparisons are required of each checkpoint.
fn counts(facts: &RunFacts) -> Vec<u64> {
    let specs = specs();
    let counts = required_counts(&specs, facts).unwrap();
    (0..specs.specs.len()).map(|spec| counts.get(&spec).copied().unwrap_or_default()).collect()
}

fn total(facts: &RunFacts) -> u64 {
    counts(facts).iter().sum()
}

/// How many activations of the case are judged against every reference, and how many otherwise.
fn planned(facts: &RunFacts) -> (u64, u64) {
    let specs = specs();
    let case = &facts.cases[0].0;
    let plan = required(&specs, &facts.architecture, case, facts.traits, Precision::F32).unwrap();
    let is_exact =
        |item: &&Required| matches!(specs.of(item).judgement(), Some(Judgement::Rule(Rule::Exact { .. })));
    let exact = plan.iter().filter(is_exact).count();
    (exact as u64, (plan.len() - exact) as u64)
}

#[test]
fn what_is_required_follows_from_the_rules_and_from_who_was_claimed() {
    let mut facts = facts();
    facts.traits.tokenizer = true;
    facts.cases[0].0.texts = Some(vec!["one".to_owned(), "two".to_owned()]);
    let (exact, others) = planned(&facts);
    assert!(exact > 0 && others > 50);
    assert_eq!(total(&facts), 2 * exact + others);
    facts.references.truncate(1);
    assert_eq!(total(&facts), exact + others);
    // Nothing else is asked of what is stored in half precision.
    facts.subject.precision = Precision::Bf16;
    assert_eq!(total(&facts), exact + others);
}

#[test]
fn every_case_is_required_and_its_steps_with_it() {
    let mut facts = facts();
    let once = counts(&facts);
    facts.cases.push((case("again"), String::new()));
    assert_eq!(counts(&facts), once.iter().map(|count| 2 * count).collect::<Vec<_>>());
    facts.cases.clear();
    assert_eq!(total(&facts), 0);
}

#[test]
fn a_run_is_what_the_worst_of_its_parts_is() {
    let of = |facts: &RunFacts, run, checkpoints: &[Verdict], reservations: &[Reservation]| {
        overall(facts, run, checkpoints.iter().copied(), reservations)
    };
    let reservation = || Reservation { checkpoint: None, message: "dirty".to_owned() };
    let facts = facts();
    use Verdict::{Conditional, Error, Fail, Incomplete, Pass};
    assert_eq!(of(&facts, Pass, &[Pass, Pass], &[]), Pass);
    assert_eq!(of(&facts, Pass, &[Pass, Fail, Incomplete], &[]), Fail);
    assert_eq!(of(&facts, Error, &[Pass], &[]), Error);
    assert_eq!(of(&facts, Pass, &[Pass], &[reservation()]), Conditional);
    assert_eq!(of(&facts, Pass, &[Fail], &[reservation()]), Fail);
    assert_eq!(of(&facts, Pass, &[], &[]), Incomplete);

    let mut stopped = facts.clone();
    let incident = Incident {
        implementation: "first@f32".to_owned(),
        case: None,
        kind: "crashed".to_owned(),
        message: String::new(),
    };
    stopped.incidents.push(incident);
    assert_eq!(of(&stopped, Pass, &[Pass], &[]), Error);
    assert_eq!(of(&stopped, Pass, &[Fail], &[]), Fail);
    let caseless = RunFacts { cases: Vec::new(), ..facts.clone() };
    assert_eq!(of(&caseless, Pass, &[Pass], &[]), Incomplete);
    let alone = RunFacts { references: Vec::new(), ..facts };
    assert_eq!(of(&alone, Pass, &[Pass], &[]), Incomplete);
}

#[test]
fn a_case_is_summed_up_as_it_was_run() {
    let found = summary(&(case("tiny"), "a case".to_owned()));
    let expected = CaseSummary {
        id: "tiny".to_owned(),
        about: "a case".to_owned(),
        batch: 2,
        tokens: 3,
        steps: 2,
        generate: 2,
    };
    assert_eq!(found, expected);
}

#[test]
fn checkpoints_that_were_not_asked_for_are_not_reported_and_none_is_too_few() {
    let specs = specs();
    let ids = |selected: &[&str]| {
        let selected = selected.iter().map(|&id| id.to_owned()).collect();
        let facts = RunFacts { selected, ..facts() };
        let results = judge(&specs, &facts, &[]).unwrap();
        assert_eq!(results.verdict, Verdict::Incomplete);
        assert_eq!(results.exit_code, 4);
        results.checkpoints.iter().map(|checkpoint| checkpoint.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&[]).len(), specs.specs.len());
    assert_eq!(ids(&["06", "01"]), ["01", "06"]);
    assert_eq!(ids(&["99"]).len(), 0);
}

#[test]
fn a_budget_that_is_used_is_a_figure_of_who_used_it() {
    let specs = specs();
    let with = |used| {
        let budget = Some(crate::results::BudgetRecord { used: Measured(used), ..fixtures::budget(0, 0.0) });
        compared(StatisticsRecord { budget, max_abs: Measured(used), ..statistics() })
    };
    let by = |implementation: &str, mode, outcome| {
        let Observation { required, .. } = observation(&specs, "ln_f", mode, with(0.0));
        Measurement { implementation: implementation.to_owned(), required, mode, outcome }
    };
    let mut assay = assay(vec![observation(&specs, "ln_f", Mode::Isolated, with(0.25))]);
    let chained = StatisticsRecord { max_abs: Measured(0.5), used: Measured(3.0), ..statistics() };
    assay.measured = vec![
        by("subject@f32", Mode::Chained, compared(chained)),
        by("first@f32", Mode::Isolated, with(9.0)),
        by("nobody@f32", Mode::Isolated, with(99.0)),
    ];
    let [subject, first] = &peers(&specs, &facts(), &[assay])[..] else { panic!() };
    assert_eq!((subject.checkpoint.as_str(), subject.implementation.as_str()), ("01", "subject@f32"));
    let found =
        (subject.chained_max_abs, subject.isolated_max_abs, subject.budget_used, subject.ceiling_used);
    assert_eq!(found, (Measured(0.5), Measured(0.25), Some(Measured(0.25)), Some(Measured(3.0))));
    let found = (first.implementation.as_str(), first.budget_used, first.ceiling_used);
    assert_eq!(found, ("first@f32", Some(Measured(9.0)), None));
}
