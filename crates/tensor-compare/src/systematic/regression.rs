//! Weighted least squares of the error on the oracle's value, and how far chance may take its coefficients.
//!
//! With `d = y − ȳ`, means and sums weighted by `w = 1/M²`:
//!
//! ```text
//! s = Σ w·d·(e − ē) / Σ w·d²          o = ē − s·ȳ          r = (e − ē) − s·d
//! ```
//!
//! **Standard errors.** `M` bounds the error, it is not proportional to its standard deviation: columns differ in how
//! much of their budget they use. The variances are therefore those of White (*Econometrica* 48, 1980), which assume
//! nothing of how the errors' variance depends on `y`; and in the form HC3 of MacKinnon & White (*Journal of
//! Econometrics* 29, 1985), because a few elements of small `M` or large `|d|` draw the line to themselves and leave
//! small residuals: each is divided by `1 − h`, `h` its leverage, which gives the error of the line fitted without it.
//!
//! ```text
//! h = w·(1/Σw + d²/Σw·d²)      q = w·r/(1 − h)      var(s) = Σ (q·d)² / (Σ w·d²)²
//!                                                   var(o) = Σ (q·(1/Σw − ȳ·d/Σw·d²))²
//! ```
//!
//! **How many.** `c = √(2·ln(2N/p)/3)` is for rounding errors, whose standard deviation is `u/√3`; the normal deviate
//! of the same probability is `z = √3·c`. The variance is estimated from `ν = n − 2` degrees of freedom, so the
//! deviate becomes a quantile of Student's t,
//!
//! ```text
//! t = √(ν·(e^{z²/ν} − 1))
//! ```
//!
//! from the normal approximation `z ≈ √(ν·ln(1 + t²/ν))` of Wallace (*Annals of Mathematical Statistics* 30, 1959),
//! who shows that it errs to one side: `t` is too small, by 0.1 % at ν = 200 and 23 % at ν = 5 (for z = 8.5), and is
//! passed at most 7 times as often as the true quantile, which at a `p` of 1e-9 is nothing.
//!
//! **No more than.** Whatever the residuals say, errors within `±u·M` have a standard deviation of at most `u·M/√3`,
//! so that of `s` is at most `u/√(3·Σw·d²)` and, known and not estimated, needs `z` and not `t`:
//!
//! ```text
//! |s| <= 2u + min(t·se(s), c·u/√Σw·d²)
//! |o| <= 2u·√(Σw·y²/Σw) + min(t·se(o), c·u·√(1/Σw + ȳ²/Σw·d²))
//! ```
//!
//! This is what bounds slices of few elements, whose `t` is astronomic.

use super::{Point, SharedError};
use crate::RoundingBudget;

/// The allowance for scale, in rounding units: one for a shared constant, one for an elementary function.
const ALLOWANCE: f64 = 2.0;
/// Elements below which two coefficients and a residual cannot be told apart.
const FEWEST: u64 = 3;
/// Below this share of independent variation the values count as constant, and only a scale is estimated.
const CONSTANT: f64 = 1e-12;
/// Below this `1 − h` the line goes through the element, whose residual is rounding of the regression itself.
const DETERMINED: f64 = 1e-9;

/// First pass: the weighted means.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Means {
    elements: u64,
    weight: f64,
    y: f64,
    yy: f64,
    error: f64,
    any_error: bool,
}

impl Means {
    #[inline]
    pub(super) fn add(&mut self, point: Point) {
        let Point { y, error, weight, .. } = point;
        self.elements += 1;
        self.weight += weight;
        self.y += weight * y;
        self.yy += weight * y * y;
        self.error += weight * error;
        self.any_error |= error != 0.0;
    }
}

/// Second pass: the spread around the means. Centred first, as a difference of large sums would lose it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    y_mean: f64,
    error_mean: f64,
    yy: f64,
    ye: f64,
}

impl Spread {
    pub(super) fn around(means: &Means) -> Self {
        Self { y_mean: means.y / means.weight, error_mean: means.error / means.weight, yy: 0.0, ye: 0.0 }
    }

    #[inline]
    pub(super) fn add(&mut self, point: Point) {
        let d = point.y - self.y_mean;
        let weighted = point.weight * d;
        self.yy += weighted * d;
        self.ye += weighted * (point.error - self.error_mean);
    }
}

/// Third pass: the line, and the sums of its variances.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    unit: f64,
    degrees: f64,
    /// `ȳ`; 0 for a line through the origin.
    center: f64,
    /// `ē`; 0 for a line through the origin.
    error_mean: f64,
    scale: f64,
    /// `√(Σw·y²/Σw)`.
    typical: f64,
    /// `1/Σw`; 0 for a line through the origin.
    inverse_weight: f64,
    /// `1/Σw·d²`.
    inverse_spread: f64,
    scale_variance: f64,
    offset_variance: f64,
}

