//! n = x·r with r = 1/√(v + ε) and v = mean(x²), and y = n·g, over rows of D.
//!
//! v: squares, sum and 1/D: total(x²)/D + 3v ([`total`](crate::rounding)). v + ε: two roundings, of ε and of the sum. With
//! E_v relative to v + ε, r has E_v/2, and the root with its reciprocal 4, the product 2: E_n = |n|·(E_v/2 + 7).
//!
//! y: the product with g, E_n·|g| + 2|n·g|; (x·g)·r and x·(r·g) have the same.
//!
//! Errors in x: dn = r·dx − n·r·mean(n·dx), and dv has mean(dx²) in addition.
//!
//! **Half precision**: the mean of dx is a sum of independent roundings, as those of [`product`](crate::product) are. An
//! implementation may store n before it multiplies with g, as Hugging Face's does.
//!
//! **Admitted**: every order of the sum; a root and a division, or rsqrt; g first or last; sums kept in f64.
//!
//! **Accused**: a mean that is taken off, where it is not tiny; the weight as 1 + g; rows of several heads as one.
//!
//! **Not seen**: an ε that is a tenth off, where the mean square is about 1; it is where that is below 0.04.

use rayon::prelude::*;

use super::Arithmetic;
use super::layer_norm::{LayerNorm, like, mean_of};
use crate::change::Numbers;
use crate::rounding::Carried;
use crate::sum::{dot, sum};
use crate::{Array, Bounded, FLUSHED, Rounding, Rounds, UNIT, Way};

/// Over the last axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsNorm<'a> {
    /// ε.
    pub epsilon: f64,
    /// g; without it, the result is n.
    pub weight: Option<&'a [f32]>,
}

/// Wrong ways of [`RmsNorm`].
pub(crate) const WRONG: &[&str] = &["mean-taken-off", "weight-plus-one", "over-heads"];

/// A norm that is computed in one of the wrong ways. Without its mean, a row's mean square is its variance, so that it is layer
/// norm; over heads, `[B, S, H, Dh]` is normalised as `[B, S, H·Dh]`.
pub(crate) fn wrong<A: Arithmetic>(a: &A, way: &str, op: &RmsNorm<'_>, x: &A::Value) -> Option<A::Value> {
    match (way, x.axes()) {
        ("mean-taken-off", _) => {
            Some(a.layer_norm(&LayerNorm { epsilon: op.epsilon, weight: op.weight, bias: None }, x))
        }
        ("weight-plus-one", &[.., width]) => {
            let weight: Vec<f32> = match op.weight {
                Some(weight) => weight.iter().map(|g| g + 1.0).collect(),
                None => vec![2.0; width],
            };
            Some(a.rms_norm(&RmsNorm { weight: Some(&weight), ..*op }, x))
        }
        ("over-heads", &[batch, length, heads, width]) => {
            let mut whole = x.clone();
            whole.reshape(&[batch, length, heads * width]);
            let weight = op.weight.map(|weight| weight.repeat(heads));
            let mut normalized = a.rms_norm(&RmsNorm { weight: weight.as_deref(), ..*op }, &whole);
            normalized.reshape(&[batch, length, heads, width]);
            Some(normalized)
        }
        _ => None,
    }
}

/// What all elements of a row have in common.
struct Row {
    /// v
    square: f64,
    /// r
    inverse: f64,
}

impl RmsNorm<'_> {
    /// The exact results.
    pub fn value(&self, x: &Array) -> Array {
        let mut value = x.clone();
        value.values.par_chunks_mut(x.width().max(1)).for_each(|row| {
            let inverse = self.row(row).inverse;
            row.iter_mut().for_each(|x| *x *= inverse);
            self.scale(row);
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
            let relative = own_error(rounding, values, &row);
            values.iter_mut().for_each(|x| *x *= row.inverse);
            errors.iter_mut().zip(values.iter()).for_each(|(error, n)| *error = n.abs() * relative + FLUSHED);
            add_carried(rounding, &carried.row(index, width), &row, values, errors);
            self.scale_errors(rounding, values, errors);
            self.scale(values);
        });
        rounding.output(value, errors)
    }

    /// The sum as the way has it.
    pub fn replica(&self, way: &Way, x: &Array<f32>) -> Array<f32> {
        let mut found = x.clone();
        let sums = way.sums(x.width());
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "constants of f32")]
        let (width, epsilon) = (x.width() as f32, self.epsilon as f32);
        found.values.par_chunks_mut(x.width().max(1)).for_each(|row| {
            let root = libm::sqrtf(way.over(sums.squares(row), width) + epsilon);
            let weight = self.weight.map(|weight| like(weight, row));
            for (index, x) in row.iter_mut().enumerate() {
                let g = weight.map_or(1.0, |weight| weight[index]);
                *x = if way.updating { way.over(*x * g, root) } else { way.over(*x, root) * g };
            }
        });
        found
    }

    #[expect(clippy::cast_precision_loss, reason = "a width is far below 2⁵³")]
    fn row(&self, x: &[f64]) -> Row {
        let square = sum(x, |x| x * x) / x.len() as f64;
        Row { square, inverse: 1.0 / (square + self.epsilon).sqrt() }
    }

    /// n·g
    fn scale(&self, normalized: &mut [f64]) {
        if let Some(weight) = self.weight {
            let weight = like(weight, normalized);
            normalized.iter_mut().zip(weight).for_each(|(y, &g)| *y *= f64::from(g));
        }
    }

    /// Of the errors of n, those of y.
    fn scale_errors(&self, rounding: &Rounding, normalized: &[f64], errors: &mut [f64]) {
        let Some(weight) = self.weight else { return };
        let stores = rounding.half(Rounds::Weights);
        let stored_between = rounding.half(Rounds::Intermediates);
        for ((error, n), &g) in errors.iter_mut().zip(normalized).zip(weight) {
            let (n, g) = (n.abs(), f64::from(g));
            let of_n = *error + stored_between.map_or(0.0, |format| 2.0 * format.rounding(n + UNIT * *error));
            let of_g = stores.map_or(0.0, |format| 2.0 * format.store(g));
            *error = (2.0 * n + of_n) * g.abs() + (n + UNIT * of_n) * of_g + 2.0 * FLUSHED;
        }
    }
}

/// The error of n, of exact x, relative to it.
#[expect(clippy::cast_precision_loss, reason = "a width is far below 2⁵³")]
fn own_error(rounding: &Rounding, x: &[f64], row: &Row) -> f64 {
    let squares: Vec<f64> = x.iter().map(|x| x * x).collect();
    let spread = rounding.total(&squares, None) / x.len() as f64 + 3.0 * row.square + FLUSHED;
    spread * row.inverse * row.inverse / 2.0 + 1.0 + rounding.constants.inverse_root + 2.0
}

/// dn = r·dx − n·r·mean(n·dx)
#[expect(clippy::cast_precision_loss, reason = "a width is far below 2⁵³")]
fn add_carried(
    rounding: &Rounding,
    carried: &Carried<'_>,
    row: &Row,
    normalized: &[f64],
    errors: &mut [f64],
) {
    let Some(error) = &carried.error else { return };
    let sizes: Vec<f64> = normalized.iter().map(|n| n.abs()).collect();
    let of_square = UNIT / 2.0 * row.inverse * dot(error, error) / sizes.len() as f64;
    let common = mean_of(rounding, carried, &sizes) + of_square;
    for ((to, error), n) in errors.iter_mut().zip(error.iter()).zip(&sizes) {
        *to += row.inverse * (error + n * common);
    }
}

#[cfg(test)]
mod tests;
