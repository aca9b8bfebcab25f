//! Comparison with the f64 oracle: the classic bound, and the rounding budget beside it.

use crate::budget::{Taken, take};
use crate::pass::compare_widened;
use crate::statistics::Element;
use crate::systematic::{Points, Systematic, systematic};
use crate::{Criterion, DType, OraclePair, Slice, Statistics, TensorView, Tolerance};

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
    /// What scale and offset of the error may be beside chance, in units; an offset, of the largest value.
    pub allowance: f64,
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
    let statistics =
        compare_widened(pair, Criterion::Classic(tolerance)).ok_or(OracleError::NotAFloat { dtype })?;
    let budget = match budget {
        None => None,
        Some(budget) => {
            let magnitude = pair.magnitude().ok_or(OracleError::NoMagnitude)?;
            Some(within_budget(budget, pair, magnitude).ok_or(OracleError::NotAFloat { dtype })?)
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
}

/// None of a tensor that is not of floats.
fn within_budget(
    budget: &RoundingBudget,
    pair: OraclePair<'_>,
    magnitude: TensorView<'_>,
) -> Option<BudgetStatistics> {
    let shape = pair.actual().shape();
    let mut points = Points::new(shape.elements());
    let Taken { used, violations, worst } = take(budget.unit, pair, magnitude, &mut points)?;
    let worst = worst.map(|(position, actual, oracle, error, allowed)| Element {
        index: shape.multi_index(position),
        actual,
        expected: oracle,
        error,
        allowed,
    });
    let systematic = systematic(budget, shape, &points);
    Some(BudgetStatistics { used, violations, worst, systematic })
}

#[cfg(test)]
mod tests;