impl Line {
    /// None where there is nothing to fit. Constant values get a line through the origin, which is the same
    /// regression with means of 0 and no variance of the constant: all formulas hold.
    pub(super) fn through(means: &Means, spread: &Spread, unit: f64) -> Option<Self> {
        if means.elements < FEWEST || means.yy <= 0.0 || !means.any_error {
            return None;
        }
        let typical = (means.yy / means.weight).sqrt();
        let (scale_variance, offset_variance) = (0.0, 0.0);
        if spread.yy > CONSTANT * means.yy {
            Some(Self {
                unit,
                degrees: (means.elements - 2) as f64,
                center: spread.y_mean,
                error_mean: spread.error_mean,
                scale: spread.ye / spread.yy,
                typical,
                inverse_weight: 1.0 / means.weight,
                inverse_spread: 1.0 / spread.yy,
                scale_variance,
                offset_variance,
            })
        } else {
            Some(Self {
                unit,
                degrees: (means.elements - 1) as f64,
                center: 0.0,
                error_mean: 0.0,
                scale: (spread.ye + spread.y_mean * means.error) / means.yy,
                typical,
                inverse_weight: 0.0,
                inverse_spread: 1.0 / means.yy,
                scale_variance,
                offset_variance,
            })
        }
    }

    #[inline]
    pub(super) fn add_residual(&mut self, point: Point) {
        let Point { y, error, bound, weight } = point;
        let d = y - self.center;
        let of_spread = d * self.inverse_spread;
        let rest = 1.0 - weight * (self.inverse_weight + d * of_spread);
        let without = if rest > DETERMINED {
            (error - self.error_mean - self.scale * d) / rest
        } else {
            // As large as the standard deviation of a rounding error within its bound can be.
            self.unit * bound / 3f64.sqrt()
        };
        let q = weight * without;
        let (of_scale, of_offset) = (q * of_spread, q * (self.inverse_weight - self.center * of_spread));
        self.scale_variance += of_scale * of_scale;
        self.offset_variance += of_offset * of_offset;
    }

    pub(super) fn estimate(&self, budget: &RoundingBudget, shared: SharedError) -> Estimate {
        let (unit, confidence) = (budget.unit, budget.confidence);
        let t = student(3f64.sqrt() * confidence, self.degrees);
        let of_bounds = confidence * unit * self.inverse_spread.sqrt();
        let of_bounds_offset = confidence
            * unit
            * (self.inverse_weight + self.center * self.center * self.inverse_spread).sqrt();
        // `min` passes over NaN, which is an infinite quantile times no variance.
        let by_chance = (t * self.scale_variance.sqrt()).min(of_bounds);
        let by_chance_offset = (t * self.offset_variance.sqrt()).min(of_bounds_offset);
        Estimate {
            scale: self.scale,
            scale_allowed: ALLOWANCE * unit + by_chance + unit * shared.scale,
            offset: self.error_mean - self.scale * self.center,
            offset_allowed: ALLOWANCE * unit * self.typical + by_chance_offset + unit * shared.offset,
        }
    }

    pub(super) fn center(&self) -> f64 {
        self.center
    }

    pub(super) fn inverse_weight(&self) -> f64 {
        self.inverse_weight
    }

    pub(super) fn inverse_spread(&self) -> f64 {
        self.inverse_spread
    }
}

/// The coefficients and what they may be.
pub(super) struct Estimate {
    pub(super) scale: f64,
    pub(super) scale_allowed: f64,
    pub(super) offset: f64,
    pub(super) offset_allowed: f64,
}

/// The quantile of Student's t with the tail probability of the normal deviate `z`; see the module.
fn student(z: f64, degrees: f64) -> f64 {
    (degrees * (z * z / degrees).exp_m1()).sqrt()
}

#[cfg(test)]
mod tests {
    use super::student;

    #[test]
    fn the_quantile_is_that_of_students_t() {
        // Exact quantiles of the tail probability of z = 8.487, by numerical integration of the density.
        let z = 3f64.sqrt() * 4.9;
        for (degrees, exact, off) in [(5.0, 3894.0, 0.24), (20.0, 27.61, 0.04), (200.0, 9.325, 0.002)] {
            let t = student(z, degrees);
            assert!(t < exact && t > exact * (1.0 - off), "{degrees}: {t}");
        }
        assert!((student(z, 1e12) - z).abs() < 1e-6);
        assert!(student(30.0, 1.0).is_infinite() || student(30.0, 1.0) > 1e90);
    }
}
