//! Systematic error: what the worst element cannot see.
//!
//! Rounding errors average out over a tensor, bugs do not. The error `e = actual − oracle` is regressed on the
//! oracle's value (scale) and on a constant (offset), `e ≈ s·y + o`, each element weighted by `1/M²`, its budget.
//! A correct implementation has a scale of about 0: what remains are constants that are rounded once and used
//! everywhere (`1/√d`, `√(2/π)`), and elementary functions that round one way, each within about one unit. Hence
//! the allowance of `2u`; to it comes what chance may do to the estimate (`regression`), and, where the elements
//! of a row share an error, what few rows leave of it (`shared`).

use crate::{RoundingBudget, Shape, Slice};

mod points;
mod regression;
mod shared;
mod sums;

pub(crate) use points::{Point, Points};
use regression::{Estimate, Line, Means, Residuals, SharedError, Spread};
use sums::{Layout, sums};

/// Scale and offset of the error where they are worst over a slice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Systematic {
    /// Over what the regression ran.
    pub slice: Slice,
    /// The index of the axis, row-major for a pair; none for the whole tensor.
    pub index: Option<usize>,
    /// `s`, in absolute terms: 1e-5 for an output × 1.00001.
    pub scale: f64,
    /// What `|s|` may be.
    pub scale_allowed: f64,
    /// `o`.
    pub offset: f64,
    /// What `|o|` may be.
    pub offset_allowed: f64,
    /// The larger share used.
    pub used: f64,
}

/// The worst index of each slice. A slice without enough elements, or whose errors are all 0, gives nothing.
///
/// Sums are taken in a fixed order: no thread has a say in the result.
pub(crate) fn systematic(budget: &RoundingBudget, shape: &Shape, points: &Points) -> Vec<Systematic> {
    budget.slices.iter().filter_map(|&slice| worst(budget, shape, points, slice)).collect()
}

fn worst(budget: &RoundingBudget, shape: &Shape, points: &Points, slice: Slice) -> Option<Systematic> {
    let layout = Layout::of(slice, shape)?;
    let means = sums(points, layout, &vec![Means; layout.indices]);
    let spreads: Vec<Spread> = means.iter().map(Spread::around).collect();
    let deviations = sums(points, layout, &spreads);
    let lines: Vec<Option<Line>> = (means.iter().zip(&spreads).zip(&deviations))
        .map(|((means, spread), deviations)| Line::through(means, spread, deviations, budget.unit))
        .collect();
    let residuals: Vec<Residuals> = lines.iter().map(Residuals::from).collect();
    let variances = sums(points, layout, &residuals);
    let row = shape.dimensions().last().copied().unwrap_or(1);
    let shared = if budget.shared_rows { shared::of_rows(points, layout, row, &lines) } else { Vec::new() };
    let judged = |(index, line): (usize, &Option<Line>)| {
        let shared = shared.get(index).copied().unwrap_or(SharedError::NONE);
        let estimate = line.as_ref()?.estimate(budget, variances[index], shared);
        Some(estimate.judged(slice, (slice != Slice::Tensor).then_some(index)))
    };
    lines.iter().enumerate().filter_map(judged).reduce(|a, b| if b.used <= a.used { a } else { b })
}

impl Estimate {
    fn judged(self, slice: Slice, index: Option<usize>) -> Systematic {
        let Self { scale, scale_allowed, offset, offset_allowed } = self;
        let (by_scale, by_offset) = (scale.abs() / scale_allowed, offset.abs() / offset_allowed);
        let used = if by_offset <= by_scale { by_scale } else { by_offset };
        Systematic { slice, index, scale, scale_allowed, offset, offset_allowed, used }
    }
}

#[cfg(test)]
mod tests;
