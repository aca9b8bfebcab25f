//! Comparison with the f64 oracle: the classic bound, and the rounding budget beside it.

use crate::compare;
use crate::statistics::Element;
use crate::systematic::{Systematic, systematic};
use crate::{
    Criterion, DType, MatchedPair, OraclePair, Shape, Slice, Statistics, Tensor, TensorError, TensorView,
    Tolerance,
};

/// How far rounding may take a result from the oracle's.
///
/// The oracle gives with each element a bound `M` on the error of a correct implementation, in rounding units; the
/// budget is `|actual − oracle| <= unit · M`. See Higham, *Accuracy and Stability of Numerical Algorithms* (2002),
/// section 3.3 (running error bounds), and Higham & Mary (2019) for the probabilistic growth of sums.
#[derive(Clone, Debug, PartialEq)]
pub struct RoundingBudget {
    /// The rounding unit `u` of the format computed in: 2⁻²⁴ for f32.
    pub unit: f64,
    /// `c = √(2·ln(2N/p)/3)` for N elements and a false-alarm probability p: how many rounding units a sum of
    /// independent rounding errors may be off. In standard errors, those of an error within ±u being `u/√3`, it is
    /// `√3·c`.
    pub confidence: f64,
    /// Where systematic error is looked for.
    pub slices: Vec<Slice>,
    /// Whether the elements of a row (of the last axis) share an error, as those of LayerNorm do that of their mean and
    /// variance: systematic error then averages out over rows only.
    pub shared_rows: bool,
}

/// What comparison with the oracle finds.
#[derive(Clone, Debug, PartialEq)]
pub struct OracleStatistics {
    /// Under the classic bound; ULPs are counted in the format under test, from the oracle's value rounded to it.
    pub statistics: Statistics,
    /// Under the rounding budget, where there is one.
    pub budget: Option<BudgetStatistics>,
}

/// What comparison under the rounding budget finds.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetStatistics {
    /// Largest share of the budget used (0 for 0/0, infinite where nothing is allowed and something is off).
    pub used: f64,
    /// Elements outside the budget; every element that is not finite counts, unless both are the same infinity.
    pub violations: u64,
    /// The element that uses most of the budget; `allowed` is `unit · M`.
    pub worst: Option<Element>,
    /// Scale and offset of the error: for each slice asked for, where they are worst.
    pub systematic: Vec<Systematic>,
}

/// Compares with the oracle. The result does not depend on the thread count.
///
/// # Errors
/// If the tensor under test is not of floats, or there is a budget and no magnitude to apply it to.
pub fn compare_with_oracle(
    pair: OraclePair<'_>,
    tolerance: Tolerance,
    budget: Option<&RoundingBudget>,
) -> Result<OracleStatistics, OracleError> {
    let dtype = pair.actual().dtype();
    if !dtype.is_float() {
        return Err(OracleError::NotAFloat { dtype });
    }
    let actual = pair.actual().to_f64_lossy();
    let widened = Tensor::from_f64(pair.actual().shape().dimensions(), &actual)?;
    let widened_pair = MatchedPair::new(widened.view(), pair.oracle())?;
    let mut statistics = compare(widened_pair, Criterion::Classic(tolerance));
    let oracle = pair.oracle().to_f64_lossy();
    if dtype != DType::F64 {
        statistics.max_ulp = ulps_in(pair.actual(), &oracle)?;
    }
    let budget = match budget {
        None => None,
        Some(budget) => {
            let magnitude = pair.magnitude().ok_or(OracleError::NoMagnitude)?.to_f64_lossy();
            Some(within_budget(budget, pair.actual().shape(), &actual, &oracle, &magnitude))
        }
    };
    Ok(OracleStatistics { statistics, budget })
}

/// Why a tensor cannot be compared with an oracle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OracleError {
    /// Integers and bytes are compared bit for bit.
    #[error("{dtype} found, a float dtype expected: only floats are compared with an oracle")]
    NotAFloat {
        /// The dtype found.
        dtype: DType,
    },
    /// A budget needs magnitudes.
    #[error("the oracle gave no magnitude, which the rounding budget needs")]
    NoMagnitude,
    /// The layouts do not match.
    #[error(transparent)]
    Layout(#[from] crate::LayoutMismatch),
    /// A tensor could not be built.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

/// The largest distance in ULPs of the format under test from the oracle's values rounded to it.
fn ulps_in(actual: TensorView<'_>, oracle: &[f64]) -> Result<Option<u64>, OracleError> {
    if actual.dtype() != DType::F32 {
        return Ok(None);
    }
    #[expect(clippy::cast_possible_truncation, reason = "rounding to the format under test is what is meant")]
    let rounded: Vec<f32> = oracle.iter().map(|&value| value as f32).collect();
    let rounded = Tensor::from_f32(actual.shape().dimensions(), &rounded)?;
    Ok(compare(MatchedPair::new(actual, rounded.view())?, Criterion::BitExact).max_ulp)
}

fn within_budget(
    budget: &RoundingBudget,
    shape: &Shape,
    actual: &[f64],
    oracle: &[f64],
    magnitude: &[f64],
) -> BudgetStatistics {
    let (mut used, mut violations, mut worst) = (0.0, 0, None);
    for (position, &value) in actual.iter().enumerate() {
        let (expected, allowed) = (oracle[position], budget.unit * magnitude[position]);
        #[expect(clippy::float_cmp, reason = "the same infinity has no error")]
        let error = if value == expected { 0.0 } else { (value - expected).abs() };
        let within = error <= allowed && allowed < f64::INFINITY;
        violations += u64::from(!within);
        let taken = share(error, allowed);
        // NaN counts as more than any number, and the first of equals stays.
        if worst.is_none() || (!f64::is_nan(used) && (taken > used || taken.is_nan())) {
            used = taken;
            worst = Some((position, error, allowed));
        }
    }
    let worst = worst.map(|(position, error, allowed)| Element {
        index: shape.multi_index(position),
        actual: actual[position],
        expected: oracle[position],
        error,
        allowed,
    });
    let systematic = systematic(budget, shape, actual, oracle, magnitude);
    BudgetStatistics { used, violations, worst, systematic }
}

/// `error / allowed`, 0 for 0/0: no error needs no budget. NaN if either is.
fn share(error: f64, allowed: f64) -> f64 {
    if error == 0.0 && allowed >= 0.0 { 0.0 } else { error / allowed }
}

#[cfg(test)]
mod tests;
