//! n = (x − μ)·r with r = 1/√(v + ε), and y = n·g + b, over rows of D.
//!
//! d = x − μ: μ is a sum over D ([`total`](crate::rounding)) and two roundings (1/D and the product with it), μ·r and x·r
//! may be rounded before they are subtracted: E_d = total(x)/D + 3|μ| + |x| + |d|.
//!
//! v: the error that all d share cancels, as Σd = 0, up to its square, which counts where v is tiny. Squares, sum and
//! 1/D: total(d²)/D + 5v. Updating and pairwise algorithms (Welford, Chan) have the condition number κ = √(1 + μ²/v) in
//! place of 1: γ(D)·κ·v = γ(D)·√(v(v + μ²)). The larger counts. v + ε: two roundings, of ε and of the sum. With E_v
//! relative to v + ε, r and n have E_v/2, and the root with its reciprocal 4, the product 1: E_n = E_d·r + |n|·(E_v/2 + 5).
//!
//! y: the product with g and the sum, E_n·|g| + 2|n·g| + |b|; a second |b| where b − μ·r·g is rounded first.
//!
//! Errors in x: dn = r·(dx − mean(dx)) − n·r·mean(n·dx), and dv has mean(dx²) in addition.
//!
//! **Half precision**: the means of dx are sums of independent roundings, as those of [`product`](crate::product) are.
//!
//! **Admitted**: two passes, one by Welford's updates, by Chan's pairs; x·r − μ·r; a root and a division, or rsqrt; sums
//! kept in f64.
//!
//! **Accused**: the textbook variance E\[x²\] − μ² where μ² is far above the variance (Chan, Golub & LeVeque, *The American
//! Statistician* 37(3), 1983: its condition number is the square of the updating algorithms').
//!
//! **Not seen**: an ε that is a tenth off, where the variance is about 1; it is where the variance is below 0.04.

use rayon::prelude::*;

use crate::change::{Numbers, swap_last};
use crate::operation::{Arithmetic, Layout, Linear};
use crate::rounding::{Carried, is_constant};
use crate::sum::{dot, sum};
use crate::{Array, Bounded, FLUSHED, Rounding, Rounds, UNIT, Way, Weight};

/// Over the last axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNorm<'a> {
    /// ε.
    pub epsilon: f64,
    /// g; without it, the result is n.
    pub weight: Option<&'a [f32]>,
    /// b.
    pub bias: Option<&'a [f32]>,
}

/// Wrong ways of [`LayerNorm`].
pub(crate) const WRONG: &[&str] = &["variance-unbiased", "over-sequence"];

/// A norm that is computed in one of the wrong ways.
///
/// With the variance divided by D − 1, r is 1/√(v·D/(D−1) + ε), that is √((D−1)/D) times what ε·(D−1)/D gives. Over the
/// sequence, `[B, S, D]` is normalised as `[B, D, S]`, and scale and bias of each channel come after.
pub(crate) fn wrong<A: Arithmetic>(a: &A, way: &str, op: &LayerNorm<'_>, x: &A::Value) -> Option<A::Value> {
    let shape = x.axes().to_vec();
    let width = shape.last().copied()?;
    match (way, shape.as_slice()) {
        ("variance-unbiased", _) => {
            #[expect(clippy::cast_precision_loss, reason = "a width is far below 2⁵³")]
            let ratio = width.saturating_sub(1) as f64 / width as f64;
            #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
            let scaled = |g: f32| (f64::from(g) * ratio.sqrt()) as f32;
            let weight: Vec<f32> = match op.weight {
                Some(weight) => weight.iter().map(|&g| scaled(g)).collect(),
                None => vec![scaled(1.0); width],
            };
            let op = LayerNorm { epsilon: op.epsilon * ratio, weight: Some(&weight), bias: op.bias };
            Some(a.layer_norm(&op, x))
        }
        ("over-sequence", &[batch, length, width]) => {
            let mut swapped = x.clone();
            swap_last(&mut swapped, [batch, length, width]);
            let plain = LayerNorm { epsilon: op.epsilon, weight: None, bias: None };
            let mut normalized = a.layer_norm(&plain, &swapped);
            swap_last(&mut normalized, [batch, width, length]);
            Some(scaled_by_channel(a, op, &normalized, width))
        }
        _ => None,
    }
}

