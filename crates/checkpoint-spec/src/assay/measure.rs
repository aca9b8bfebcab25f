//! One comparison: two tensors fetched, laid side by side, and measured.

use capture::{Precision, Tensor, TensorName, TensorSource};
use tensor_compare::{
    BudgetStatistics, Criterion, DType, LayoutMismatch, MatchedPair, OraclePair, RoundingBudget, Statistics,
    Tolerance, compare, compare_with_oracle,
};

use super::half;
use crate::plan::Required;
use crate::results::{Outcome, StatisticsRecord};
use crate::spec::ActivationSpec;

/// The tensor with the required layout, or the outcome that stands for its absence.
pub(super) fn fetch(
    source: Option<&dyn TensorSource>,
    side: &str,
    required: &Required,
) -> Result<Tensor, Outcome> {
    fetch_as(source, side, required, &[required.dtype])
}

/// Like [`fetch`], for a float activation of an f64 capture.
pub(super) fn fetch_f64(
    source: Option<&dyn TensorSource>,
    side: &str,
    required: &Required,
) -> Result<Tensor, Outcome> {
    let dtype = if required.dtype.is_float() { DType::F64 } else { required.dtype };
    fetch_as(source, side, required, &[dtype])
}

/// Of one of the `dtypes`; the first is what is expected where it is none of them.
fn fetch_as(
    source: Option<&dyn TensorSource>,
    side: &str,
    required: &Required,
    dtypes: &[DType],
) -> Result<Tensor, Outcome> {
    let missing = || Outcome::Missing { side: side.to_owned() };
    let tensor = match source.ok_or_else(missing)?.tensor(&required.name) {
        Ok(found) => found.ok_or_else(missing)?,
        Err(error) => return Err(Outcome::Unreadable { problem: error.to_string() }),
    };
    let dtype = dtypes.iter().find(|dtype| **dtype == tensor.dtype()).unwrap_or(&dtypes[0]);
    tensor.require_layout(*dtype, &required.shape).map_err(|mismatch| mismatch_outcome(mismatch, side))?;
    Ok(tensor)
}

pub(super) fn mismatch_outcome(mismatch: LayoutMismatch, side: &str) -> Outcome {
    let side = side.to_owned();
    match mismatch {
        LayoutMismatch::Shape { expected, found } => Outcome::ShapeMismatch { expected, found, side },
        LayoutMismatch::DType { expected, found } => Outcome::DtypeMismatch { expected, found, side },
    }
}

pub(super) fn compared(
    actual: &Tensor,
    statistics: &Statistics,
    ties: u64,
    budget: Option<&BudgetStatistics>,
) -> Outcome {
    Outcome::Compared {
        shape: actual.shape().clone(),
        statistics: Box::new(StatisticsRecord::new(statistics, ties, budget)),
    }
}

pub(super) fn matched(actual: &Tensor, expected: &Tensor, criterion: Criterion) -> Outcome {
    match MatchedPair::new(actual.view(), expected.view()) {
        Ok(pair) => compared(actual, &compare(pair, criterion), 0, None),
        Err(mismatch) => mismatch_outcome(mismatch, "subject"),
    }
}

pub(super) fn same_bits(actual: &Tensor, expected: &Tensor) -> Outcome {
    matched(actual, expected, Criterion::BitExact)
}

/// One side of a comparison: a capture, and what it is called.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    /// The capture, if there is one.
    pub(super) source: Option<&'a dyn TensorSource>,
    /// `subject`, `torch@f64`.
    pub(super) name: &'a str,
}

/// The numbers of one float tensor against the oracle's.
pub(super) fn against_oracle(
    actual: &Tensor,
    oracle: &Tensor,
    tolerance: Tolerance,
    budget: Option<(&Tensor, &RoundingBudget)>,
    side: &str,
) -> Result<Outcome, Outcome> {
    let magnitude = budget.map(|(magnitude, _)| magnitude.view());
    let pair = OraclePair::new(actual.view(), actual.dtype(), oracle.view(), magnitude)
        .map_err(|mismatch| mismatch_outcome(mismatch, side))?;
    match compare_with_oracle(pair, tolerance, budget.map(|(_, budget)| budget)) {
        Ok(found) => Ok(compared(actual, &found.statistics, 0, found.budget.as_ref())),
        Err(error) => Err(Outcome::Unreadable { problem: error.to_string() }),
    }
}

/// The numbers of one replayed activation against the oracle's replay from the same inputs.
pub(super) fn replayed(
    activation: &ActivationSpec,
    required: &Required,
    (confidence, precision): (f64, Precision),
    subject: Side<'_>,
    oracle: Side<'_>,
) -> Outcome {
    if precision.is_half() {
        return half::replayed(activation, required, (confidence, precision), subject, oracle);
    }
    let measure = || {
        let actual = fetch(subject.source, subject.name, required)?;
        let expected = fetch_f64(oracle.source, oracle.name, required)?;
        match activation.rule.replay_tolerance() {
            Some(tolerance) if required.dtype.is_float() => {
                let budget = activation.rounding_budget(confidence, Precision::F32);
                let magnitude = budget.is_some().then(|| fetch_magnitude(oracle, required)).transpose()?;
                let budget = magnitude.as_ref().zip(budget.as_ref());
                against_oracle(&actual, &expected, tolerance, budget, oracle.name)
            }
            _ => Ok(same_bits(&actual, &expected)),
        }
    };
    measure().into_outcome()
}

/// The oracle's bound for each element: in f32, or in f64 where f32 does not hold it.
pub(super) fn fetch_magnitude(oracle: Side<'_>, required: &Required) -> Result<Tensor, Outcome> {
    let activation = format!("magnitude/{}", required.name.activation);
    let name = TensorName { step: required.name.step, activation };
    fetch_as(oracle.source, oracle.name, &Required { name, ..required.clone() }, &[DType::F32, DType::F64])
}

/// Both arms of a look-up are outcomes: numbers, or why there are none.
pub(super) trait IntoOutcome {
    /// Whichever arm it is.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for Result<Outcome, Outcome> {
    fn into_outcome(self) -> Outcome {
        self.unwrap_or_else(|outcome| outcome)
    }
}
