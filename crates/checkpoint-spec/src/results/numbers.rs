//! The numbers of a record: statistics, budgets, systematic error, elements.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tensor_compare::{BudgetStatistics, Element, NonFinite, Slice, Statistics, Systematic};

use crate::Measured;

/// [`tensor_compare::Statistics`] as recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatisticsRecord {
    /// Elements compared.
    pub elements: u64,
    /// Elements out of their bound.
    pub violations: u64,
    /// Elements that are not finite.
    pub non_finite: NonFinite,
    /// Largest absolute error.
    pub max_abs: Measured,
    /// Mean absolute error.
    pub mean_abs: Measured,
    /// Largest relative error.
    pub max_rel: Measured,
    /// Root mean square error.
    pub rmse: Measured,
    /// Cosine similarity.
    pub cosine: Option<Measured>,
    /// Largest distance in units in the last place.
    pub max_ulp: Option<u64>,
    /// Largest share of the allowed error.
    pub used: Measured,
    /// Smallest and largest finite value under test.
    pub range: Option<(Measured, Measured)>,
    /// Elements by magnitude of absolute error.
    pub buckets: Vec<u64>,
    /// The worst elements.
    pub worst: Vec<ElementRecord>,
    /// Tokens that differ from those of the oracle's chain (checkpoints 10 and 12 only).
    pub ties: u64,
    /// Under the rounding budget (of what is rounded only).
    pub budget: Option<BudgetRecord>,
}

/// [`tensor_compare::BudgetStatistics`] as recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetRecord {
    /// Largest share of the budget that an element uses.
    pub used: Measured,
    /// Elements outside their budget.
    pub violations: u64,
    /// The element that uses most; `allowed` is its budget.
    pub worst: Option<ElementRecord>,
    /// Systematic error where it is worst, for each slice looked at.
    pub systematic: Vec<SystematicRecord>,
}

/// [`tensor_compare::Systematic`] as recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SystematicRecord {
    /// `tensor`, or the axis of which one index is meant.
    pub axis: Option<usize>,
    /// Whether the index is that of this axis and the next one together, row-major.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paired: bool,
    /// The index on that axis.
    pub index: Option<usize>,
    /// The error's scale: 1e-5 for an output × 1.00001.
    pub scale: Measured,
    /// What its absolute value may be.
    pub scale_allowed: Measured,
    /// The error's offset.
    pub offset: Measured,
    /// What its absolute value may be.
    pub offset_allowed: Measured,
    /// The larger share used.
    pub used: Measured,
}

/// [`tensor_compare::Element`] as recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ElementRecord {
    /// Multi-index.
    pub index: Vec<usize>,
    /// Value under test.
    pub actual: Measured,
    /// Value that judges.
    pub expected: Measured,
    /// Absolute error.
    pub error: Measured,
    /// The error allowed there.
    pub allowed: Measured,
}

impl StatisticsRecord {
    /// Records one pass. Of a comparison without violations only the worst element is kept.
    pub fn new(statistics: &Statistics, ties: u64, budget: Option<&BudgetStatistics>) -> Self {
        let kept = if statistics.violations == 0 { 1 } else { Statistics::WORST };
        Self {
            elements: statistics.elements,
            violations: statistics.violations,
            non_finite: statistics.non_finite,
            max_abs: statistics.max_abs.into(),
            mean_abs: statistics.mean_abs.into(),
            max_rel: statistics.max_rel.into(),
            rmse: statistics.rmse.into(),
            cosine: statistics.cosine.map(Measured),
            max_ulp: statistics.max_ulp,
            used: statistics.used.into(),
            range: statistics.range.map(|(least, most)| (Measured(least), Measured(most))),
            buckets: statistics.buckets.to_vec(),
            worst: statistics.worst.iter().take(kept).map(ElementRecord::new).collect(),
            ties,
            budget: budget.map(BudgetRecord::new),
        }
    }
}

impl BudgetRecord {
    fn new(budget: &BudgetStatistics) -> Self {
        Self {
            used: budget.used.into(),
            violations: budget.violations,
            worst: budget.worst.as_ref().map(ElementRecord::new),
            systematic: budget.systematic.iter().map(SystematicRecord::new).collect(),
        }
    }

    /// The systematic error that is furthest out of its bound, if one is.
    pub fn systematic_violation(&self) -> Option<&SystematicRecord> {
        let out = self.systematic.iter().filter(|found| found.used.0 > 1.0 || found.used.0.is_nan());
        out.reduce(|a, b| if b.used.0 <= a.used.0 { a } else { b })
    }
}

impl SystematicRecord {
    fn new(found: &Systematic) -> Self {
        let (axis, paired) = match found.slice {
            Slice::Tensor => (None, false),
            Slice::Axis(axis) => (Some(axis), false),
            Slice::Pair(axis) => (Some(axis), true),
        };
        Self {
            axis,
            paired,
            index: found.index,
            scale: found.scale.into(),
            scale_allowed: found.scale_allowed.into(),
            offset: found.offset.into(),
            offset_allowed: found.offset_allowed.into(),
            used: found.used.into(),
        }
    }
}

impl fmt::Display for SystematicRecord {
    /// `output uniformly × (1 +2.00e-6)`, `index 5 of axis 2 × (1 +9.90e-3)`, `output uniformly +1.00e-6`, and what is allowed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.axis, self.index) {
            (Some(axis), Some(index)) if self.paired => {
                write!(f, "index {index} of axes {axis} and {} together", axis + 1)?;
            }
            (Some(axis), Some(index)) => write!(f, "index {index} of axis {axis}")?,
            _ => f.write_str("output uniformly")?,
        }
        let by_scale = self.scale.0.abs() / self.scale_allowed.0;
        let by_offset = self.offset.0.abs() / self.offset_allowed.0;
        if by_offset <= by_scale {
            write!(f, " × (1 {:+.2e}), allowed ±{:.2e}", self.scale.0, self.scale_allowed.0)
        } else {
            write!(f, " {:+.2e}, allowed ±{:.2e}", self.offset.0, self.offset_allowed.0)
        }
    }
}

impl ElementRecord {
    fn new(element: &Element) -> Self {
        Self {
            index: element.index.clone(),
            actual: element.actual.into(),
            expected: element.expected.into(),
            error: element.error.into(),
            allowed: element.allowed.into(),
        }
    }
}
