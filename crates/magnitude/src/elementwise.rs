//! Sums of two and GELU: each bound from the one element.

use std::f32::consts::FRAC_2_SQRT_PI;

use crate::rows::{absolute, if_finite, rows};
use crate::{FLUSHED, UNIT};

/// √(2/π)
const SLOPE: f32 = FRAC_2_SQRT_PI / std::f32::consts::SQRT_2;
const CUBIC: f32 = 0.044_715;
/// The derivative of GELU is nowhere above it.
const STEEPEST: f32 = 1.13;
/// Below it, exp is not told from 0.
const LOWEST: f32 = -87.0;

/// x + y, of which the sums are given, and the errors that x and y carry: 2|s| and those.
pub fn add(sum: &[f64], carried: [Option<&[f32]>; 2]) -> Option<Vec<f32>> {
    rows(1, sum.len(), &carried.map(|errors| errors.map(<[f32]>::len)));
    pulp::Arch::new().dispatch(Add { sum, carried })
}

/// GELU of x in its tanh form, and the errors that x carries.
pub fn gelu(x: &[f64], carried: Option<&[f32]>) -> Option<Vec<f32>> {
    rows(1, x.len(), &[carried.map(<[f32]>::len)]);
    pulp::Arch::new().dispatch(Gelu { x, carried })
}

struct Add<'a> {
    sum: &'a [f64],
    carried: [Option<&'a [f32]>; 2],
}

impl pulp::WithSimd for Add<'_> {
    type Output = Option<Vec<f32>>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Self::Output {
        let mut bounds = vec![0.0; self.sum.len()];
        for (bound, &s) in bounds.iter_mut().zip(self.sum) {
            *bound = 2.0 * absolute(s) + FLUSHED;
        }
        for errors in self.carried.into_iter().flatten() {
            for (bound, error) in bounds.iter_mut().zip(errors) {
                *bound += error;
            }
        }
        if_finite(bounds)
    }
}

struct Gelu<'a> {
    x: &'a [f64],
    carried: Option<&'a [f32]>,
}

impl pulp::WithSimd for Gelu<'_> {
    type Output = Option<Vec<f32>>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Self::Output {
        // Not collected: an iterator's own loop would not be compiled with this one's instructions.
        let mut bounds = vec![0.0; self.x.len()];
        match self.carried {
            None => {
                for (bound, &x) in bounds.iter_mut().zip(self.x) {
                    *bound = gelu_of(x, None);
                }
            }
            Some(errors) => {
                for (bound, (&x, &error)) in bounds.iter_mut().zip(self.x.iter().zip(errors)) {
                    *bound = gelu_of(x, Some(error));
                }
            }
        }
        if_finite(bounds)
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "bounds are f32")]
fn gelu_of(x: f64, error: Option<f32>) -> f32 {
    let x = x as f32;
    let square = x * x;
    let cubic = SLOPE * CUBIC * square;
    let [tanh, slope] = tanh_and_slope((cubic + SLOPE) * x);
    let own = (tanh + 4.0) * x.abs() + slope * square * (4.5 * cubic + 2.0 * SLOPE) + 2.0 * FLUSHED;
    let Some(error) = error else { return own };
    let derivative = (slope * (3.0 * cubic + SLOPE) * x + tanh + 1.0).abs();
    let steepest = (derivative + error * (0.8 * UNIT)).min(2.0 * STEEPEST);
    own + steepest * error / 2.0
}

/// tanh w and 1 − tanh² w, by e = exp(−2|w|): (1 − e)/(1 + e) and 4e/(1 + e)². The second does not cancel, as x² and x⁴ are
/// multiplied with it.
#[inline(always)]
fn tanh_and_slope(w: f32) -> [f32; 2] {
    let e = exp(-2.0 * w.abs());
    let sum = 1.0 + e;
    [((1.0 - e) / sum).copysign(w), 4.0 * e / (sum * sum)]
}