/// n·g + b as the product with a diagonal matrix.
fn scaled_by_channel<A: Arithmetic>(a: &A, op: &LayerNorm<'_>, x: &A::Value, width: usize) -> A::Value {
    if op.weight.is_none() && op.bias.is_none() {
        return x.clone();
    }
    let mut diagonal = vec![0.0; width * width];
    for (channel, entry) in diagonal.iter_mut().step_by(width + 1).enumerate() {
        *entry = op.weight.map_or(1.0, |weight| weight[channel]);
    }
    let weight = Weight { shape: &[width, width], values: &diagonal };
    a.linear(&Linear { weight, bias: op.bias, layout: Layout::InOut, part: None }, x)
}

/// What all elements of a row have in common.
struct Row {
    mean: f64,
    variance: f64,
    /// r
    inverse: f64,
    /// n
    normalized: Vec<f64>,
}

impl LayerNorm<'_> {
    /// The exact results.
    pub fn value(&self, x: &Array) -> Array {
        let mut value = x.clone();
        value.values.par_chunks_mut(x.width().max(1)).for_each(|row| {
            let normalized = self.row(row).normalized;
            self.scale(&normalized, row);
        });
        value
    }

    /// Results and bounds.
    pub fn bounded(&self, rounding: &Rounding, x: &Bounded) -> Bounded {
        let width = x.value.width().max(1);
        let carried = rounding.carried(x);
        let (mut value, mut errors) = (x.value.clone(), vec![0.0; x.value.values.len()]);
        let rows = value.values.par_chunks_mut(width).zip(errors.par_chunks_mut(width));
        rows.enumerate().for_each(|(index, (values, errors))| {
            let row = self.row(values);
            own_errors(rounding, values, &row, errors);
            add_carried(rounding, &carried.row(index, width), &row, errors);
            self.scale_errors(rounding, &row.normalized, errors);
            self.scale(&row.normalized, values);
        });
        rounding.output(value, errors)
    }

    /// Mean and variance as the way has them.
    pub fn replica(&self, way: &Way, x: &Array<f32>) -> Array<f32> {
        let mut found = x.clone();
        let sums = way.sums(x.width());
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "constants of f32")]
        let (width, epsilon) = (x.width() as f32, self.epsilon as f32);
        found.values.par_chunks_mut(x.width().max(1)).for_each(|row| {
            if way.updating {
                let [mean, variance] = updated(row);
                let inverse = way.over(1.0, libm::sqrtf(variance + epsilon));
                row.iter_mut().for_each(|x| *x = *x * inverse - mean * inverse);
            } else {
                let mean = way.over(sums.sum(row), width);
                row.iter_mut().for_each(|x| *x -= mean);
                let root = libm::sqrtf(way.over(sums.squares(row), width) + epsilon);
                row.iter_mut().for_each(|d| *d = way.over(*d, root));
            }
            self.scale_replica(way, row);
        });
        found
    }

    #[expect(clippy::cast_precision_loss, reason = "a width is far below 2⁵³")]
    fn row(&self, x: &[f64]) -> Row {
        let width = x.len() as f64;
        let mean = sum(x, |x| x) / width;
        let variance = sum(x, |x| (x - mean) * (x - mean)) / width;
        let inverse = 1.0 / (variance + self.epsilon).sqrt();
        Row { mean, variance, inverse, normalized: x.iter().map(|x| (x - mean) * inverse).collect() }
    }

    /// n·g + b
    fn scale(&self, normalized: &[f64], to: &mut [f64]) {
        to.copy_from_slice(normalized);
        if let Some(weight) = self.weight {
            to.iter_mut().zip(like(weight, normalized)).for_each(|(y, &g)| *y *= f64::from(g));
        }
        if let Some(bias) = self.bias {
            to.iter_mut().zip(like(bias, normalized)).for_each(|(y, &b)| *y += f64::from(b));
        }
    }

    /// Of the errors of n, those of y.
    fn scale_errors(&self, rounding: &Rounding, normalized: &[f64], errors: &mut [f64]) {
        let stores = rounding.half(Rounds::Weights);
        let store = |x: f64| stores.map_or(0.0, |format| 2.0 * format.store(x));
        if self.weight.is_none() && self.bias.is_none() {
            errors.iter_mut().for_each(|error| *error += FLUSHED);
        }
        if let Some(weight) = self.weight {
            for ((error, n), &g) in errors.iter_mut().zip(normalized).zip(weight) {
                let (n, g) = (n.abs(), f64::from(g));
                *error = (2.0 * n + *error) * g.abs() + (n + UNIT * *error) * store(g) + 2.0 * FLUSHED;
            }
        }
        if let Some(bias) = self.bias {
            for (error, &b) in errors.iter_mut().zip(bias) {
                *error += 2.0 * f64::from(b.abs()) + store(f64::from(b));
            }
        }
    }

    fn scale_replica(&self, way: &Way, row: &mut [f32]) {
        let weight = self.weight.map(|weight| like(weight, row));
        let bias = self.bias.map(|bias| like(bias, row));
        for (index, y) in row.iter_mut().enumerate() {
            let (g, b) = (weight.map_or(1.0, |weight| weight[index]), bias.map_or(0.0, |bias| bias[index]));
            *y = if way.fused { y.mul_add(g, b) } else { *y * g + b };
        }
    }
}

