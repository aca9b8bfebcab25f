//! What one comparison asks and finds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The classic bound `|actual − expected| <= atol + rtol·|expected|`, both parts finite and ≥ 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawTolerance", into = "RawTolerance")]
pub struct Tolerance {
    atol: f64,
    rtol: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTolerance {
    atol: f64,
    rtol: f64,
}

/// Why a tolerance is none.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("tolerance atol {atol}, rtol {rtol}: both must be finite and at least 0")]
pub struct ToleranceError {
    /// The absolute part found.
    pub atol: f64,
    /// The relative part found.
    pub rtol: f64,
}

impl Tolerance {
    /// Both parts must be finite and at least 0.
    pub fn new(atol: f64, rtol: f64) -> Result<Self, ToleranceError> {
        let valid = |x: f64| x.is_finite() && x >= 0.0;
        if valid(atol) && valid(rtol) { Ok(Self { atol, rtol }) } else { Err(ToleranceError { atol, rtol }) }
    }

    /// The absolute part.
    pub fn atol(self) -> f64 {
        self.atol
    }

    /// The relative part.
    pub fn rtol(self) -> f64 {
        self.rtol
    }

    /// The error allowed at a finite expected value.
    pub fn allowed(self, expected: f64) -> f64 {
        self.atol + self.rtol * expected.abs()
    }
}

impl TryFrom<RawTolerance> for Tolerance {
    type Error = ToleranceError;

    fn try_from(raw: RawTolerance) -> Result<Self, ToleranceError> {
        Self::new(raw.atol, raw.rtol)
    }
}

impl From<Tolerance> for RawTolerance {
    fn from(tolerance: Tolerance) -> Self {
        Self { atol: tolerance.atol, rtol: tolerance.rtol }
    }
}

/// What an element must satisfy.
///
/// Under either criterion a NaN on any side is a violation, the same NaN on both sides as well; the same infinity on both
/// sides satisfies it, and an infinity on one side does not. A difference of finite values that overflows f64 is a violation,
/// however much is allowed. Integers are judged by their exact difference, also where f64 cannot hold it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Criterion {
    /// The same bits; −0.0 and 0.0 differ.
    BitExact,
    /// The classic bound.
    Classic(Tolerance),
}

impl Criterion {
    /// The error allowed at a finite expected value; a bit-exact comparison allows none.
    pub fn allowed(self, expected: f64) -> f64 {
        match self {
            Self::BitExact => 0.0,
            Self::Classic(tolerance) => tolerance.allowed(expected),
        }
    }
}

/// One element of a comparison. Values are converted to f64, exactly but for `I64` beyond ±2⁵³.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// Multi-index, outermost first.
    pub index: Vec<usize>,
    /// Value under test.
    pub actual: f64,
    /// Value that judges.
    pub expected: f64,
    /// `|actual − expected|`. NaN or infinite where a value is not finite; infinite where the difference overflows.
    pub error: f64,
    /// The error allowed there; 0 where a value is not finite.
    pub allowed: f64,
}

/// How many elements are not finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NonFinite {
    /// NaNs in the tensor under test.
    pub actual_nan: u64,
    /// NaNs in the tensor that judges.
    pub expected_nan: u64,
    /// ±∞ in the tensor under test.
    pub actual_infinite: u64,
    /// ±∞ in the tensor that judges.
    pub expected_infinite: u64,
    /// Elements where both are the same infinity. They satisfy the criterion; whether an infinity may be
    /// there at all is the spec's to say.
    pub same_infinity: u64,
}

/// What one pass over a matched pair finds.
///
/// Errors are in f64; statistics of error are over the elements where both values are finite, and 0 when there are none. Every
/// other element, unless both values are the same infinity, is a violation: read `violations`, or
/// [`Statistics::satisfied`], before any of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Elements compared. Zero is never a pass.
    pub elements: u64,
    /// Elements that do not satisfy the criterion.
    pub violations: u64,
    /// Elements that are not finite.
    pub non_finite: NonFinite,
    /// Largest `|actual − expected|`.
    pub max_abs: f64,
    /// Mean `|actual − expected|`. Like the two below it is infinite where its sum overflows.
    pub mean_abs: f64,
    /// Largest `|actual − expected| / |expected|` over elements with a non-zero expected value.
    pub max_rel: f64,
    /// Root mean square error.
    pub rmse: f64,
    /// Cosine similarity, in [−1, 1]; none when either norm is 0, overflows, or is so small that its square loses digits.
    pub cosine: Option<f64>,
    /// Largest distance in units in the last place of the dtype compared; none for integers. Neighbouring values are 1
    /// apart, across 0 as well, and the two zeros are 0 apart.
    pub max_ulp: Option<u64>,
    /// Largest error as a share of what is allowed there: 0 for 0/0, infinite where there is an error and none is
    /// allowed. At most 1 where all finite elements satisfy the criterion; rounding may make it 1 just beyond.
    pub used: f64,
    /// Smallest and largest finite value under test; none when there is none.
    pub range: Option<(f64, f64)>,
    /// Elements by magnitude of absolute error: `[0]` exactly zero, `[i]` for `10^(i−13) <= error < 10^(i−12)`
    /// (`[1]` is open below and the last one above), non-finite elements left out.
    pub buckets: [u64; Statistics::BUCKETS],
    /// The worst elements, worst first: non-finite ones (unless both are the same infinity), then violations, then the
    /// others that have an error; among finite ones by share of the allowed error, or by error where none is allowed;
    /// the earlier of equals first. An element without error is not among them, unless its bits had to be the same.
    pub worst: Vec<Element>,
}

impl Statistics {
    /// Number of buckets by magnitude.
    pub const BUCKETS: usize = 16;
    /// How many of the worst elements are kept.
    pub const WORST: usize = 5;
    /// The smallest error of each bucket.
    pub(crate) const BUCKET_STARTS: [f64; Self::BUCKETS] =
        [0.0, 5e-324, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2];

    /// Whether every element satisfies the criterion, and there was one.
    pub fn satisfied(&self) -> bool {
        self.elements > 0 && self.violations == 0
    }
}

#[cfg(test)]
mod tests {
    use super::Tolerance;

    #[test]
    fn a_tolerance_is_finite_and_not_negative() {
        for part in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e-9] {
            assert!(Tolerance::new(part, 0.0).is_err(), "atol {part}");
            assert!(Tolerance::new(0.0, part).is_err(), "rtol {part}");
        }
        assert!(Tolerance::new(0.0, 0.0).is_ok());
    }

    #[test]
    fn both_parts_are_allowed_together() {
        let tolerance = Tolerance::new(0.5, 0.25).unwrap();
        assert_eq!((tolerance.atol(), tolerance.rtol()), (0.5, 0.25));
        assert_eq!(
            (tolerance.allowed(2.0), tolerance.allowed(-2.0), tolerance.allowed(0.0)),
            (1.0, 1.0, 0.5)
        );
    }
}