/// eʸ for y ≤ 0, within 10⁻⁶ of itself; 0 below −87. It has no call, no branch and no table, so that it runs in lanes:
/// eʸ = 2ᵏ·eʳ with k = round(y·log₂e), and eʳ by its Taylor series, as |r| ≤ ln 2/2.
#[inline(always)]
fn exp(y: f32) -> f32 {
    /// Numbers next to it are 1 apart: adding it rounds, and leaves k in the last bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, of which k times the first is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let shifted = y * std::f32::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = (y - k * LN_2[0]) - k * LN_2[1];
    let series = ((((r / 720.0 + 1.0 / 120.0) * r + 1.0 / 24.0) * r + 1.0 / 6.0) * r + 0.5) * r * r + r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    if y < LOWEST { 0.0 } else { series * power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_tanh_are_close_everywhere() {
        let close = |found: f32, expected: f64, name: &str, at: f64| {
            let off = f64::from(found) / expected - 1.0;
            assert!(off.abs() < 1e-6, "{name}({at}) is {found}, {off:e} off");
        };
        for step in 0..=870_000 {
            let y = -f64::from(step as f32 / 1e4);
            close(exp(y as f32), f64::from(y as f32).exp(), "exp", y);
        }
        for step in 1..=400_000 {
            let w = f64::from(step as f32 / 1e4);
            for w in [w, -w] {
                let [tanh, slope] = tanh_and_slope(w as f32);
                assert!((f64::from(tanh) - w.tanh()).abs() < 2e-7, "tanh({w}) is {tanh}");
                close(slope, 1.0 / w.cosh().powi(2), "slope", w);
            }
        }
        assert_eq!((exp(0.0), exp(-87.5), exp(-1e30), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0, 0.0));
        assert!(exp(f32::NAN).is_nan() && tanh_and_slope(f32::NAN)[0].is_nan());
    }

    #[test]
    fn a_sum_costs_an_ulp_and_what_its_terms_carry() {
        let [x, y] = [[1.0, 2.0, 3.0], [0.5, 0.0, 10.0]];
        let carried = |errors| add(&[4.0, 0.0, -8.0], errors).unwrap_or_default();
        assert_eq!(carried([None, None]), [8.0, FLUSHED, 16.0]);
        assert_eq!(carried([Some(&x), Some(&y)]), [9.5, 2.0, 29.0]);
    }

    #[test]
    fn gelu_has_the_bounds_of_its_derivation() {
        for step in -4000..=4000 {
            let x = f64::from(step) / 500.0;
            let w = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            let argument =
                (2.0 / std::f64::consts::PI).sqrt() * (4.0 * x.abs() + 9.0 * 0.044_715 * x.abs().powi(3));
            let slope = 1.0 - w.tanh() * w.tanh();
            let result = 0.5 * x * (1.0 + w.tanh());
            let own = 0.5 * x.abs() * (slope * argument + 6.0) + 2.0 * result.abs();
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (1.0 + 3.0 * 0.044_715 * x * x);
            let derivative = 0.5 * (1.0 + w.tanh()) + 0.5 * x * slope * inner;
            let carried = 100.0 * (derivative.abs() + 0.4 * f64::from(UNIT) * 100.0).min(1.13);
            for (errors, expected) in [(None, own), (Some([100.0].as_slice()), own + carried)] {
                let found = gelu(&[x], errors).map(|bounds| f64::from(bounds[0]));
                let close = found.is_some_and(|found| (found - expected).abs() <= 1e-4 * expected + 1e-6);
                assert!(close, "{x}: {found:?}, {expected}");
            }
        }
    }

    #[test]
    fn what_f32_does_not_hold_is_left_to_f64() {
        assert_eq!(gelu(&[1e8, -1e4], None), Some(vec![5e8, 3e4]));
        for x in [1e20, f64::INFINITY, f64::NAN] {
            assert_eq!(gelu(&[0.0, x], None), None, "{x}");
        }
        assert_eq!(add(&[0.0, 1e39], [None, None]), None);
        assert_eq!(add(&[0.0], [Some(&[f32::NAN]), None]), None);
    }
}
