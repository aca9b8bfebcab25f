//! Systematic error: what the worst element cannot see.
//!
//! Rounding errors average out over a tensor, bugs do not. The error `e = actual − oracle` is regressed on the
//! oracle's value (scale) and on a constant (offset), `e ≈ s·y + o`, each element weighted by `1/M²`, its budget.
//! A correct implementation has a scale of about 0: what remains are constants that are rounded once and used
//! everywhere (`1/√d`, `√(2/π)`), and elementary functions that round one way, each within about one unit. Hence
//! the allowance of `2u`; to it comes what chance may do to the estimate (`regression`), and, where the elements
//! of a row share an error, what few rows leave of it (`shared`).

use serde::{Deserialize, Serialize};

use crate::{RoundingBudget, Shape};

mod regression;
mod shared;

use regression::{Estimate, Line, Means, Spread};
use shared::SharedError;

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
/// Sums are taken in the order of the elements: no thread has a say in the result.
pub(crate) fn systematic(
    budget: &RoundingBudget,
    shape: &Shape,
    actual: &[f64],
    oracle: &[f64],
    magnitude: &[f64],
) -> Vec<Systematic> {
    let elements = Elements { actual, oracle, magnitude };
    budget.slices.iter().filter_map(|&slice| worst(budget, shape, &elements, slice)).collect()
}

fn worst(
    budget: &RoundingBudget,
    shape: &Shape,
    elements: &Elements<'_>,
    slice: Slice,
) -> Option<Systematic> {
    let layout = Layout::of(slice, shape)?;
    let mut means = vec![Means::default(); layout.indices];
    elements.visit(layout, &mut means, Means::add);
    let mut spreads: Vec<Spread> = means.iter().map(Spread::around).collect();
    elements.visit(layout, &mut spreads, Spread::add);
    let mut lines: Vec<Option<Line>> =
        means.iter().zip(&spreads).map(|(means, spread)| Line::through(means, spread, budget.unit)).collect();
    elements.visit(layout, &mut lines, |line, point| {
        if let Some(line) = line {
            line.add_residual(point);
        }
    });
    let row = shape.dimensions().last().copied().unwrap_or(1);
    let shared = if budget.shared_rows { shared::of_rows(elements, layout, row, &lines) } else { Vec::new() };
    let judged = |(index, line): (usize, &Option<Line>)| {
        let shared = shared.get(index).copied().unwrap_or(SharedError::NONE);
        let estimate = line.as_ref()?.estimate(budget, shared);
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

/// Where the elements of one index lie: in runs, one index after the other, over and over.
#[derive(Clone, Copy, Debug)]
struct Layout {
    indices: usize,
    /// Elements in a row that belong to the same index; not 0.
    run: usize,
}

impl Layout {
    /// None if the tensor has no elements or not that axis.
    fn of(slice: Slice, shape: &Shape) -> Option<Self> {
        if shape.elements() == 0 {
            return None;
        }
        match slice {
            Slice::Tensor => Some(Self { indices: 1, run: shape.elements() }),
            Slice::Axis(axis) => {
                let dimensions = shape.dimensions();
                let &indices = dimensions.get(axis)?;
                Some(Self { indices, run: dimensions[axis + 1..].iter().product() })
            }
            Slice::Pair(axis) => {
                let dimensions = shape.dimensions();
                let &[first, second] = dimensions.get(axis..axis + 2)? else { return None };
                Some(Self { indices: first * second, run: dimensions[axis + 2..].iter().product() })
            }
        }
    }
}

/// The tensors of one comparison, of the same length.
struct Elements<'a> {
    actual: &'a [f64],
    oracle: &'a [f64],
    magnitude: &'a [f64],
}

/// An element that takes part in the regression.
#[derive(Clone, Copy, Debug)]
struct Point {
    y: f64,
    error: f64,
    /// `M`.
    bound: f64,
    /// `1/M²`.
    weight: f64,
}

impl Point {
    /// Elements that are not finite, or to which nothing is allowed, are left to the bound on the worst element.
    #[inline]
    fn new(actual: f64, y: f64, bound: f64) -> Option<Self> {
        let (error, weight) = (actual - y, 1.0 / (bound * bound));
        let usable = error.is_finite() && bound > 0.0 && weight > 0.0 && weight < f64::INFINITY;
        usable.then_some(Self { y, error, bound, weight })
    }
}

impl Elements<'_> {
    /// Adds every element to the state of its index, in order.
    #[inline]
    fn visit<S>(&self, layout: Layout, states: &mut [S], mut add: impl FnMut(&mut S, Point)) {
        let mut index = 0;
        for points in self.runs(layout.run) {
            let state = &mut states[index];
            points.for_each(|point| add(state, point));
            index = if index + 1 == layout.indices { 0 } else { index + 1 };
        }
    }

    /// The elements in runs of one length.
    #[inline]
    fn runs(&self, length: usize) -> impl Iterator<Item = impl Iterator<Item = Point>> {
        let rest = self.oracle.chunks_exact(length).zip(self.magnitude.chunks_exact(length));
        self.actual.chunks_exact(length).zip(rest).map(|(actual, (oracle, magnitude))| {
            let rest = oracle.iter().zip(magnitude);
            actual.iter().zip(rest).filter_map(|(&actual, (&y, &bound))| Point::new(actual, y, bound))
        })
    }
}

#[cfg(test)]
mod tests;
