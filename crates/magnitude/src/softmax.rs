//! Softmax over rows.

use crate::FLUSHED;
use crate::rows::{Confidence, dot, if_finite, largest, rows, size, sum_of};

/// Below the largest score: exp of that is 0 many times over.
const FARTHEST: f32 = 1e30;

/// p = exp(z − max z)/Σexp(z − max z), both given, and the errors that z carries; z = −∞ is masked, and exact.
pub fn softmax(
    confidence: Confidence,
    width: usize,
    z: &[f64],
    probs: &[f64],
    carried: Option<&[f32]>,
) -> Option<Vec<f32>> {
    rows(width, z.len(), &[Some(probs.len()), carried.map(<[f32]>::len)]);
    pulp::Arch::new().dispatch(Softmax { confidence, width, z, probs, carried })
}

struct Softmax<'a> {
    confidence: Confidence,
    width: usize,
    z: &'a [f64],
    probs: &'a [f64],
    carried: Option<&'a [f32]>,
}

impl pulp::WithSimd for Softmax<'_> {
    type Output = Option<Vec<f32>>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Self::Output {
        let Self { confidence, width, z, probs, carried } = self;
        let mut bounds = vec![0.0; z.len()];
        let mut p = vec![0.0; width];
        let of_rows =
            bounds.chunks_exact_mut(width).zip(z.chunks_exact(width).zip(probs.chunks_exact(width)));
        for (row, (relative, (z, probs))) in of_rows.enumerate() {
            let carried = carried.map(|carried| &carried[row * width..][..width]);
            softmax_row(confidence, relative, z, probs, carried, &mut p);
        }
        if_finite(bounds)
    }
}

#[inline(always)]
fn softmax_row(
    confidence: Confidence,
    relative: &mut [f32],
    z: &[f64],
    probs: &[f64],
    carried: Option<&[f32]>,
    p: &mut [f32],
) {
    let largest = largest(z);
    for (relative, &z) in relative.iter_mut().zip(z) {
        #[expect(clippy::cast_possible_truncation, reason = "bounds are f32")]
        let below = (largest - z) as f32;
        // Not `min`, which would make a number of NaN.
        *relative = 4.0 * if below > FARTHEST { FARTHEST } else { below };
    }
    for (relative, carried) in relative.iter_mut().zip(carried.unwrap_or_default()) {
        *relative += carried;
    }
    for (p, &prob) in p.iter_mut().zip(probs) {
        *p = size(prob);
    }
    let shared = 4.0 + 4.0 * sum_of(p, |p| p) + dot(relative, p) + confidence.total(p, None) + 2.0;
    for ((relative, &p), &z) in relative.iter_mut().zip(&*p).zip(z) {
        let bound = (*relative + shared) * p + 2.0 * FLUSHED;
        *relative = if z == f64::NEG_INFINITY { 0.0 } else { bound };
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact results")]
mod tests {
    use super::*;

    fn found(z: &[f64], probs: &[f64], carried: Option<&[f32]>) -> Option<Vec<f32>> {
        softmax(Confidence::new(5.0).unwrap(), z.len(), z, probs, carried)
    }

    fn softmax_of(z: &[f64]) -> Vec<f64> {
        let exps: Vec<f64> = z.iter().map(|z| z.exp()).collect();
        exps.iter().map(|exp| exp / exps.iter().sum::<f64>()).collect()
    }

    #[test]
    fn bounds_are_those_of_the_derivation() {
        let z = [0.0, -1.0, 2.0, -3.5];
        let probs = softmax_of(&z);
        let carried = [1.0_f32, 2.0, 3.0, 4.0];
        let a = |index: usize| 4.0 * (2.0 - z[index]) + 4.0 + f64::from(carried[index]);
        // Four terms: 2(n + 1) is less than 5√(n + 1).
        let shared = (0..4).map(|index| probs[index] * a(index)).sum::<f64>() + 10.0 + 2.0;
        for (index, bound) in found(&z, &probs, Some(&carried)).unwrap_or_default().iter().enumerate() {
            let expected = probs[index] * (a(index) + shared);
            assert!((f64::from(*bound) / expected - 1.0).abs() < 1e-5, "{index}: {bound}, {expected}");
        }
    }

    #[test]
    fn what_is_masked_is_exact() {
        let bounds = found(&[0.0, f64::NEG_INFINITY], &[1.0, 0.0], None).unwrap_or_default();
        assert!(bounds[0] > 10.0, "{bounds:?}");
        assert_eq!(bounds[1], 0.0);
    }

    #[test]
    fn a_probability_that_f32_flushes_has_the_bound_of_a_flush() {
        let bounds = found(&[0.0, -1e200], &[1.0, 0.0], None).unwrap_or_default();
        assert_eq!(bounds.get(1), Some(&(2.0 * FLUSHED)));
    }

    #[test]
    fn what_is_not_a_number_is_left_to_f64() {
        assert_eq!(found(&[0.0, f64::NAN], &[0.5, 0.5], None), None);
        assert_eq!(found(&[0.0, f64::INFINITY], &[0.0, 1.0], None), None);
    }
}
