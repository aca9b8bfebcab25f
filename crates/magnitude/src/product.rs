//! Matrix products: what goes into the product of magnitudes, and what is added to it.

use crate::FLUSHED;
use crate::rows::{Confidence, absolute, are_finite, nonzero, rows, size};

/// The left side of the product of magnitudes.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighed {
    /// γ(n)/2·|x| and the errors that x carries.
    pub factors: Vec<f32>,
    /// n of each row: the x that are not 0, and the bias.
    pub counts: Vec<f32>,
}

/// Weighs the rows of x, before `factors`·|y| is computed.
pub fn weigh(
    confidence: Confidence,
    width: usize,
    x: &[f64],
    carried: Option<&[f32]>,
    bias: bool,
) -> Option<Weighed> {
    rows(width, x.len(), &[carried.map(<[f32]>::len)]);
    pulp::Arch::new().dispatch(Weigh { confidence, width, x, carried, bias })
}

/// Makes of the product of magnitudes the bounds of z = s·(x·y + b): adds γ(n)/2·(|z| + |b|) and the flushes. Whether all
/// are finite.
pub fn complete(
    confidence: Confidence,
    bounds: &mut [f32],
    z: &[f64],
    counts: &[f32],
    bias: Option<&[f32]>,
    scale: Option<f32>,
) -> bool {
    let width = bounds.len().checked_div(counts.len()).unwrap_or(0);
    rows(width, bounds.len(), &[Some(z.len())]);
    assert!(bias.is_none_or(|bias| bias.len() == width), "a bias of every column");
    pulp::Arch::new().dispatch(Complete { confidence, bounds, z, counts, bias, scale })
}

struct Weigh<'a> {
    confidence: Confidence,
    width: usize,
    x: &'a [f64],
    carried: Option<&'a [f32]>,
    bias: bool,
}

impl pulp::WithSimd for Weigh<'_> {
    type Output = Option<Weighed>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Self::Output {
        let Self { confidence, width, x, carried, bias } = self;
        let mut factors = vec![0.0; x.len()];
        let mut counts = Vec::with_capacity(x.len() / width);
        for (row, x) in factors.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            for (factor, &x) in row.iter_mut().zip(x) {
                *factor = size(x);
            }
            let count = nonzero(row) + f32::from(u8::from(bias));
            let factor = confidence.of_terms(count) / 2.0;
            for term in row {
                *term *= factor;
            }
            counts.push(count);
        }
        for (factor, error) in factors.iter_mut().zip(carried.unwrap_or_default()) {
            *factor += error;
        }
        are_finite(&factors).then_some(Weighed { factors, counts })
    }
}

struct Complete<'a> {
    confidence: Confidence,
    bounds: &'a mut [f32],
    z: &'a [f64],
    counts: &'a [f32],
    bias: Option<&'a [f32]>,
    scale: Option<f32>,
}

impl pulp::WithSimd for Complete<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> bool {
        let Self { confidence, bounds, z, counts, bias, scale } = self;
        let width = bounds.len() / counts.len().max(1);
        for ((row, z), &count) in bounds.chunks_exact_mut(width).zip(z.chunks_exact(width)).zip(counts) {
            let (factor, rest) = (confidence.of_terms(count) / 2.0, (count + 1.0) * FLUSHED);
            for (bound, b) in row.iter_mut().zip(bias.unwrap_or_default()) {
                *bound += factor * b;
            }
            match scale {
                None => of_row(row, z, [1.0, factor, rest]),
                Some(scale) => of_row(row, z, [scale, factor + 2.0, scale * rest + 2.0 * FLUSHED]),
            }
        }
        are_finite(bounds)
    }
}

#[inline(always)]
fn of_row(bounds: &mut [f32], z: &[f64], [scale, slope, constant]: [f32; 3]) {
    for (bound, &z) in bounds.iter_mut().zip(z) {
        *bound = *bound * scale + (slope * absolute(z) + constant);
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact results")]
mod tests {
    use super::*;

    fn confidence() -> Confidence {
        Confidence::new(5.0).unwrap()
    }

    #[test]
    fn terms_of_zero_do_not_count_and_a_bias_does() {
        let x = [1.0, -2.0, 0.0, 0.0, 0.0, 0.0];
        let weighed = weigh(confidence(), 3, &x, None, false);
        let expected = Weighed { factors: vec![3.0, 6.0, 0.0, 0.0, 0.0, 0.0], counts: vec![2.0, 0.0] };
        assert_eq!(weighed, Some(expected));
        let carried = [0.0, 0.5, 0.0, 0.0, 0.0, 9.0];
        let weighed = weigh(confidence(), 3, &x, Some(&carried), true);
        let expected = Weighed { factors: vec![4.0, 8.5, 0.0, 0.0, 0.0, 9.0], counts: vec![3.0, 1.0] };
        assert_eq!(weighed, Some(expected));
    }

    #[test]
    fn result_bias_scale_and_flushes_are_added() {
        let of = |bias, scale| {
            let mut bounds = [10.0, 20.0];
            let finite = complete(confidence(), &mut bounds, &[-4.0, 0.0], &[3.0], bias, scale);
            finite.then_some(bounds)
        };
        assert_eq!(of(None, None), Some([10.0 + 4.0 * 4.0, 20.0]));
        assert_eq!(of(Some(&[1.0, 2.0]), None), Some([10.0 + 4.0 * (4.0 + 1.0), 20.0 + 8.0]));
        assert_eq!(of(None, Some(0.5)), Some([5.0 + 6.0 * 4.0, 10.0]));
        assert_eq!(of(Some(&[1.0, 2.0]), Some(0.5)), Some([7.0 + 6.0 * 4.0, 14.0]));
        let mut bounds = [0.0];
        assert!(complete(confidence(), &mut bounds, &[0.0], &[3.0], None, None));
        assert_eq!(bounds, [4.0 * FLUSHED]);
        assert!(complete(confidence(), &mut bounds, &[0.0], &[3.0], None, Some(0.5)));
        assert_eq!(bounds, [(2.0 + 2.0 + 2.0) * FLUSHED]);
    }

    #[test]
    fn what_f32_does_not_hold_is_left_to_f64() {
        assert_eq!(weigh(confidence(), 2, &[1.0, 1e300], None, false), None);
        assert_eq!(weigh(confidence(), 1, &[f64::NAN], None, false), None);
        for wrong in [f64::NAN, f64::INFINITY, 1e300] {
            assert!(!complete(confidence(), &mut [0.0], &[wrong], &[1.0], None, None), "{wrong}");
        }
        assert!(!complete(confidence(), &mut [f32::NAN], &[0.0], &[1.0], None, None));
    }

    #[test]
    #[should_panic(expected = "a bias of every column")]
    fn a_bias_of_another_width_is_refused() {
        complete(confidence(), &mut [0.0; 2], &[0.0; 2], &[1.0], Some(&[1.0]), None);
    }
}
