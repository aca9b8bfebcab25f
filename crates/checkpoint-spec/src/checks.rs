//! Checks: each numbered requirement is bound to one, and each can fail.
//!
//! A check looks at the subject's own chained run and at nothing else, so it says what is wrong without a reference.
//! Every comparison is written as `error <= bound`: NaN never passes one.

mod cache;
mod entry;
mod probabilities;
mod rounding;
#[cfg(test)]
mod tests;
mod tokens;
mod values;

use std::collections::BTreeSet;

use capture::{Case, Precision, TensorName, TensorSource};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Architecture;
use crate::plan::Required;
use crate::results::{Finding, Reason};
use crate::spec::{Check, Spec};
use entry::Entry;

/// What a check may look at.
#[derive(Clone, Copy)]
pub struct CheckContext<'a> {
    /// The spec of the requirement.
    pub spec: &'a Spec,
    /// The model's sizes and constants.
    pub architecture: &'a Architecture,
    /// The case.
    pub case: &'a Case,
    /// What the subject computes in, or stores its results in.
    pub precision: Precision,
    /// `c`, how far a sum of independent roundings may go.
    pub confidence: f64,
    /// The subject's chained run.
    pub capture: &'a dyn TensorSource,
    /// Activations that were not contiguous where they were observed.
    pub not_contiguous: &'a BTreeSet<TensorName>,
    /// What must be looked at: everything the requirement is about and the check [applies to](Check::applies_to).
    pub required: &'a [Required],
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Examination {
    /// How many of the required tensors were examined, to a good end or a bad one.
    pub checked: u64,
    /// Departures, and tensors that could not be examined.
    pub findings: Vec<Finding>,
}

impl Check {
    /// Whether there is something to look at in a required tensor. Where there is not, a pass would be one of nothing:
    /// unused slots of a full cache, the growth of a cache in a case of one step.
    pub fn applies_to(self, architecture: &Architecture, case: &Case, required: &Required) -> bool {
        let last = case.schedule.len().saturating_sub(1);
        match self {
            Self::CacheZeroWhenUnused => {
                let used =
                    required.name.step.and_then(|step| case.steps().nth(step)).map_or(0, |step| step.end);
                architecture.sizes.get("C").is_some_and(|&context| used < context)
            }
            Self::CacheAppendOnly => last > 0 && required.name.step == Some(last),
            _ => true,
        }
    }

    /// Looks at every required tensor. One that cannot be looked at (missing, unreadable, of another layout) gives a
    /// finding and is not counted as checked. The required ones to which the check does not apply are left out.
    pub fn examine(self, context: &CheckContext<'_>) -> Examination {
        let mut examination = Examination::default();
        if !self.is_examined() {
            return examination;
        }
        let names = if self == Self::Contiguous { context.capture.names() } else { BTreeSet::new() };
        for required in context.required {
            if !self.applies_to(context.architecture, context.case, required) {
                continue;
            }
            let entry = Entry { context, required };
            let departure = match self.look(&entry, &names) {
                Err(obstacle) => {
                    examination.findings.push(obstacle);
                    continue;
                }
                Ok(departure) => departure,
            };
            examination.checked += 1;
            let reason = if self == Self::Finite { Reason::NonFinite } else { Reason::Invariant };
            examination.findings.extend(departure.map(|message| entry.finding(reason, message)));
        }
        examination
    }

    /// What is wrong with one tensor, if anything; `Err` with what kept it from being looked at.
    fn look(self, entry: &Entry<'_>, names: &BTreeSet<TensorName>) -> Result<Option<String>, Finding> {
        match self {
            Self::Agreement | Self::NothingUnexpected => Ok(None),
            Self::Finite => values::finite(entry),
            Self::Contiguous => values::contiguous(entry, names),
            Self::PlausibleRange => values::plausible_range(entry),
            Self::Distinct => values::distinct(entry),
            Self::CacheZeroWhenUnused => cache::zero_when_unused(entry),
            Self::CacheAppendOnly => cache::append_only(entry),
            Self::MaskBeforeSoftmax => probabilities::zero_where_masked(entry),
            Self::ProbabilitiesInUnitInterval => probabilities::in_unit_interval(entry),
            Self::ProbabilitiesSumToOne => probabilities::sum_to_one(entry),
            Self::TemperatureFlattens => probabilities::flatter_than_the_colder(entry),
            Self::GenerationContinues => tokens::continues(entry),
        }
    }
}
