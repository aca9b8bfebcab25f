//! Closeness as other harnesses document it.

/// What `numpy.allclose` and `torch.testing.assert_close` document: `|a − e| <= atol + rtol·|e|` everywhere; equal
/// infinities are close, NaN is close to nothing.
pub(crate) fn all_close(actual: &[f64], expected: &[f64], atol: f64, rtol: f64) -> bool {
    #[expect(clippy::float_cmp, reason = "the same infinity is close to itself")]
    let close = |(&a, &e): (&f64, &f64)| a == e || (e.is_finite() && (a - e).abs() <= atol + rtol * e.abs());
    actual.len() == expected.len() && actual.iter().zip(expected).all(close)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_rules_are_their_documented_formula() {
        let close = |a, e| all_close(&[a], &[e], 1e-5, 1e-4);
        assert!(close(1.0 + 1e-5 + 0.99e-4, 1.0) && !close(1.0 + 1e-5 + 1.01e-4, 1.0));
        assert!(close(0.99e-5, 0.0) && !close(1.01e-5, 0.0));
        // Relative to the expected value, not to the larger of the two.
        assert!(!close(1.0, 0.0) && !close(0.0, 1.0));
    }

    #[test]
    fn nan_is_close_to_nothing_and_an_infinity_to_itself_only() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        for (a, e, expected) in [
            (nan, nan, false),
            (nan, 0.0, false),
            (0.0, nan, false),
            (inf, inf, true),
            (-inf, inf, false),
            (1.0, inf, false),
            (inf, 1.0, false),
        ] {
            assert_eq!(all_close(&[a], &[e], 1e-4, 1e-4), expected, "{a} {e}");
        }
        assert!(!all_close(&[1.0], &[1.0, 2.0], 1e-4, 1e-4));
    }
}
