//! Rows: their sums, their sizes, and what summing them may cost.

use std::ops::{Add, Mul};

use crate::UNIT;

/// Partial sums that run side by side.
pub const LANES: usize = 16;
/// Of terms that may be equal: the square of their relative deviation, well above what f32 makes of it.
const SPREAD: f32 = 1e-4;

/// c of the rounding budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence(f32);

impl Confidence {
    /// A finite number above 0.
    pub fn new(confidence: f64) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, reason = "bounds are f32")]
        let narrow = confidence as f32;
        (narrow.is_finite() && narrow > 0.0).then_some(Self(narrow))
    }

    /// γ(n): the units that an accumulation of n terms may be off, relative to its reach.
    #[inline(always)]
    pub(crate) fn of_terms(self, count: f32) -> f32 {
        (self.0 * (count + 1.0).sqrt()).min(2.0 * (count + 1.0))
    }

    /// γ(n)·R of a sum of terms of these sizes, and what stagnation and equal terms add to it; `sum` is the size of the
    /// result where signs make it another than that of the sizes.
    #[inline(always)]
    pub(crate) fn total(self, terms: &[f32], sum: Option<f32>) -> f32 {
        let (whole, squares, count) = (sum_of(terms, |x| x), sum_of(terms, |x| x * x), nonzero(terms));
        let reach = sum.map_or(whole, |sum| (whole + sum) / 2.0);
        let resolution = 2.0 * UNIT * reach;
        let half = resolution / 2.0;
        let lost = sum_of(terms, |x| if x <= resolution { x.min(half) } else { 0.0 });
        let certain = 2.0 * (count + 1.0) * reach;
        let bound = (self.of_terms(count) * reach + lost / UNIT).min(certain);
        let may_be_equal = count * squares <= (1.0 + SPREAD) * whole * whole + SPREAD.powi(8);
        if may_be_equal && spread(terms) <= resolution { certain } else { bound }
    }
}

/// What a sum is made of.
pub(crate) trait Number: Copy + Default + Add<Output = Self> + Mul<Output = Self> {}

impl Number for f32 {}
impl Number for f64 {}

/// Σ term(xᵢ).
#[inline(always)]
pub(crate) fn sum_of<T: Copy, A: Number>(values: &[T], term: impl Fn(T) -> A) -> A {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [A::default(); LANES];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = *lane + term(value);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = *lane + term(value);
    }
    join(lanes)
}

/// Σ xᵢyᵢ.
#[inline(always)]
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (x, y) in x.iter().zip(y) {
        for (lane, (x, y)) in lanes.iter_mut().zip(x.iter().zip(y)) {
            *lane += x * y;
        }
    }
    for (lane, (x, y)) in lanes.iter_mut().zip(x_rest.iter().zip(y_rest)) {
        *lane += x * y;
    }
    join(lanes)
}

#[inline(always)]
fn join<A: Number>(mut lanes: [A; LANES]) -> A {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = lanes[lane] + lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The largest; −∞ of nothing and of NaN.
#[inline(always)]
pub(crate) fn largest(values: &[f64]) -> f64 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let larger = |lane: f64, value: f64| if value > lane { value } else { lane };
    let mut lanes = [f64::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, value);
        }
    }
    rest.iter().chain(&lanes).copied().fold(f64::NEG_INFINITY, larger)
}

/// |x| in f32.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "bounds are f32")]
pub(crate) fn absolute(x: f64) -> f32 {
    x.abs() as f32
}

/// |x| in f32, but never 0 where x is not: it counts as a term.
#[inline(always)]
pub(crate) fn size(x: f64) -> f32 {
    let size = absolute(x);
    if size == 0.0 && x != 0.0 { f32::from_bits(1) } else { size }
}

/// How many are not 0.
#[inline(always)]
#[expect(clippy::cast_precision_loss, reason = "a count of up to 2²⁴ is exact, and a bound above that")]
pub(crate) fn nonzero(sizes: &[f32]) -> f32 {
    sizes.iter().map(|&size| u32::from(size != 0.0)).sum::<u32>() as f32
}

/// The difference between the largest and the smallest that is not 0.
#[inline(always)]
fn spread(terms: &[f32]) -> f32 {
    let largest = terms.iter().fold(0.0, |largest: f32, &term| largest.max(term));
    let not_0 = terms.iter().filter(|&&term| term != 0.0);
    largest - not_0.fold(f32::INFINITY, |smallest, &term| smallest.min(term))
}

