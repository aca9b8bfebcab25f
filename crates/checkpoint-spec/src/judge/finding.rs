//! One comparison: numbers → verdict and reason.

use crate::results::Mode;
use crate::results::{ComparisonVerdict, Outcome, Reason, StatisticsRecord};
use crate::spec::{ActivationSpec, NonFinitePolicy, Rule};

/// What one outcome means under its activation's spec.
pub(super) fn finding(
    activation: &ActivationSpec,
    mode: Mode,
    outcome: &Outcome,
) -> (ComparisonVerdict, Option<Reason>) {
    use ComparisonVerdict::{Error, Fail, Incomplete, Missing, Pass};
    match outcome {
        Outcome::ShapeMismatch { side, .. } => (by_side(side, Fail, Error), Some(Reason::Shape)),
        Outcome::DtypeMismatch { side, .. } => (by_side(side, Fail, Error), Some(Reason::DType)),
        Outcome::Missing { side } => (by_side(side, Missing, Incomplete), Some(Reason::Missing)),
        Outcome::Unreadable { .. } => (Error, Some(Reason::Unreadable)),
        Outcome::Compared { statistics, .. } => match reason(activation, mode, statistics) {
            None => (Pass, None),
            Some(Reason::Tie) => (Pass, Some(Reason::Tie)),
            Some(Reason::Empty) => (Incomplete, Some(Reason::Empty)),
            Some(reason) => (Fail, Some(reason)),
        },
    }
}

fn by_side(side: &str, subject: ComparisonVerdict, reference: ComparisonVerdict) -> ComparisonVerdict {
    if side.starts_with("subject") { subject } else { reference }
}

fn reason(activation: &ActivationSpec, mode: Mode, statistics: &StatisticsRecord) -> Option<Reason> {
    let counts = statistics.non_finite;
    let infinite = counts.actual_infinite + counts.expected_infinite;
    let infinity_allowed = match activation.non_finite {
        NonFinitePolicy::Never => false,
        // The expected tensor has −∞ exactly where the law says; equality places the subject's.
        NonFinitePolicy::NegativeInfinityAfterQuery => counts.actual_infinite == counts.same_infinity,
    };
    if statistics.elements == 0 {
        Some(Reason::Empty)
    } else if counts.actual_nan + counts.expected_nan > 0 || (infinite > 0 && !infinity_allowed) {
        Some(Reason::NonFinite)
    } else if statistics.violations > 0 {
        Some(match (&activation.rule, mode) {
            (Rule::Classic { .. }, _) => Reason::Ceiling,
            _ => Reason::Exact,
        })
    } else if statistics.ties > 0 {
        Some(Reason::Tie)
    } else {
        None
    }
}
