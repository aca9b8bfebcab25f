//! Activation functions.
//!
//! # GELU by tanh
//!
//! y = ½x(1 + tanh w), w = √(2/π)·(x + 0.044715x³).
//!
//! w: the constant √(2/π), its product and the sum, 3 roundings, and one more where it is x(1 + 0.044715x²); the cube has
//! in addition its constant, that product, and 4 where x³ is a power function: 9 in all.
//! E_w = √(2/π)·(4|x| + 9·0.044715|x|³). With t = tanh w, E_t = (1 − t²)·E_w + 6: the form 2σ(2w) − 1 has
//! (1 − t²)(2 + 2|w|) from its exp2, 2(1 + |t|) from sum and division, and |t| from the subtraction, at most 6. The sum
//! 1 + t and the product with x are relative to y: E = ½|x|·E_t + 2|y|. x·σ(2w) stays below that.
//!
//! # GELU by erf
//!
//! y = ½x(1 + erf w), w = x/√2: two roundings, E_w = 2|w|. With t = erf w, E_t = 2/√π·exp(−w²)·E_w + 6, and
//! E = ½|x|·E_t + 2|y|. ½x·erfc(−w) has 4|y| from erfc and two products, at most |x|·(4 + t), which that is.
//!
//! # SiLU
//!
//! y = x·σ(x), σ = 1/(1 + exp(−x)). Relative to y: exp has a = 4 + 3|x| for exp2, which counts as (1 − σ)·a; the sum, and
//! the division or a reciprocal and two products, 4. Where exp(−x) overflows, all of y may be lost, which is below
//! |x|·2⁻¹²⁶.
//!
//! # Errors in x
//!
//! The derivative here, and the curvature, below 0.8 (of SiLU 0.5), times half the error; nowhere above the steepest
//! slope, 1.13 (1.1). ReLU passes errors on where x may be positive.
//!
//! **Admitted**: tanh and erf as functions, tanh by σ, σ of both halves in one, x³ as products or a power, 1/√2 as a
//! factor or a divisor, erfc. **Accused**: the form by erf in place of that by tanh, which is 10⁻⁴ apart, and the other way
//! round; x·σ(1.702x).
//!
//! **Half precision**: with stored intermediates, every rounding of the above is one to the format.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Array, Bounded, Constants, FLUSHED, Rounding, Rounds, UNIT, Way};

/// √(2/π)
const SLOPE: f64 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
const CUBIC: f64 = 0.044_715;

/// A function of each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// ½x(1 + tanh(√(2/π)(x + 0.044715x³)))
    GeluTanh,
    /// ½x(1 + erf(x/√2))
    GeluErf,
    /// x·σ(x)
    Silu,
    /// max(x, 0)
    Relu,
}

/// Wrong ways of SiLU.
pub(crate) const WRONG_SILU: &[&str] = &["gelu-tanh", "gelu-erf", "relu"];

/// The function of that name, in the place of SiLU.
pub(crate) fn for_silu(way: &str) -> Activation {
    match way {
        "gelu-tanh" => Activation::GeluTanh,
        "gelu-erf" => Activation::GeluErf,
        _ => Activation::Relu,
    }
}

/// Wrong ways of GELU.
pub(crate) const WRONG_GELU: &[&str] = &["relu"];

/// y, what computing it rounds, and its derivative.
struct Point {
    value: f64,
    own: f64,
    derivative: f64,
}

impl Activation {
    /// The exact results.
    pub fn value(&self, x: &Array) -> Array {
        let of = |&x: &f64| self.at(x, &Constants::default()).value;
        Array { shape: x.shape.clone(), values: x.values.par_iter().map(of).collect() }
    }

