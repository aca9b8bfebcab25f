use super::*;
use crate::judge::fixtures::{assay, case, compared, facts, observation, specs, statistics};

/// How many comparisons are required of each checkpoint.
fn counts(facts: &RunFacts) -> Vec<u64> {
    let specs = specs();
    let counts = required_counts(&specs, facts).unwrap();
    (0..specs.specs.len()).map(|spec| counts.get(&spec).copied().unwrap_or_default()).collect()
}

fn total(facts: &RunFacts) -> u64 {
    counts(facts).iter().sum()
}

/// How many activations of the case are chained and have such a rule; and how many are replayed.
fn planned(facts: &RunFacts) -> ([u64; 4], u64) {
    let specs = specs();
    let plan = |mode| {
        let case = &facts.cases[0].0;
        required(&specs, &facts.architecture, case, facts.traits, mode, Precision::F32).unwrap()
    };
    let mut chained = [0; 4];
    for item in plan(Mode::Run) {
        let rule = &specs.specs[item.spec].activations[item.activation].rule;
        chained[match rule {
            Rule::Derived { .. } => 0,
            Rule::Tie { .. } => 1,
            Rule::Exact { .. } => 2,
            Rule::Classic { .. } => 3,
        }] += 1;
    }
    (chained, plan(Mode::Replay).len() as u64)
}

#[test]
fn what_is_required_follows_from_the_rules_and_from_who_was_claimed() {
    let mut facts = facts();
    let ([derived, tie, exact, classic], replayed) = planned(&facts);
    assert!([derived, tie, exact, classic, replayed].iter().all(|&count| count > 0));
    // Each of two references judges at f32, both at f64 where ties are, and the oracle alone where there is a bound.
    assert_eq!(total(&facts), derived + 2 * tie + 2 * exact + 3 * classic + replayed);
    facts.references.truncate(1);
    assert_eq!(total(&facts), derived + tie + exact + 2 * classic + replayed);
    // A reference is no peer of itself.
    facts.subject.name = "first".to_owned();
    assert_eq!(total(&facts), derived + tie + classic + replayed);
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
fn what_is_stored_in_half_precision_is_compared_once_in_a_chained_run() {
    let mut facts = facts();
    let ([derived, tie, exact, classic], replayed) = planned(&facts);
    facts.subject.precision = Precision::Bf16;
    let floats_that_are_exact = {
        let specs = specs();
        let case = &facts.cases[0].0;
        let plan =
            required(&specs, &facts.architecture, case, facts.traits, Mode::Run, Precision::F32).unwrap();
        let exact = plan.iter().filter(|item| {
            let rule = &specs.specs[item.spec].activations[item.activation].rule;
            item.dtype.is_float() && matches!(rule, Rule::Exact { .. })
        });
        exact.count() as u64
    };
    let bytes = exact - floats_that_are_exact;
    let expected = derived + 2 * tie + floats_that_are_exact + 2 * bytes + classic + replayed;
    assert_eq!(total(&facts), expected);
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
    let of = |mode, used| observation(&specs, "ln_f", mode, with(used));
    let by_peer = |mut observation: crate::assay::Observation| {
        observation.reference = "first@f32".to_owned();
        observation
    };
    let assays = [assay(vec![of(Mode::Replay, 0.25), of(Mode::Run, 0.5), by_peer(of(Mode::Run, 9.0))])];
    let [figure] = &peers(&specs, &facts(), &assays)[..] else { panic!() };
    let found = (figure.run_max_abs, figure.replay_max_abs, figure.budget_used);
    assert_eq!(found, (Measured(0.5), Measured(0.25), Some(Measured(0.5))));
    assert_eq!((figure.checkpoint.as_str(), figure.implementation.as_str()), ("01", "subject@f32"));
}
