//! What all bounds rest on: the model of one rounding, and of a sum of many.
//!
//! A bound M is in units of u = 2⁻²⁴: a correct f32 implementation has |ŷ − y| ≤ u·M, whatever its order of summation. M
//! is a running error bound (Wilkinson; Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed. 2002, §3.3):
//! each operation takes values together with the errors they already carry, and adds what it rounds itself. All rules
//! are of first order in u; terms of second order appear where they matter.
//!
//! **Model** (Higham 2002, §2.2): fl(a op b) = (a op b)(1 + δ) + η with |δ| ≤ u, for + − × ÷ √ and for the fused
//! multiply-add, which rounds once where the model allows twice. η: a result below 2⁻¹²⁶ may be flushed to zero, so
//! |η| ≤ 2⁻¹²⁶ ([`FLUSHED`](crate::FLUSHED), in units of u). A constant that f32 cannot hold is rounded once more.
//!
//! **Accumulations.** The error of a sum of n terms is the sum of its roundings, each at most u times a partial sum. In
//! any order, blocked or as a tree, a partial sum is at most all positive or all negative terms, whichever is more: the
//! reach R = (Σ|xᵢ| + |Σxᵢ|)/2. n − 1 additions and the n products, if the terms are products, thus have roundings whose
//! squares sum up to at most (n + 1)·(u·R)², as Σxᵢ² ≤ 2R². Hence in every order:
//!
//! - for certain, the error is at most (n + 1)·u·R (Higham 2002, §3.1 and §4.2), and twice that in any rounding mode;
//! - for independent roundings of mean 0 it exceeds λ·√(n + 1)·u·R with a probability of at most 2·exp(−λ²/2) (Higham &
//!   Mary, "A New Approach to Probabilistic Rounding Error Analysis", SIAM J. Sci. Comput. 41(5), 2019). That is
//!   Hoeffding's inequality for any |δ| ≤ u. Roundings are close to uniform in ±u, whose tails are below those of a
//!   Gaussian of the same variance u²/3, which makes it 2·exp(−3λ²/2).
//!
//! γ(n) is the smaller of 2(n + 1) and c·√(n + 1). With N elements in a run and a probability p of one false alarm in
//! it, 2·exp(−3c²/2) = p/N gives c = √(2·ln(2N/p)/3).
//!
//! **Not covered** anywhere: products in TF32, or whose sums are kept in f16 or bf16; Strassen's and Winograd's products,
//! which have no elementwise bound.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::sum::{nonzero, sum};
use crate::{Array, Bounded, HalfFormat, Rounds, Storage, UNIT};

/// The rules of one operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Rounding {
    /// c, how far a sum of independent roundings may go.
    pub confidence: f64,
    /// What single functions may be off.
    pub constants: Constants,
    /// Where the operation rounds to half precision, if it does.
    pub storage: Option<Storage>,
}

/// What single functions of an f32 implementation may be off, in units of u. Elementary functions are assumed within
/// 2 ulp, that is 4u relative: those of glibc, SLEEF, the vector libraries and CUDA are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Constants {
    /// One addition, relative to its result: IEEE has 1. Twice as much is allowed (one ulp), for another rounding mode
    /// or a rounding to f32 of a wider sum, and so that a correct sum uses half of it.
    pub add: f64,
    /// exp and exp2, relative.
    pub exp: f64,
    /// exp(t) as exp2(t·log₂e), times |t|, relative: the constant and the product make it 2; CUDA's `__expf` has 2.4.
    pub exp2_slope: f64,
    /// tanh, absolute: it may be 2σ(2x) − 1.
    pub tanh: f64,
    /// erf, absolute: 1 + erf(x) may be erfc(−x), whose error is relative.
    pub erf: f64,
    /// The root and its reciprocal, relative: rsqrt; 1/√x by two correct roundings is within 2.
    pub inverse_root: f64,
    /// A division, or a reciprocal and a product, relative.
    pub division: f64,
    /// A power of an exact base and an exact exponent, relative.
    pub power: f64,
    /// sin and cos, absolute.
    pub trigonometric: f64,
}

impl Default for Constants {
    fn default() -> Self {
        let [add, division] = [2.0; 2];
        let [exp, inverse_root, power, trigonometric] = [4.0; 4];
        Self { add, exp, exp2_slope: 3.0, tanh: 6.0, erf: 6.0, inverse_root, division, power, trigonometric }
    }
}

/// What comes in with an input: its errors, and the part of them that is its store.
pub(crate) struct Carried<'a> {
    pub(crate) error: Option<Cow<'a, [f64]>>,
    pub(crate) stored: Option<&'a [f64]>,
}

impl Rounding {
    /// Of an operation that is f32 throughout.
    pub fn of_f32(confidence: f64) -> Self {
        Self { confidence, constants: Constants::default(), storage: None }
    }

