//! Half precision: results that are stored in f16 or bf16, and computed in f32 between one store and the next.
//!
//! Where an implementation rounds to its format, the unit of the format, u_h = 2⁻¹¹ or 2⁻⁸, takes the place of u;
//! everything else has the bounds of f32. One rounding costs s = u_h·|x| + η, where η is the smallest normal number
//! (2⁻¹⁴ for f16), below which a result may be flushed to zero. Twice that is allowed (one ulp), for another rounding
//! mode, and so that a correct store uses half.
//!
//! An input or a weight that the format holds exactly costs nothing: storing it again changes nothing. What is computed
//! always costs a rounding, though its exact value may be one that the format holds.
//!
//! How such errors go through an operation is said where the operation is: [`product`](crate::product) for matrix
//! products, and each file of [`operation`](crate::operation).

use std::collections::BTreeSet;

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use crate::UNIT;

/// A format of 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HalfFormat {
    /// IEEE binary16.
    F16,
    /// The upper half of an f32.
    Bf16,
}

/// What of an operation is rounded to half precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounds {
    /// What it is given.
    Inputs,
    /// Matrices, scales, biases, and tables.
    Weights,
    /// Results inside it, such as each step of GELU.
    Intermediates,
    /// Its result.
    Output,
}

/// Where an operation rounds to half precision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// What it rounds to.
    pub format: HalfFormat,
    /// What it rounds.
    pub rounds: BTreeSet<Rounds>,
}

impl HalfFormat {
    /// u_h, in units of u.
    pub fn ratio(self) -> f64 {
        match self {
            Self::F16 => 8192.0,
            Self::Bf16 => 65536.0,
        }
    }

    /// η, in units of u: what a number below the smallest normal one may lose.
    pub fn flushed(self) -> f64 {
        self.smallest_normal() / UNIT
    }

    /// s, in units of u: one rounding of a result of this size.
    pub fn rounding(self, value: f64) -> f64 {
        self.ratio() * value.abs() + self.flushed()
    }

    /// s of what is given: nothing where the format holds it.
    pub fn store(self, value: f64) -> f64 {
        if self.holds(value) { 0.0 } else { self.rounding(value) }
    }

    /// Whether the format has this number, not as a subnormal, which may be flushed.
    pub fn holds(self, value: f64) -> bool {
        let nearest = match self {
            Self::F16 => f16::from_f64(value).to_f64(),
            Self::Bf16 => bf16::from_f64(value).to_f64(),
        };
        nearest.to_bits() == value.to_bits() && (value == 0.0 || value.abs() >= self.smallest_normal())
    }

    /// The nearest number of the format, ties to even.
    pub fn rounded(self, value: f32) -> f32 {
        match self {
            Self::F16 => f16::from_f32(value).to_f32(),
            Self::Bf16 => bf16::from_f32(value).to_f32(),
        }
    }

    fn smallest_normal(self) -> f64 {
        match self {
            Self::F16 => f16::MIN_POSITIVE.to_f64(),
            Self::Bf16 => bf16::MIN_POSITIVE.to_f64(),
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact results")]
mod tests {
    use super::*;

    #[test]
    fn what_the_format_holds_costs_nothing_and_a_subnormal_may_be_flushed() {
        let f16 = HalfFormat::F16;
        for held in [0.0, -0.0, 1.0, 1.0 + 2_f64.powi(-10), 65504.0, -(2_f64.powi(-14)), f64::INFINITY] {
            assert_eq!(f16.store(held), 0.0, "{held}");
        }
        for other in [1.0 + 2_f64.powi(-11), 65520.0, 2_f64.powi(-15), 1e-300] {
            assert_eq!(f16.store(other), 8192.0 * other + 1024.0, "{other}");
        }
        assert!(
            HalfFormat::Bf16.holds(1.0 + 2_f64.powi(-7)) && !HalfFormat::Bf16.holds(1.0 + 2_f64.powi(-8))
        );
        assert!(!f16.holds(f64::NAN.copysign(-1.0)) || f16.store(f64::NAN) == 0.0);
    }

    #[test]
    fn a_store_costs_at_most_one_rounding() {
        for format in [HalfFormat::F16, HalfFormat::Bf16] {
            for step in 1..20_000_u16 {
                let value = f32::from(step).sqrt() * 3.7e-6 * f32::from(step);
                let lost = f64::from(format.rounded(value) - value).abs();
                assert!(lost <= UNIT * format.store(f64::from(value)), "{value}");
            }
        }
    }

    #[test]
    fn ties_go_to_even() {
        assert_eq!(HalfFormat::F16.rounded(1.0 + 2_f32.powi(-11)), 1.0);
        assert_eq!(HalfFormat::Bf16.rounded(1.0 + 3.0 * 2_f32.powi(-8)), 1.0 + 2_f32.powi(-6));
    }
}