pub(super) fn like<'a, T>(parameters: &'a [f32], row: &[T]) -> &'a [f32] {
    assert_eq!(parameters.len(), row.len(), "parameters of every element of a row");
    parameters
}

/// Mean and variance, by Welford.
fn updated(row: &[f32]) -> [f32; 2] {
    let ([mut mean, mut squares], mut count) = ([0.0; 2], 0.0_f32);
    for x in row {
        count += 1.0;
        let step = x - mean;
        mean += step / count;
        squares += step * (x - mean);
    }
    [mean, squares / count]
}

/// The errors of n, of exact x, but for a flush.
#[expect(clippy::cast_precision_loss, reason = "a width is far below 2⁵³")]
fn own_errors(rounding: &Rounding, x: &[f64], row: &Row, errors: &mut [f64]) {
    let width = x.len() as f64;
    let Row { mean, variance, inverse, .. } = *row;
    let mean = mean.abs();
    let sizes: Vec<f64> = x.iter().map(|x| x.abs()).collect();
    let squares: Vec<f64> = x.iter().map(|x| (x - row.mean) * (x - row.mean)).collect();

    let shared = rounding.total(&sizes, Some(mean * width)) / width + 3.0 * mean;
    let updating = rounding.of_terms(width) * (variance * (variance + mean * mean)).sqrt();
    let summed = rounding.total(&squares, None) / width;
    let spread = if summed > updating { summed } else { updating };
    let spread = spread + 5.0 * variance + UNIT * shared * shared;
    let relative = spread * inverse * inverse / 2.0 + 1.0 + rounding.constants.inverse_root + 1.0;
    for ((error, size), n) in errors.iter_mut().zip(&sizes).zip(&row.normalized) {
        *error = n.abs() * (1.0 + relative) + (size + shared + FLUSHED) * inverse;
    }
}

/// dn = r·(dx − mean(dx)) − n·r·mean(n·dx)
#[expect(clippy::cast_precision_loss, reason = "a width is far below 2⁵³")]
fn add_carried(rounding: &Rounding, carried: &Carried<'_>, row: &Row, errors: &mut [f64]) {
    let Some(error) = &carried.error else { return };
    let sizes: Vec<f64> = row.normalized.iter().map(|n| n.abs()).collect();
    let of_variance = UNIT / 2.0 * row.inverse * dot(error, error) / sizes.len() as f64;
    let common = mean_of(rounding, carried, &sizes) + of_variance;
    let mean = mean_of(rounding, carried, &vec![1.0; sizes.len()]);
    for ((to, error), n) in errors.iter_mut().zip(error.iter()).zip(&sizes) {
        *to += row.inverse * (error + mean + n * common);
    }
}

/// The mean of factors·dx over a row.
#[expect(clippy::cast_precision_loss, reason = "a width is far below 2⁵³")]
pub(super) fn mean_of(rounding: &Rounding, carried: &Carried<'_>, factors: &[f64]) -> f64 {
    let width = factors.len() as f64;
    let mean = |errors: &[f64]| dot(factors, errors) / width;
    let worst = carried.error.as_deref().map_or(0.0, mean);
    let Some(stored) = carried.stored.filter(|stored| !is_constant(stored)) else { return worst };
    let costs: Vec<f64> = factors.iter().zip(stored).map(|(factor, cost)| factor * cost).collect();
    let chance = rounding.confidence * dot(&costs, &costs).sqrt() / width;
    worst.min(carried.rest().as_deref().map_or(0.0, mean) + chance)
}

#[cfg(test)]
mod tests;