/// The bounds, if all of them are finite.
#[inline(always)]
pub(crate) fn if_finite(bounds: Vec<f32>) -> Option<Vec<f32>> {
    are_finite(&bounds).then_some(bounds)
}

#[inline(always)]
pub(crate) fn are_finite(bounds: &[f32]) -> bool {
    bounds.iter().fold(true, |all, bound| all & (bound.abs() < f32::INFINITY))
}

/// How many rows of `width` there are; all operands of the shape have as many elements.
pub(crate) fn rows(width: usize, length: usize, others: &[Option<usize>]) -> usize {
    assert!(width > 0 && length.is_multiple_of(width), "{length} elements are not rows of {width}");
    for other in others.iter().flatten() {
        assert_eq!(*other, length, "elements of an operand of the same shape");
    }
    length / width
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact results")]
mod tests {
    use super::*;

    const C: Confidence = Confidence(5.0);

    #[test]
    fn a_confidence_is_a_finite_number_above_0() {
        assert_eq!(Confidence::new(5.0), Some(C));
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(Confidence::new(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sums_have_every_term_once() {
        for length in [0, 1, LANES - 1, LANES, LANES + 1, 3 * LANES + 5] {
            let values: Vec<f32> = (1..=length).map(|value| value as f32).collect();
            let expected = (length * (length + 1) / 2) as f32;
            assert_eq!(sum_of(&values, |x| x), expected, "{length}");
            assert_eq!(dot(&values, &vec![2.0; length]), 2.0 * expected, "{length}");
        }
    }

    #[test]
    fn what_f32_flushes_still_counts() {
        assert_eq!(size(1e-300), f32::from_bits(1));
        assert_eq!((size(-0.0), size(-2.5)), (0.0, 2.5));
        assert!(size(f64::NAN).is_nan());
        assert_eq!(nonzero(&[0.0, size(1e-300), 1.0]), 2.0);
    }

    #[test]
    fn a_few_terms_cost_at_most_what_is_certain_and_many_the_square_root() {
        assert_eq!(C.of_terms(2.0), 6.0);
        assert_eq!(C.of_terms(99.0), 50.0);
    }

    #[test]
    fn a_sum_costs_its_reach_and_zeros_nothing() {
        let terms: Vec<f32> = (0..99).map(|index| 1.0 + index as f32 / 10.0).collect();
        let whole: f32 = terms.iter().sum();
        let close =
            |found: f32, expected: f32| assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
        close(C.total(&terms, None), 50.0 * whole);
        close(C.total(&terms, Some(0.0)), 50.0 * whole / 2.0);
        let with_zeros: Vec<f32> = terms.iter().flat_map(|&term| [term, 0.0]).collect();
        close(C.total(&with_zeros, None), 50.0 * whole);
        assert_eq!(C.total(&[0.0; 7], None), 0.0);
    }

    #[test]
    fn equal_terms_cost_what_is_certain() {
        assert_eq!(C.total(&[2.0; 99], None), 2.0 * 100.0 * 198.0);
        let mut terms = [2.0; 99];
        terms[7] = 0.0;
        assert_eq!(C.total(&terms, None), 2.0 * 99.0 * 196.0);
    }

    #[test]
    fn terms_below_the_resolution_are_lost_whole_and_those_at_it_by_half() {
        let mut terms = [1e-9_f32; 1000];
        terms[0] = 1.0;
        let reach = terms.iter().sum::<f32>();
        let expected = C.of_terms(1000.0) * reach + 999.0 * 1e-9 / UNIT;
        let found = C.total(&terms, None);
        assert!((found / expected - 1.0).abs() < 1e-5, "{found} {expected}");
        let at_it = 1.5 * UNIT;
        terms = [at_it; 1000];
        terms[0] = 1.0;
        let expected = C.of_terms(1000.0) * 1.0001 + 999.0;
        let found = C.total(&terms, None);
        assert!((found / expected - 1.0).abs() < 1e-3, "{found} {expected}");
    }

    #[test]
    #[should_panic(expected = "not rows of 4")]
    fn half_a_row_is_refused() {
        rows(4, 6, &[]);
    }

    #[test]
    #[should_panic(expected = "elements of an operand")]
    fn an_operand_of_another_length_is_refused() {
        rows(4, 8, &[None, Some(4)]);
    }
}
