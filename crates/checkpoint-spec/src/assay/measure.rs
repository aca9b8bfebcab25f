//! One comparison: two tensors fetched, laid side by side, and measured.

use capture::{Tensor, TensorSource};
use tensor_compare::{
    BudgetStatistics, Criterion, DType, LayoutMismatch, MatchedPair, OraclePair, RoundingBudget, Statistics,
    Tolerance, compare, compare_with_oracle,
};

use crate::plan::Required;
use crate::results::{Outcome, Side, StatisticsRecord};

/// The tensor with the required layout, or the outcome that stands for its absence.
pub(super) fn fetch(
    source: Option<&dyn TensorSource>,
    side: &Side,
    required: &Required,
) -> Result<Tensor, Outcome> {
    fetch_as(source, side, required, required.dtype)
}

/// Like [`fetch`], for a float activation of an f64 capture.
pub(super) fn fetch_f64(
    source: Option<&dyn TensorSource>,
    side: &Side,
    required: &Required,
) -> Result<Tensor, Outcome> {
    let dtype = if required.dtype.is_float() { DType::F64 } else { required.dtype };
    fetch_as(source, side, required, dtype)
}

fn fetch_as(
    source: Option<&dyn TensorSource>,
    side: &Side,
    required: &Required,
    dtype: DType,
) -> Result<Tensor, Outcome> {
    let missing = || Outcome::Missing { side: side.clone() };
    let tensor = match source.ok_or_else(missing)?.tensor(&required.name) {
        Ok(found) => found.ok_or_else(missing)?,
        Err(error) => return Err(unreadable(error)),
    };
    tensor.require_layout(dtype, &required.shape).map_err(|mismatch| mismatch_outcome(mismatch, side))?;
    Ok(tensor)
}

pub(super) fn mismatch_outcome(mismatch: LayoutMismatch, side: &Side) -> Outcome {
    let side = side.clone();
    match mismatch {
        LayoutMismatch::Shape { expected, found } => Outcome::ShapeMismatch { expected, found, side },
        LayoutMismatch::DType { expected, found } => Outcome::DtypeMismatch { expected, found, side },
    }
}

pub(super) fn unreadable(error: impl std::fmt::Display) -> Outcome {
    Outcome::Unreadable { problem: error.to_string() }
}

pub(super) fn compared(
    actual: &Tensor,
    statistics: &Statistics,
    budget: Option<&BudgetStatistics>,
) -> Outcome {
    Outcome::Compared {
        shape: actual.shape().clone(),
        statistics: Box::new(StatisticsRecord::new(statistics, 0, budget)),
    }
}

/// The numbers of two tensors of one dtype.
pub(super) fn matched(actual: &Tensor, expected: &Tensor, criterion: Criterion, side: &Side) -> Outcome {
    match MatchedPair::new(actual.view(), expected.view()) {
        Ok(pair) => compared(actual, &compare(pair, criterion), None),
        Err(mismatch) => mismatch_outcome(mismatch, side),
    }
}

pub(super) fn same_bits(actual: &Tensor, expected: &Tensor, side: &Side) -> Outcome {
    matched(actual, expected, Criterion::BitExact, side)
}

/// The numbers of one float tensor against the oracle's.
pub(super) fn against_oracle(
    actual: &Tensor,
    oracle: &Tensor,
    tolerance: Tolerance,
    budget: Option<(&Tensor, &RoundingBudget)>,
    side: &Side,
) -> Result<Outcome, Outcome> {
    let magnitude = budget.map(|(magnitude, _)| magnitude.view());
    let pair = OraclePair::new(actual.view(), actual.dtype(), oracle.view(), magnitude)
        .map_err(|mismatch| mismatch_outcome(mismatch, side))?;
    match compare_with_oracle(pair, tolerance, budget.map(|(_, budget)| budget)) {
        Ok(found) => Ok(compared(actual, &found.statistics, found.budget.as_ref())),
        Err(error) => Err(unreadable(error)),
    }
}

/// Under no bound at all: what is measured so decides nothing.
pub(super) fn unbounded() -> Tolerance {
    Tolerance::new(f64::MAX, 0.0).unwrap_or_else(|error| unreachable!("{error}"))
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
