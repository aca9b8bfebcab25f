//! Wrong functions and roundings that faults and benches share.

use ndarray::{ArrayD, ArrayView1, Axis};

/// `x/2 · (1 + erf(x/√2))`.
pub(crate) fn gelu_erf(x: f32) -> f32 {
    let x = f64::from(x);
    (0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))) as f32
}

/// The same with the approximation 7.1.26 of Abramowitz & Stegun, which is off by at most 1.5e-7.
pub(crate) fn gelu_erf_approximated(x: f32) -> f32 {
    let z = f64::from(x) / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z.abs());
    let coefficients = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let polynomial = coefficients.iter().fold(0.0, |sum, c| (sum + c) * t);
    let erf = (1.0 - polynomial * (-z * z).exp()).copysign(z);
    (0.5 * f64::from(x) * (1.0 + erf)) as f32
}

/// By its power series, off by less than 1e-9.
pub(crate) fn erf(x: f64) -> f64 {
    if x.abs() > 4.5 {
        return x.signum();
    }
    let (mut power, mut sum) = (x, x);
    for n in 1..100 {
        power *= -x * x / f64::from(n);
        sum += power / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

/// `(x − mean) / √(variance + epsilon)` of a row, with the variance divided by `n − correction`.
pub(crate) fn normalise(row: ArrayView1<'_, f32>, epsilon: f64, correction: f64) -> Vec<f32> {
    let count = row.len() as f64;
    let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let squares = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>();
    let inverse = 1.0 / (squares / (count - correction) + epsilon).sqrt();
    row.iter().map(|&x| ((f64::from(x) - mean) * inverse) as f32).collect()
}

/// Softmax along an axis of scores that have been masked.
pub(crate) fn softmax(mut scores: ArrayD<f32>, axis: Axis) -> ArrayD<f32> {
    for mut lane in scores.lanes_mut(axis) {
        gpt2::functions::softmax(lane.view_mut());
    }
    scores
}

/// × 1.000002: 33 roundings of f32, far below any classic tolerance.
pub(crate) fn grown(weight: f32) -> f32 {
    (f64::from(weight) * 1.000002) as f32
}

/// With so many of the 23 bits of a mantissa, the rest cut off.
pub(crate) fn cut(x: f32, bits: u32) -> f32 {
    f32::from_bits(x.to_bits() & (u32::MAX << (23 - bits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_has_its_tabulated_values() {
        // Abramowitz & Stegun, table 7.1.
        for (x, expected) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_8),
            (1.0, 0.842_700_792_9),
            (2.0, 0.995_322_265_0),
            (-1.0, -0.842_700_792_9),
            (4.4, 1.0 - 4.9e-10),
            (9.0, 1.0),
        ] {
            assert!((erf(x) - expected).abs() < 1e-9, "{x}: {}", erf(x));
        }
    }

    #[test]
    fn the_forms_of_gelu_differ_as_much_as_they_should() {
        let difference = |x: f32| (gelu_erf(x) - gpt2::functions::gelu_new(x)).abs();
        assert!(difference(2.7) > 2e-4 && difference(2.7) < 1e-3);
        assert!(difference(0.0) < 1e-9 && difference(30.0) < 1e-9);
        let approximated = |x: f32| (gelu_erf(x) - gelu_erf_approximated(x)).abs();
        assert!([-3.0, -0.7, 0.1, 1.0, 2.7].into_iter().all(|x| approximated(x) < 1e-6));
    }

    #[test]
    fn cutting_keeps_the_leading_bits() {
        let bits = |x: f32| cut(x, 10).to_bits();
        assert_eq!(bits(1.0 + f32::EPSILON), 1.0_f32.to_bits());
        assert_eq!(bits(1.5), 1.5_f32.to_bits());
        assert_eq!(bits(-1.000_976_6), (-1.000_976_6_f32).to_bits());
    }

    #[test]
    fn the_correction_of_the_variance_is_seen() {
        let row = ndarray::arr1(&[1.0, 2.0, 3.0, 4.0]);
        let (biased, unbiased) = (normalise(row.view(), 0.0, 0.0), normalise(row.view(), 0.0, 1.0));
        assert!((biased[3] - 1.341_640_8).abs() < 1e-6 && (unbiased[3] - 1.161_895).abs() < 1e-6);
    }
}
