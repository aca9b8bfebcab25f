//! p = exp(t)/Σexp(t) with t = z − max z, over rows of z = l/T; z = −∞ is masked.
//!
//! Relative to itself, exp(t) has the subtraction's |t|, 3|t| for exp2 and the function's 4: a = 4|t| + 4. The
//! denominator has the mean of those, Σp·a, and the additions, total(p); division, or reciprocal and product: 2.
//! E_p = p·(a + Σp·a + total(p) + 2). An error in the maximum is shared by all t and cancels in p, so errors in z count as
//! p·(E_z + Σp·E_z). Probabilities in f32 may be flushed, before the division and after it. A masked element is exactly 0:
//! the bound is 0 too. l/T is exact where T is a power of two; else the reciprocal and the product are rounded.
//!
//! **Half precision** turns an error E in z into a factor: p̂ ≤ p·exp(E)/Σp·exp(−E). First order in E is not enough here:
//! bf16 has E = 0.4 at a logit of 100.
//!
//! **Admitted**: exp as exp2(t·log₂e); division or reciprocal; any order of the sum; any constant in place of the
//! maximum that is at least as large, below which nothing is flushed.
//!
//! **Accused**: exp of scores that are kept in half precision, unless the rules say that they are stored.

use rayon::prelude::*;

use super::Arithmetic;
use crate::change::{Action, Numbers, swap_last};
use crate::sum::{dot, sum};
use crate::{Array, Bounded, FLUSHED, Rounding, Rounds, UNIT, Way};

/// Below the largest score: exp of that is 0 many times over, and the product with it is still a number.
const FARTHEST: f64 = 1e30;
const LARGEST_EXPONENT: f64 = 300.0;

/// Of scores `[B, H, S, K]` with a mask `[B, S, K]` of 0 and −∞, or of logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Softmax {
    /// T.
    pub temperature: f64,
}

/// Wrong ways of [`Softmax`].
pub(crate) const WRONG: &[&str] = &["over-queries", "mask-after-softmax", "maximum-not-subtracted"];
/// exp of more is none in f32.
const OVERFLOW: f64 = 88.722_839;

/// A softmax that is computed in one of the wrong ways: over `[B, H, K, S]`; with masked elements that become 0 only when all
/// are divided; or without the subtraction, so that what overflows divides by infinity.
pub(crate) fn wrong<A: Arithmetic>(
    a: &A,
    way: &str,
    op: &Softmax,
    (x, mask): (&A::Value, Option<&A::Value>),
) -> Option<A::Value> {
    match (way, x.axes(), mask) {
        ("over-queries", &[batch, heads, length, keys], Some(mask)) => {
            let (mut x, mut mask) = (x.clone(), mask.clone());
            swap_last(&mut x, [batch * heads, length, keys]);
            swap_last(&mut mask, [batch, length, keys]);
            x.reshape(&[batch, heads, keys, length]);
            let mut probs = a.softmax(op, &x, Some(&mask));
            swap_last(&mut probs, [batch * heads, keys, length]);
            probs.reshape(&[batch, heads, length, keys]);
            Some(probs)
        }
        ("mask-after-softmax", &[_, heads, length, keys], Some(mask)) => {
            let (mut probs, mask) = (a.softmax(op, x, None), mask.numbers());
            let of_batch = heads * length * keys;
            let mask_of = |at: usize| mask[at / of_batch * length * keys + at % (length * keys)];
            let hidden: Vec<usize> =
                (0..x.axes().iter().product()).filter(|&at| mask_of(at) == f64::NEG_INFINITY).collect();
            probs.change_each(&hidden, Action::Put(0.0));
            Some(probs)
        }
        ("maximum-not-subtracted", shape, _) => {
            let width = shape.last().copied()?.max(1);
            let mut probs = a.softmax(op, x, mask);
            let visible = probs.numbers();
            for (row, x) in x.numbers().chunks(width).enumerate() {
                let over = |at: &usize| visible[*at] > 0.0 && x[at % width] / op.temperature > OVERFLOW;
                let of_row = row * width..(row + 1) * width;
                let overflown: Vec<usize> = of_row.clone().filter(over).collect();
                if !overflown.is_empty() {
                    probs.change_each(&of_row.collect::<Vec<_>>(), Action::Put(0.0));
                    probs.change_each(&overflown, Action::Put(f64::NAN));
                }
            }
            Some(probs)
        }
        _ => None,
    }
}

impl Softmax {
    /// The exact probabilities.
    pub fn value(&self, scores: &Array, mask: Option<&Array>) -> Array {
        probabilities(&self.tempered(&masked(scores, mask, |x, mask| x + mask)))
    }

