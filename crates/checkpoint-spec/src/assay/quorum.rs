//! The voices against each other at f64, where no rounding noise can hide a difference of meaning.

use capture::{Precision, Tensor, TensorName};
use rayon::iter::{IntoParallelRefIterator, ParallelExtend, ParallelIterator};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tensor_compare::{Criterion, MatchedPair, Tolerance, compare};

use super::measure::{IntoOutcome, compared, fetch_f64, mismatch_outcome};
use super::{CaseEvidence, ReferenceCaptures, Setting};
use crate::plan::{Traits, required};
use crate::results::{Outcome, Side};
use crate::spec::SpecError;

/// One activation of two voices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuorumObservation {
    /// The tensor.
    pub name: TensorName,
    /// The two: `tinygrad@f64 against torch@f64`.
    pub between: String,
    /// The numbers, or why there are none.
    pub outcome: Outcome,
}

/// Compares every further reference with the first, on everything that both must have.
pub(super) fn observe(
    setting: &Setting<'_>,
    evidence: &CaseEvidence<'_>,
) -> Result<Vec<QuorumObservation>, SpecError> {
    let Some((first, others)) = evidence.references.split_first() else { return Ok(Vec::new()) };
    let traits = Traits { preallocated_cache: false, ..setting.traits };
    let roundings = setting.specs.judging.quorum.roundings;
    let plan = required(setting.specs, setting.architecture, evidence.case, traits, Precision::F64)?;
    let mut observations = Vec::new();
    for other in others {
        let side = |reference: &ReferenceCaptures<'_>| Side::Reference(reference.at(Precision::F64));
        let [a, b] = [other, first].map(|reference| (reference.f64, side(reference)));
        observations.par_extend(plan.par_iter().map(|required| {
            let outcome = fetch_f64(a.0, &a.1, required)
                .and_then(|actual| Ok(agreement(&actual, &fetch_f64(b.0, &b.1, required)?, roundings)))
                .into_outcome();
            let between = format!("{} against {}", a.1, b.1);
            QuorumObservation { name: required.name.clone(), between, outcome }
        }));
    }
    Ok(observations)
}

/// The numbers of two computations at f64.
pub(super) fn agreement(actual: &Tensor, expected: &Tensor, roundings: f64) -> Outcome {
    let criterion =
        if expected.dtype().is_float() { scaled_tolerance(expected, roundings) } else { Criterion::BitExact };
    match MatchedPair::new(actual.view(), expected.view()) {
        Ok(pair) => compared(actual, &compare(pair, criterion), None),
        Err(mismatch) => mismatch_outcome(mismatch, &Side::Reference("reference".to_owned())),
    }
}

/// What two computations at f64 may be apart: so many roundings of the largest value.
pub(crate) fn scaled_tolerance(expected: &Tensor, roundings: f64) -> Criterion {
    let finite = expected.view().to_f64_lossy().into_iter().filter(|value| value.is_finite());
    let largest = finite.map(f64::abs).fold(0.0, f64::max);
    let allowed = largest * roundings * Precision::F64.unit();
    Tolerance::new(allowed, 0.0).map_or(Criterion::BitExact, Criterion::Classic)
}
