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

use super::points::{Point, Terms};
use crate::RoundingBudget;

/// Elements below which two coefficients and a residual cannot be told apart.
const FEWEST: f64 = 3.0;
/// Below this share of independent variation the values count as constant, and only a scale is estimated.
const CONSTANT: f64 = 1e-12;
/// Below this `1 − h` the line goes through the element, whose residual is rounding of the regression itself.
const DETERMINED: f64 = 1e-9;

/// First pass, for the weighted means: `[n, Σw, Σw·y, Σw·y², Σw·e, how many e are not 0]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Means;

impl Terms<6> for Means {
    #[inline(always)]
    fn of(self, Point { y, error, weight, .. }: Point) -> [f64; 6] {
        let one_if = |condition: bool| if condition { 1.0 } else { 0.0 };
        [one_if(weight > 0.0), weight, weight * y, weight * y * y, weight * error, one_if(error != 0.0)]
    }
}

/// Second pass, the spread around the means: `[Σw·d², Σw·d·(e − ē)]`. Centred first, as a difference of large sums would
/// lose it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    y_mean: f64,
    error_mean: f64,
}

impl Spread {
    pub(super) fn around([_, weight, y, _, error, _]: &[f64; 6]) -> Self {
        // Without a weight there is no mean, and no line either.
        let mean = |sum: f64| if *weight > 0.0 { sum / weight } else { 0.0 };
        Self { y_mean: mean(*y), error_mean: mean(*error) }
    }
}

impl Terms<2> for Spread {
    #[inline(always)]
    fn of(self, Point { y, error, weight, .. }: Point) -> [f64; 2] {
        let d = y - self.y_mean;
        let weighted = weight * d;
        [weighted * d, weighted * (error - self.error_mean)]
    }
}

/// What shared errors may add to the coefficients, in rounding units.
#[derive(Clone, Copy, Debug)]
pub(super) struct SharedError {
    pub(super) scale: f64,
    pub(super) offset: f64,
}

impl SharedError {
    pub(super) const NONE: Self = Self { scale: 0.0, offset: 0.0 };
}

/// The line through the points of an index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    residuals: Residuals,
    degrees: f64,
    /// `√(Σw·y²/Σw)`.
    typical: f64,
}

/// Third pass, the variances of the coefficients: `[var(s), var(o)]`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Residuals {
    /// `ȳ`; 0 for a line through the origin.
    center: f64,
    /// `ē`; 0 for a line through the origin.
    error_mean: f64,
    scale: f64,
    /// `1/Σw`; 0 for a line through the origin.
    inverse_weight: f64,
    /// `1/Σw·d²`.
    inverse_spread: f64,
    /// As large, in units of `M`, as the standard deviation of a rounding error within its bound can be: `u/√3`.
    deviation: f64,
}

impl From<&Option<Line>> for Residuals {
    /// Where there is no line nothing is summed that anybody asks for.
    fn from(line: &Option<Line>) -> Self {
        line.as_ref().map(|line| line.residuals).unwrap_or_default()
    }
}

impl Terms<2> for Residuals {
    #[inline(always)]
    fn of(self, Point { y, error, bound, weight }: Point) -> [f64; 2] {
        let d = y - self.center;
        let of_spread = d * self.inverse_spread;
        let rest = 1.0 - weight * (self.inverse_weight + d * of_spread);
        let residual = (error - self.error_mean - self.scale * d) / rest;
        let without = if rest > DETERMINED { residual } else { self.deviation * bound };
        let q = weight * without;
        let (of_scale, of_offset) = (q * of_spread, q * (self.inverse_weight - self.center * of_spread));
        [of_scale * of_scale, of_offset * of_offset]
    }
}

impl Line {
    /// None where there is nothing to fit. Constant values get a line through the origin, which is the same
    /// regression with means of 0 and no variance of the constant: all formulas hold.
    pub(super) fn through(
        [elements, weight, _, yy, error, errors]: &[f64; 6],
        means: &Spread,
        [spread, spread_error]: &[f64; 2],
        unit: f64,
    ) -> Option<Self> {
        if *elements < FEWEST || *yy <= 0.0 || *errors == 0.0 {
            return None;
        }
        let (typical, deviation) = ((yy / weight).sqrt(), unit / 3f64.sqrt());
        let (degrees, residuals) = if *spread > CONSTANT * yy {
            let around_means = Residuals {
                center: means.y_mean,
                error_mean: means.error_mean,
                scale: spread_error / spread,
                inverse_weight: 1.0 / weight,
                inverse_spread: 1.0 / spread,
                deviation,
            };
            (elements - 2.0, around_means)
        } else {
            let through_origin = Residuals {
                scale: (spread_error + means.y_mean * error) / yy,
                inverse_spread: 1.0 / yy,
                deviation,
                ..Residuals::default()
            };
            (elements - 1.0, through_origin)
        };
        Some(Self { residuals, degrees, typical })
    }

    pub(super) fn estimate(
        &self,
        budget: &RoundingBudget,
        [scale_variance, offset_variance]: [f64; 2],
        shared: SharedError,
    ) -> Estimate {
        let Residuals { center, error_mean, scale, inverse_weight, inverse_spread, .. } = self.residuals;
        let (unit, confidence) = (budget.unit, budget.confidence);
        let t = student(3f64.sqrt() * confidence, self.degrees);
        let of_bounds = confidence * unit * inverse_spread.sqrt();
        let of_bounds_offset = confidence * unit * (inverse_weight + center * center * inverse_spread).sqrt();
        // `min` passes over NaN, which is an infinite quantile times no variance.
        let by_chance = (t * scale_variance.sqrt()).min(of_bounds);
        let by_chance_offset = (t * offset_variance.sqrt()).min(of_bounds_offset);
        Estimate {
            scale,
            scale_allowed: budget.allowance * unit + by_chance + unit * shared.scale,
            offset: error_mean - scale * center,
            offset_allowed: budget.allowance * unit * self.typical + by_chance_offset + unit * shared.offset,
        }
    }

    pub(super) fn center(&self) -> f64 {
        self.residuals.center
    }

    pub(super) fn inverse_weight(&self) -> f64 {
        self.residuals.inverse_weight
    }

    pub(super) fn inverse_spread(&self) -> f64 {
        self.residuals.inverse_spread
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