    /// Probabilities and bounds.
    pub fn bounded(&self, rounding: &Rounding, scores: &Bounded, mask: Option<&Array>) -> Bounded {
        let z = self.tempered(&masked(&scores.value, mask, |x, mask| x + mask));
        let carried = self.carried(rounding, scores, &z);
        let value = probabilities(&z);
        let width = z.width().max(1);
        let mut errors = vec![0.0; z.values.len()];
        let rows = z.values.par_chunks(width).zip(value.values.par_chunks(width));
        errors.par_chunks_mut(width).zip(rows).enumerate().for_each(|(row, (errors, (z, p)))| {
            let carried = carried.as_ref().map(|carried| &carried[row * width..][..z.len()]);
            own(rounding, z, p, errors);
            if let Some(carried) = carried {
                match rounding.half(Rounds::Inputs) {
                    None => add_carried(p, carried, errors),
                    Some(_) => grow(p, carried, errors),
                }
            }
        });
        let mut output = rounding.output(value, errors);
        for numbers in [&mut output.error, &mut output.stored].into_iter().flatten() {
            let of_masked = numbers.iter_mut().zip(&z.values).filter(|(_, z)| **z == f64::NEG_INFINITY);
            of_masked.for_each(|(number, _)| *number = 0.0);
        }
        output
    }

    /// exp and the division as the way has them.
    pub fn replica(&self, way: &Way, scores: &Array<f32>, mask: Option<&Array<f32>>) -> Array<f32> {
        let mut probs = masked(scores, mask, |x, mask| x + mask);
        let width = probs.width().max(1);
        let sums = way.sums(width);
        #[expect(clippy::cast_possible_truncation, reason = "a constant of f32")]
        let temperature = self.temperature as f32;
        probs.values.par_chunks_mut(width).for_each(|row| {
            row.iter_mut().for_each(|x| *x = way.over(*x, temperature));
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|x| *x = way.exp(*x - largest));
            let whole = sums.sum(row);
            row.iter_mut().for_each(|x| *x = way.over(*x, whole));
        });
        probs
    }

    fn tempered(&self, scores: &Array) -> Array {
        let values = scores.values.iter().map(|x| x / self.temperature).collect();
        Array { shape: scores.shape.clone(), values }
    }

    /// The errors of z.
    fn carried(&self, rounding: &Rounding, scores: &Bounded, z: &Array) -> Option<Vec<f64>> {
        let is_power = libm::frexp(self.temperature).0.to_bits() == 0.5_f64.to_bits();
        let carried = rounding.carried(scores);
        if is_power && carried.error.is_none() {
            return None;
        }
        let rounded = |z: f64| if is_power || z.is_infinite() { 0.0 } else { 2.0 * z.abs() };
        let errors = z.values.iter().enumerate();
        Some(errors.map(|(index, &z)| carried.error(index) / self.temperature + rounded(z)).collect())
    }
}

fn masked<T: Copy>(scores: &Array<T>, mask: Option<&Array<T>>, add: impl Fn(T, T) -> T) -> Array<T> {
    let Some(mask) = mask else { return scores.clone() };
    let [batch, heads, length, keys] = scores.axes("scores");
    assert_eq!(mask.shape, [batch, length, keys], "a mask of scores {:?}", scores.shape);
    let of_head = length * keys;
    let mut masked = scores.clone();
    for (index, scores) in masked.values.chunks_mut(of_head.max(1)).enumerate() {
        let mask = &mask.values[index / heads * of_head..][..of_head];
        scores.iter_mut().zip(mask).for_each(|(score, &mask)| *score = add(*score, mask));
    }
    masked
}

fn probabilities(z: &Array) -> Array {
    let mut probs = z.clone();
    probs.values.par_chunks_mut(z.width().max(1)).for_each(|row| {
        let largest = largest(row);
        row.iter_mut().for_each(|z| *z = libm::exp(*z - largest));
        let whole = sum(row, |power| power);
        row.iter_mut().for_each(|power| *power /= whole);
    });
    probs
}

fn largest(z: &[f64]) -> f64 {
    z.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// What the operation rounds itself.
fn own(rounding: &Rounding, z: &[f64], p: &[f64], errors: &mut [f64]) {
    let constants = &rounding.constants;
    let largest = largest(z);
    for (error, &z) in errors.iter_mut().zip(z) {
        let below = largest - z;
        // Not `min`, which would make a number of NaN.
        let below = if below > FARTHEST { FARTHEST } else { below };
        *error = (1.0 + constants.exp2_slope) * below + constants.exp;
    }
    let shared = dot(errors, p) + rounding.total(p, None) + constants.division;
    for ((error, &p), &z) in errors.iter_mut().zip(p).zip(z) {
        let bound = (*error + shared) * p + 2.0 * FLUSHED;
        *error = if z == f64::NEG_INFINITY { 0.0 } else { bound };
    }
}

/// p·(E_z + Σp·E_z)
fn add_carried(p: &[f64], carried: &[f64], errors: &mut [f64]) {
    let mean = dot(p, carried);
    errors
        .iter_mut()
        .zip(p.iter().zip(carried))
        .for_each(|(error, (p, carried))| *error += p * (carried + mean));
}

/// By the factor exp(E)/Σp·exp(−E), to no more than a probability may be off.
fn grow(p: &[f64], carried: &[f64], errors: &mut [f64]) {
    let exponent = |error: f64| (UNIT * error).min(LARGEST_EXPONENT);
    let smallest: Vec<f64> = carried.iter().map(|&error| libm::exp(-exponent(error))).collect();
    let whole = dot(p, &smallest);
    for ((error, &p), &carried) in errors.iter_mut().zip(p).zip(carried) {
        let factor = libm::exp(exponent(carried)) / whole - 1.0;
        *error = (*error * (1.0 + factor) + p * factor / UNIT).min(1.0 / UNIT);
    }
}

#[cfg(test)]
mod tests;
