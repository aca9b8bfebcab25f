//! Systematic error: what the worst element cannot see.
//!
//! Rounding errors average out over a tensor, bugs do not. The error `e = actual − oracle` is regressed on the
//! oracle's value (scale) and on a constant (offset), `e ≈ s·y + o`, each element weighted by `1/M²`, its budget.
//! A correct implementation has a scale of about 0: what remains are constants that are rounded once and used
//! everywhere (`1/√d`, `√(2/π)`), and elementary functions that round one way, each within about one unit. Hence
//! the allowance of `2u`; to it come `c` standard errors of the estimate, which make slices of few elements safe.

use serde::{Deserialize, Serialize};

use crate::{RoundingBudget, Shape};

/// The allowance for scale, in rounding units: one for a shared constant, one for an elementary function.
const ALLOWANCE: f64 = 2.0;
/// Elements below which two coefficients and a residual cannot be told apart.
const FEWEST: u64 = 3;
/// Below this share of independent variation the values count as constant, and only a scale is estimated.
const CONSTANT: f64 = 1e-9;

/// Over what a regression runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slice {
    /// The whole tensor.
    Tensor,
    /// Every index of one axis by itself: columns, heads, rows.
    Axis(usize),
}

/// Scale and offset of the error where they are worst over a slice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Systematic {
    /// Over what the regression ran.
    pub slice: Slice,
    /// The index of the axis; none for the whole tensor.
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
pub(crate) fn systematic(
    budget: &RoundingBudget,
    shape: &Shape,
    actual: &[f64],
    oracle: &[f64],
    magnitude: &[f64],
) -> Vec<Systematic> {
    let worst = |&slice: &Slice| {
        let sums = sums(slice, shape, actual, oracle, magnitude);
        let one = |(index, sums): (usize, &Sums)| {
            let index = matches!(slice, Slice::Axis(_)).then_some(index);
            sums.solve(budget).map(|fit| fit.judged(slice, index))
        };
        sums.iter().enumerate().filter_map(one).reduce(|a, b| if b.used <= a.used { a } else { b })
    };
    budget.slices.iter().filter_map(worst).collect()
}

/// Weighted sums over the elements of one index.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    elements: u64,
    weight: f64,
    y: f64,
    yy: f64,
    e: f64,
    ye: f64,
    ee: f64,
}

impl Sums {
    fn add(&mut self, y: f64, e: f64, weight: f64) {
        self.elements += 1;
        self.weight += weight;
        self.y += weight * y;
        self.yy += weight * y * y;
        self.e += weight * e;
        self.ye += weight * y * e;
        self.ee += weight * e * e;
    }

    fn solve(&self, budget: &RoundingBudget) -> Option<Fit> {
        let variation = self.weight * self.yy - self.y * self.y;
        let something_to_fit = self.elements >= FEWEST && self.yy > 0.0 && self.ee > 0.0;
        if !something_to_fit {
            return None;
        }
        let degrees = (self.elements - 2) as f64;
        let (scale, offset, scale_variance, offset_variance);
        if variation > CONSTANT * self.weight * self.yy {
            scale = (self.weight * self.ye - self.y * self.e) / variation;
            offset = (self.yy * self.e - self.y * self.ye) / variation;
            (scale_variance, offset_variance) = (self.weight / variation, self.yy / variation);
        } else {
            (scale, offset) = (self.ye / self.yy, 0.0);
            (scale_variance, offset_variance) = (1.0 / self.yy, 0.0);
        }
        // Rounding of the sums may leave a residual just below 0.
        let residual = (self.ee - scale * self.ye - offset * self.e).max(0.0) / degrees;
        let typical = (self.yy / self.weight).sqrt();
        let allowance = ALLOWANCE * budget.unit;
        Some(Fit {
            scale,
            scale_allowed: allowance + budget.confidence * (residual * scale_variance).sqrt(),
            offset,
            offset_allowed: allowance * typical + budget.confidence * (residual * offset_variance).sqrt(),
        })
    }
}

struct Fit {
    scale: f64,
    scale_allowed: f64,
    offset: f64,
    offset_allowed: f64,
}

impl Fit {
    fn judged(self, slice: Slice, index: Option<usize>) -> Systematic {
        let Self { scale, scale_allowed, offset, offset_allowed } = self;
        let (by_scale, by_offset) = (scale.abs() / scale_allowed, offset.abs() / offset_allowed);
        let used = if by_offset <= by_scale { by_scale } else { by_offset };
        Systematic { slice, index, scale, scale_allowed, offset, offset_allowed, used }
    }
}

/// One set of sums per index of the slice. Elements that are not finite, or to which nothing is allowed, are left
/// to the bound on the worst element.
fn sums(slice: Slice, shape: &Shape, actual: &[f64], oracle: &[f64], magnitude: &[f64]) -> Vec<Sums> {
    let (indices, inner) = match slice {
        Slice::Tensor => (1, shape.elements().max(1)),
        Slice::Axis(axis) => {
            let dimensions = shape.dimensions();
            let Some(&indices) = dimensions.get(axis) else { return Vec::new() };
            (indices, dimensions[axis + 1..].iter().product::<usize>().max(1))
        }
    };
    let mut sums = vec![Sums::default(); indices];
    for (position, &value) in actual.iter().enumerate() {
        let (y, bound) = (oracle[position], magnitude[position]);
        let (error, weight) = (value - y, 1.0 / (bound * bound));
        if error.is_finite() && y.is_finite() && bound > 0.0 && weight.is_finite() {
            sums[position / inner % indices].add(y, error, weight);
        }
    }
    sums
}

#[cfg(test)]
mod tests;
