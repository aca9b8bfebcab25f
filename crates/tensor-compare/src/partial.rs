//! What is known of a part of a tensor, and how parts make a whole.

use crate::Shape;
use crate::statistics::{Criterion, NonFinite, Statistics};
use crate::worst::Worst;

/// The smallest sum of squares that still has all its digits: below, squares have underflowed.
pub(crate) const SMALLEST_NORM: f64 = f64::MIN_POSITIVE / f64::EPSILON;

/// Counts, sums and extremes of some elements.
#[derive(Clone, Debug)]
pub(crate) struct Partial {
    pub(crate) elements: u64,
    /// Elements where both values are finite; all that follow but counts of others are over them.
    pub(crate) finite: u64,
    pub(crate) violations: u64,
    pub(crate) non_finite: NonFinite,
    pub(crate) max_abs: f64,
    pub(crate) max_rel: f64,
    /// Of finite pairs: the largest share of the allowed error; where none is allowed, the largest error.
    pub(crate) highest_rank: f64,
    pub(crate) max_ulp: u64,
    /// Sum of errors.
    pub(crate) errors: f64,
    /// Sum of squared errors.
    pub(crate) squares: f64,
    /// Sum of products of the two values.
    pub(crate) products: f64,
    /// Sums of squares of the two values.
    pub(crate) norms: [f64; 2],
    /// Smallest and largest finite value under test; the wrong way round when there is none.
    pub(crate) range: [f64; 2],
    pub(crate) buckets: [u64; Statistics::BUCKETS],
    pub(crate) worst: Worst,
}

impl Default for Partial {
    fn default() -> Self {
        Self {
            elements: 0,
            finite: 0,
            violations: 0,
            non_finite: NonFinite::default(),
            max_abs: 0.0,
            max_rel: 0.0,
            highest_rank: 0.0,
            max_ulp: 0,
            errors: 0.0,
            squares: 0.0,
            products: 0.0,
            norms: [0.0; 2],
            range: [f64::INFINITY, f64::NEG_INFINITY],
            buckets: [0; Statistics::BUCKETS],
            worst: Worst::default(),
        }
    }
}

impl Partial {
    /// The statistics of both parts, `other` being the later one.
    pub(crate) fn join(mut self, other: Self) -> Self {
        self.elements += other.elements;
        self.finite += other.finite;
        self.violations += other.violations;
        self.non_finite = self.non_finite.join(other.non_finite);
        self.max_abs = larger(self.max_abs, other.max_abs);
        self.max_rel = larger(self.max_rel, other.max_rel);
        self.highest_rank = larger(self.highest_rank, other.highest_rank);
        self.max_ulp = self.max_ulp.max(other.max_ulp);
        self.errors += other.errors;
        self.squares += other.squares;
        self.products += other.products;
        for (norm, other) in self.norms.iter_mut().zip(other.norms) {
            *norm += other;
        }
        self.extend_range(other.range);
        for (bucket, other) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket += other;
        }
        self.worst.merge(other.worst);
        self
    }

    /// Widens the range to hold another one.
    pub(crate) fn extend_range(&mut self, [smallest, largest]: [f64; 2]) {
        if smallest < self.range[0] {
            self.range[0] = smallest;
        }
        if largest > self.range[1] {
            self.range[1] = largest;
        }
    }

    /// The statistics of a whole tensor of that shape.
    pub(crate) fn finish(self, shape: &Shape, has_ulps: bool, criterion: Criterion) -> Statistics {
        assert_eq!(self.elements, shape.elements() as u64, "every element is compared");
        let [smallest, largest] = self.range;
        Statistics {
            elements: self.elements,
            violations: self.violations,
            non_finite: self.non_finite,
            max_abs: self.max_abs,
            mean_abs: self.mean(self.errors),
            max_rel: self.max_rel,
            rmse: self.mean(self.squares).sqrt(),
            cosine: self.cosine(),
            max_ulp: has_ulps.then_some(self.max_ulp),
            used: self.used(criterion),
            range: (smallest <= largest).then_some((smallest, largest)),
            buckets: self.buckets,
            worst: self.worst.elements(shape),
        }
    }

    fn used(&self, criterion: Criterion) -> f64 {
        match criterion {
            Criterion::BitExact if self.max_abs > 0.0 => f64::INFINITY,
            Criterion::BitExact => 0.0,
            Criterion::Classic(_) => self.highest_rank,
        }
    }

    fn mean(&self, sum: f64) -> f64 {
        if self.finite == 0 { 0.0 } else { sum / self.finite as f64 }
    }

    fn cosine(&self) -> Option<f64> {
        // Roots first: the product of the norms could leave the range of f64 where the norms do not.
        let norms = self.norms[0].sqrt() * self.norms[1].sqrt();
        let large_enough = self.norms.iter().all(|&norm| norm >= SMALLEST_NORM);
        (large_enough && norms.is_finite() && self.products.is_finite())
            .then(|| (self.products / norms).clamp(-1.0, 1.0))
    }
}

impl NonFinite {
    fn join(self, other: Self) -> Self {
        Self {
            actual_nan: self.actual_nan + other.actual_nan,
            expected_nan: self.expected_nan + other.expected_nan,
            actual_infinite: self.actual_infinite + other.actual_infinite,
            expected_infinite: self.expected_infinite + other.expected_infinite,
            same_infinity: self.same_infinity + other.same_infinity,
        }
    }
}

/// The larger of two numbers, neither of which is NaN.
pub(crate) fn larger(a: f64, b: f64) -> f64 {
    if b > a { b } else { a }
}