    /// Results and bounds.
    pub fn bounded(&self, rounding: &Rounding, x: &Bounded) -> Bounded {
        let carried = rounding.carried(x);
        let intermediates = rounding.half(Rounds::Intermediates);
        let of = |(index, &x): (usize, &f64)| {
            let point = self.at(x, &rounding.constants);
            let own =
                intermediates.map_or(point.own, |format| format.ratio() * point.own + 2.0 * format.flushed());
            (point.value, own + self.carried(x, &point, carried.error(index)))
        };
        let (values, errors) = x.value.values.par_iter().enumerate().map(of).unzip();
        rounding.output(Array { shape: x.value.shape.clone(), values }, errors)
    }

    /// tanh and σ as the way has them.
    pub fn replica(&self, way: &Way, x: &Array<f32>) -> Array<f32> {
        let of = |&x: &f32| self.replica_at(way, x);
        Array { shape: x.shape.clone(), values: x.values.par_iter().map(of).collect() }
    }

    fn at(self, x: f64, constants: &Constants) -> Point {
        match self {
            Self::GeluTanh => {
                let tanh = libm::tanh(SLOPE * (x + CUBIC * x * x * x));
                let slope = 1.0 - tanh * tanh;
                let argument = SLOPE * (4.0 + 9.0 * CUBIC * x * x) * x.abs();
                gelu(
                    x,
                    [tanh, slope * argument + constants.tanh],
                    slope * SLOPE * (1.0 + 3.0 * CUBIC * x * x),
                )
            }
            Self::GeluErf => {
                let (w, erf) = (x * FRAC_1_SQRT_2, libm::erf(x * FRAC_1_SQRT_2));
                let slope = FRAC_2_SQRT_PI * libm::exp(-w * w);
                gelu(x, [erf, slope * 2.0 * w.abs() + constants.erf], slope * FRAC_1_SQRT_2)
            }
            Self::Silu => {
                let sigmoid = 1.0 / (1.0 + libm::exp(-x));
                let (value, rest) = (x * sigmoid, 1.0 / (1.0 + libm::exp(x)));
                let relative =
                    rest * (constants.exp + constants.exp2_slope * x.abs()) + 2.0 + constants.division;
                let own = value.abs() * relative + (2.0 + x.abs()) * FLUSHED;
                Point { value, own, derivative: sigmoid * (1.0 + x * rest) }
            }
            Self::Relu => {
                let value = if x < 0.0 { 0.0 } else { x };
                Point { value, own: 0.0, derivative: f64::from(u8::from(x > 0.0)) }
            }
        }
    }

    /// What an error in x does.
    fn carried(self, x: f64, point: &Point, error: f64) -> f64 {
        let [curvature, steepest] = match self {
            Self::GeluTanh | Self::GeluErf => [0.8, 1.13],
            Self::Silu => [0.5, 1.1],
            Self::Relu => return if x <= -UNIT * error { 0.0 } else { error },
        };
        (point.derivative.abs() + curvature / 2.0 * UNIT * error).min(steepest) * error
    }

    #[expect(clippy::cast_possible_truncation, reason = "constants of f32")]
    fn replica_at(self, way: &Way, x: f32) -> f32 {
        match self {
            Self::GeluTanh => x * way.half_of_one_and_tanh(SLOPE as f32 * (x + CUBIC as f32 * x * x * x)),
            Self::GeluErf if way.reciprocal => 0.5 * x * libm::erfcf(-x * FRAC_1_SQRT_2 as f32),
            Self::GeluErf => 0.5 * x * (1.0 + libm::erff(x / std::f32::consts::SQRT_2)),
            Self::Silu if way.reciprocal => x * way.sigmoid(x),
            Self::Silu => x / (1.0 + way.exp(-x)),
            Self::Relu => x.max(0.0),
        }
    }
}

/// ½x(1 + t), of the error of t and of its derivative by x.
fn gelu(x: f64, [t, error]: [f64; 2], slope: f64) -> Point {
    let value = 0.5 * x * (1.0 + t);
    let own = 0.5 * x.abs() * error + 2.0 * value.abs() + 2.0 * FLUSHED;
    Point { value, own, derivative: 0.5 * (1.0 + t) + 0.5 * x * slope }
}

#[cfg(test)]
mod tests;
