use tensor_compare::NonFinite;

use super::*;
use crate::Measured;
use crate::judge::fixtures::{budget, compared, failed, missing, observation, specs, statistics};
use crate::results::{BudgetRecord, Mode};

const FLOAT: &str = "ln_f";
const MASK: &str = "h.{l}.attn.mask";
const TOKEN: &str = "token";
const LOGITS: &str = "generated.logits";

/// What a law makes of an observation of `name` that came out so.
fn of(name: &str, outcome: Outcome) -> (ComparisonVerdict, Option<Reason>) {
    under(name, Mode::Isolated, outcome, None)
}

fn under(
    name: &str,
    mode: Mode,
    outcome: Outcome,
    chained_allowed: Option<f64>,
) -> (ComparisonVerdict, Option<Reason>) {
    let specs = specs();
    let observed = observation(&specs, name, mode, outcome);
    let chained_allowed = chained_allowed.map(Measured);
    Law { specs: &specs, subject_weights: false }.finding(&Observation { chained_allowed, ..observed })
}

fn infinite(actual: u64, expected: u64, same: u64) -> Outcome {
    let counts = NonFinite {
        actual_infinite: actual,
        expected_infinite: expected,
        same_infinity: same,
        ..NonFinite::default()
    };
    compared(StatisticsRecord { non_finite: counts, ..statistics() })
}

fn bounded(budget: BudgetRecord, violations: u64, rmse: f64) -> Outcome {
    let (budget, rmse) = (Some(budget), Measured(rmse));
    compared(StatisticsRecord { budget, violations, rmse, ..statistics() })
}

#[test]
fn what_cannot_be_compared_is_the_fault_of_whose_side_it_is() {
    let shape = |side: &str| Outcome::ShapeMismatch {
        expected: capture::Shape::new([2]).unwrap(),
        found: capture::Shape::new([3]).unwrap(),
        side: side.to_owned().into(),
    };
    let dtype = |side: &str| {
        let (expected, found) = (tensor_compare::DType::F32, tensor_compare::DType::F64);
        Outcome::DtypeMismatch { expected, found, side: side.to_owned().into() }
    };
    let unreadable = Outcome::Unreadable { problem: "broken".to_owned() };
    assert_eq!(of(FLOAT, shape("subject")), (ComparisonVerdict::Fail, Some(Reason::Shape)));
    assert_eq!(of(FLOAT, shape("first@f64")), (ComparisonVerdict::Error, Some(Reason::Shape)));
    assert_eq!(of(FLOAT, dtype("subject")), (ComparisonVerdict::Fail, Some(Reason::DType)));
    assert_eq!(of(FLOAT, dtype("first@f64")), (ComparisonVerdict::Error, Some(Reason::DType)));
    assert_eq!(of(FLOAT, missing("subject")), (ComparisonVerdict::Missing, Some(Reason::Missing)));
    assert_eq!(of(FLOAT, missing("first@f64")), (ComparisonVerdict::Incomplete, Some(Reason::Missing)));
    // A reference that is called so is no subject.
    assert_eq!(of(FLOAT, missing("subject-x@f64")), (ComparisonVerdict::Incomplete, Some(Reason::Missing)));
    assert_eq!(of(FLOAT, shape("subject-x@f64")), (ComparisonVerdict::Error, Some(Reason::Shape)));
    assert_eq!(of(FLOAT, unreadable), (ComparisonVerdict::Error, Some(Reason::Unreadable)));
}

#[test]
fn no_elements_are_nothing_compared() {
    let nothing = compared(StatisticsRecord { elements: 0, ..statistics() });
    assert_eq!(of(FLOAT, nothing), (ComparisonVerdict::Incomplete, Some(Reason::Empty)));
    assert_eq!(of(FLOAT, compared(statistics())), (ComparisonVerdict::Pass, None));
}

#[test]
fn nan_fails_on_either_side_and_on_both() {
    for (actual_nan, expected_nan) in [(1, 0), (0, 1), (1, 1)] {
        let non_finite = NonFinite { actual_nan, expected_nan, ..NonFinite::default() };
        let outcome = compared(StatisticsRecord { non_finite, ..statistics() });
        assert_eq!(of(MASK, outcome), (ComparisonVerdict::Fail, Some(Reason::NonFinite)));
    }
}

#[test]
fn infinities_stand_where_the_spec_has_them_alone() {
    let non_finite = (ComparisonVerdict::Fail, Some(Reason::NonFinite));
    for outcome in [infinite(1, 0, 0), infinite(0, 1, 0), infinite(1, 1, 1)] {
        assert_eq!(of(FLOAT, outcome), non_finite);
    }
    assert_eq!(of(MASK, infinite(3, 3, 3)), (ComparisonVerdict::Pass, None));
    assert_eq!(of(MASK, infinite(4, 3, 3)), non_finite);
}

#[test]
fn a_bound_that_is_passed_is_named() {
    assert_eq!(of(FLOAT, failed()), (ComparisonVerdict::Fail, Some(Reason::Exact)));
    assert_eq!(of(TOKEN, failed()), (ComparisonVerdict::Fail, Some(Reason::Exact)));
    assert_eq!(of(FLOAT, bounded(budget(0, 1.0), 0, 0.0)), (ComparisonVerdict::Pass, None));
    let found = of(FLOAT, bounded(budget(1, 9.0), 0, 5.0));
    assert_eq!(found, (ComparisonVerdict::Fail, Some(Reason::Budget)));
    for systematic in [1.1, f64::NAN] {
        let found = of(FLOAT, bounded(budget(0, systematic), 0, 5.0));
        assert_eq!(found, (ComparisonVerdict::Fail, Some(Reason::Systematic)));
    }
}

#[test]
fn a_chained_error_is_at_most_what_is_allowed() {
    let of = |violations, rmse| {
        let outcome = compared(StatisticsRecord { violations, rmse: Measured(rmse), ..statistics() });
        under(LOGITS, Mode::Chained, outcome, Some(1.0))
    };
    assert_eq!(of(0, 1.0), (ComparisonVerdict::Pass, None));
    for rmse in [1.0 + f64::EPSILON, f64::INFINITY, f64::NAN] {
        assert_eq!(of(0, rmse), (ComparisonVerdict::Fail, Some(Reason::Chained)));
    }
    // One element out of its bound does not drown in the mean of all.
    assert_eq!(of(1, 0.5), (ComparisonVerdict::Fail, Some(Reason::Chained)));
}

#[test]
fn a_tie_passes_and_is_named() {
    let tie = compared(StatisticsRecord { ties: 1, ..statistics() });
    assert_eq!(of(TOKEN, tie), (ComparisonVerdict::Pass, Some(Reason::Tie)));
}

#[test]
fn weights_of_its_own_excuse_a_subject_of_their_digests_and_of_nothing_else() {
    let specs = specs();
    let digest = specs.activations().find(|(.., a)| a.name.starts_with("weights.")).unwrap().2.name.clone();
    let with = |subject_weights, name: &str, outcome| {
        let law = Law { specs: &specs, subject_weights };
        law.finding(&observation(&specs, name, Mode::Isolated, outcome))
    };
    assert_eq!(with(true, &digest, failed()), (ComparisonVerdict::Pass, Some(Reason::Exact)));
    assert_eq!(with(false, &digest, failed()), (ComparisonVerdict::Fail, Some(Reason::Exact)));
    assert_eq!(with(true, FLOAT, failed()), (ComparisonVerdict::Fail, Some(Reason::Exact)));
    let gone = with(true, &digest, missing("subject"));
    assert_eq!(gone, (ComparisonVerdict::Missing, Some(Reason::Missing)));
}