    /// What was observed of an implementation, which stores it before it computes with it.
    pub fn given(&self, value: Array) -> Bounded {
        let Some(storage) = &self.storage else { return Bounded::exact(value) };
        let stored: Vec<f64> = value.values.iter().map(|&x| storage.format.store(x)).collect();
        if stored.iter().all(|&cost| cost == 0.0) {
            return Bounded::exact(value);
        }
        let error = stored.iter().map(|cost| 2.0 * cost).collect();
        Bounded { value, error: Some(error), stored: Some(stored) }
    }

    /// γ(n): the units that an accumulation of n terms may be off, relative to its reach.
    pub(crate) fn of_terms(&self, count: f64) -> f64 {
        (self.confidence * (count + 1.0).sqrt()).min(2.0 * (count + 1.0))
    }

    /// γ(n)·R of a sum of terms of these sizes; `sum_of_terms` is the size of the result where signs make it another
    /// than that of the sizes. Zeros are added exactly and are not counted.
    ///
    /// The square root law needs roundings of mean 0. Two kinds of sums do not have them, and are recognised:
    ///
    /// - Terms below the resolution of the sum leave it as it is, all of them with an error of the same sign
    ///   (stagnation: Higham 2002, §4.2). Adding x to s costs at most min(|x|, u·|s|), since s itself is a candidate; so
    ///   terms below 2u·R are charged at most themselves, in any order. Squares of a residual stream with an outlier
    ///   channel and the tails of a softmax over a vocabulary are such sums.
    /// - Terms equal to within 2u·R meet the same rounding at every addition, as in constant rows: the certain bound.
    pub fn total(&self, sizes: &[f64], sum_of_terms: Option<f64>) -> f64 {
        let (whole, count) = (sum(sizes, |x| x), nonzero(sizes));
        let reach = sum_of_terms.map_or(whole, |sum| (whole + sum) / 2.0);
        let resolution = 2.0 * UNIT * reach;
        let lost = sum(sizes, |x| if x <= resolution { x.min(resolution / 2.0) } else { 0.0 });
        let certain = 2.0 * (count + 1.0) * reach;
        if spread(sizes) <= resolution {
            certain
        } else {
            (self.of_terms(count) * reach + lost / UNIT).min(certain)
        }
    }

    /// The format, if that is rounded to it.
    pub(crate) fn half(&self, rounds: Rounds) -> Option<HalfFormat> {
        self.storage.as_ref().filter(|storage| storage.rounds.contains(&rounds)).map(|storage| storage.format)
    }

    /// What the operation takes over with `x`: without its store, where the operation does not round its inputs.
    pub(crate) fn carried<'a>(&self, x: &'a Bounded) -> Carried<'a> {
        let all = Carried { error: x.error.as_deref().map(Cow::Borrowed), stored: x.stored.as_deref() };
        match self.half(Rounds::Inputs) {
            Some(_) => all,
            None => Carried { error: all.rest(), stored: None },
        }
    }

    /// The result, which is stored where the operation stores it.
    pub(crate) fn output(&self, value: Array, mut error: Vec<f64>) -> Bounded {
        let Some(format) = self.half(Rounds::Output) else {
            return Bounded { value, error: Some(error), stored: None };
        };
        let of_element = |(&x, error): (&f64, &f64)| format.rounding(x.abs() + UNIT * error);
        let stored: Vec<f64> = value.values.iter().zip(&error).map(of_element).collect();
        error.iter_mut().zip(&stored).for_each(|(error, cost)| *error += 2.0 * cost);
        Bounded { value, error: Some(error), stored: Some(stored) }
    }
}

impl<'a> Carried<'a> {
    /// The errors without the store.
    pub(crate) fn rest(&self) -> Option<Cow<'a, [f64]>> {
        let (error, stored) = (self.error.as_ref()?, self.stored);
        let Some(stored) = stored else { return Some(error.clone()) };
        Some(error.iter().zip(stored).map(|(error, cost)| (error - 2.0 * cost).max(0.0)).collect())
    }

    /// Those of one row.
    pub(crate) fn row(&self, index: usize, width: usize) -> Carried<'_> {
        let range = index * width..(index + 1) * width;
        let error = self.error.as_ref().map(|error| Cow::Borrowed(&error[range.clone()]));
        Carried { error, stored: self.stored.map(|stored| &stored[range]) }
    }

    pub(crate) fn error(&self, index: usize) -> f64 {
        self.error.as_ref().map_or(0.0, |error| error[index])
    }
}

/// Whether all numbers of a row, but for zeros, have the same size: their roundings may then be the same too.
pub(crate) fn is_constant(stored: &[f64]) -> bool {
    let largest = stored.iter().copied().fold(0.0, f64::max);
    let sizes = stored.iter().copied().filter(|&size| size >= 1e-3 * largest);
    largest > 0.0 && largest <= sizes.fold(f64::INFINITY, f64::min) * (1.0 + 1e-6)
}

/// The difference between the largest and the smallest that is not 0.
fn spread(sizes: &[f64]) -> f64 {
    let largest = sizes.iter().copied().fold(0.0, f64::max);
    let not_0 = sizes.iter().copied().filter(|&size| size != 0.0);
    largest - not_0.fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests;
