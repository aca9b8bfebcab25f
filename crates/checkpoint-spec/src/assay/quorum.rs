//! The references against each other at f64, where no rounding noise can hide a difference of meaning.

use capture::{Precision, Tensor, TensorName};
use rayon::iter::{IntoParallelRefIterator, ParallelExtend, ParallelIterator};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tensor_compare::{Criterion, MatchedPair, Tolerance, compare};

use super::measure::{IntoOutcome, compared, fetch_f64, mismatch_outcome};
use super::{CaseEvidence, Setting};
use crate::plan::{Traits, required};
use crate::results::{Mode, Outcome};
use crate::spec::SpecError;

/// The disagreement allowed, as a share of the largest value in the tensor: 2¹⁶ roundings of f64. A chain of a few
/// hundred operations stays far below; a difference of meaning (erf for tanh, another epsilon) is far above.
const ALLOWED: f64 = 65_536.0 * (f64::EPSILON / 2.0);

/// One activation of two references.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuorumObservation {
    /// The tensor.
    pub name: TensorName,
    /// Chained or isolated.
    pub mode: Mode,
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
    let mut observations = Vec::new();
    for mode in [Mode::Run, Mode::Replay] {
        let plan =
            required(setting.specs, setting.architecture, evidence.case, traits, mode, Precision::F64)?;
        for other in others {
            let sides = [other, first].map(|reference| match mode {
                Mode::Run => (reference.f64.run, reference.at(Precision::F64)),
                Mode::Replay => (reference.f64.replay, reference.at(Precision::F64)),
            });
            let [a, b] = &sides;
            observations.par_extend(plan.par_iter().map(|required| {
                let outcome = fetch_f64(a.0, &a.1, required)
                    .and_then(|actual| Ok(agreement(&actual, &fetch_f64(b.0, &b.1, required)?)))
                    .into_outcome();
                let between = format!("{} against {}", a.1, b.1);
                QuorumObservation { name: required.name.clone(), mode, between, outcome }
            }));
        }
    }
    Ok(observations)
}

fn agreement(actual: &Tensor, expected: &Tensor) -> Outcome {
    let criterion =
        if expected.dtype().is_float() { scaled_tolerance(expected) } else { Criterion::BitExact };
    match MatchedPair::new(actual.view(), expected.view()) {
        Ok(pair) => compared(actual, &compare(pair, criterion), 0, None),
        Err(mismatch) => mismatch_outcome(mismatch, "reference"),
    }
}

/// What two computations at f64 may be apart.
pub(crate) fn scaled_tolerance(expected: &Tensor) -> Criterion {
    let finite = expected.view().to_f64_lossy().into_iter().filter(|value| value.is_finite());
    let largest = finite.map(f64::abs).fold(0.0, f64::max);
    // The product of two finite numbers, one below 1, is finite: the tolerance is always valid.
    Tolerance::new(largest * ALLOWED, 0.0).map_or(Criterion::BitExact, Criterion::Classic)
}
