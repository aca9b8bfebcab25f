//! What rounding may do to a result.

use serde::{Deserialize, Serialize};

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

/// Over what a regression runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slice {
    /// The whole tensor.
    Tensor,
    /// Every index of one axis by itself: columns, heads, rows.
    Axis(usize),
    /// Every index of an axis and the next one together: of head and head dimension, the columns of the matrix that
    /// they come from.
    Pair(usize),
}
