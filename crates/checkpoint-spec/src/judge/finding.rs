//! One comparison: numbers → verdict and reason.

use crate::assay::Observation;
use crate::results::{ComparisonVerdict, Mode, Outcome, Reason, Side, StatisticsRecord};
use crate::spec::{NonFinitePolicy, SpecSet};

/// What observations mean under the specs of a run.
#[derive(Clone, Copy)]
pub(super) struct Law<'a> {
    /// The specs.
    pub(super) specs: &'a SpecSet,
    /// The subject has weights of its own: that their digests differ is what the user chose, and no finding.
    pub(super) subject_weights: bool,
}

impl Law<'_> {
    /// One word for an observation, and why it is not a plain pass.
    pub(super) fn finding(self, observation: &Observation) -> (ComparisonVerdict, Option<Reason>) {
        let is_digest = || self.specs.of(&observation.required).name.starts_with("weights.");
        match finding(self, observation) {
            (ComparisonVerdict::Fail, reason) if self.subject_weights && is_digest() => {
                (ComparisonVerdict::Pass, reason)
            }
            found => found,
        }
    }
}

fn finding(law: Law<'_>, observation: &Observation) -> (ComparisonVerdict, Option<Reason>) {
    use ComparisonVerdict::{Error, Fail, Incomplete, Missing, Pass};
    match &observation.outcome {
        Outcome::ShapeMismatch { side, .. } => (by_side(side, Fail, Error), Some(Reason::Shape)),
        Outcome::DtypeMismatch { side, .. } => (by_side(side, Fail, Error), Some(Reason::DType)),
        Outcome::Missing { side } => (by_side(side, Missing, Incomplete), Some(Reason::Missing)),
        Outcome::Unreadable { .. } => (Error, Some(Reason::Unreadable)),
        Outcome::Compared { statistics, .. } => match reason(law, observation, statistics) {
            None => (Pass, None),
            Some(Reason::Tie) => (Pass, Some(Reason::Tie)),
            Some(Reason::Empty) => (Incomplete, Some(Reason::Empty)),
            Some(reason) => (Fail, Some(reason)),
        },
    }
}

fn by_side(side: &Side, subject: ComparisonVerdict, reference: ComparisonVerdict) -> ComparisonVerdict {
    if side.is_subject() { subject } else { reference }
}

fn reason(law: Law<'_>, observation: &Observation, statistics: &StatisticsRecord) -> Option<Reason> {
    let activation = law.specs.of(&observation.required);
    let counts = statistics.non_finite;
    let infinite = counts.actual_infinite + counts.expected_infinite;
    let infinity_allowed = match activation.non_finite {
        NonFinitePolicy::Never => false,
        // The expected tensor has −∞ exactly where the law says; equality places the subject's.
        NonFinitePolicy::NegativeInfinityAfterQuery | NonFinitePolicy::NegativeInfinityBesidesTheQuery => {
            counts.actual_infinite == counts.same_infinity
        }
    };
    let out_of_budget = statistics.budget.as_ref().is_some_and(|budget| budget.violations > 0);
    let out_of_chained =
        observation.chained_allowed.is_some_and(|allowed| allowed.or_worse(statistics.rmse) != allowed);
    if statistics.elements == 0 {
        Some(Reason::Empty)
    } else if counts.actual_nan + counts.expected_nan > 0 || (infinite > 0 && !infinity_allowed) {
        Some(Reason::NonFinite)
    } else if statistics.violations > 0 && observation.mode == Mode::Isolated {
        Some(Reason::Exact)
    } else if out_of_budget {
        Some(Reason::Budget)
    } else if statistics.budget.as_ref().is_some_and(|budget| budget.systematic_violation().is_some()) {
        Some(Reason::Systematic)
    } else if out_of_chained || statistics.violations > 0 {
        Some(Reason::Chained)
    } else if statistics.ties > 0 {
        Some(Reason::Tie)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
