//! Comparison with the f64 oracle: the classic bound, and the rounding budget beside it.

use crate::budget::{Taken, take};
use crate::pass::compare_widened;
use crate::statistics::Element;
use crate::systematic::{Points, Systematic, systematic};
use crate::{Criterion, DType, OraclePair, RoundingBudget, Statistics, TensorView, Tolerance};

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
