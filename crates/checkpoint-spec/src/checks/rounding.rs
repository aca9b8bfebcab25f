//! How far rounding alone may take a correct result.

use capture::Precision;
use oracle::Rounding;

use super::CheckContext;

/// The relative error of one rounding of a result, `2⁻²⁴` for f32, plus that of the check itself, which computes in f64.
pub(super) fn unit(precision: Precision) -> f64 {
    precision.unit() + Precision::F64.unit()
}

/// Like [`unit`], for the terms of a sum: one whose result is stored in half precision is kept in f32.
fn sum_unit(precision: Precision) -> f64 {
    unit(if precision.is_half() { Precision::F32 } else { precision })
}

/// What flushing and gradual underflow may have taken from a result that was stored as `value`.
pub(super) fn lost(value: f64, precision: Precision) -> f64 {
    let smallest =
        if precision.is_half() { precision.smallest_normal() } else { f64::from(f32::MIN_POSITIVE) };
    match value.abs() {
        size if size <= 0.0 => smallest,
        size if size < smallest => smallest * precision.unit(),
        _ => 0.0,
    }
}

/// How far the sum of a row of probabilities may be off from their whole, in any order of summation: what the oracle
/// allows the softmax itself.
pub(super) fn sum_off(row: &[f64], context: &CheckContext<'_>) -> f64 {
    of_sum(row, context.confidence, context.precision)
}

fn of_sum(row: &[f64], confidence: f64, precision: Precision) -> f64 {
    let sizes: Vec<f64> = row.iter().map(|x| x.abs()).collect();
    let sum: f64 = row.iter().sum();
    Rounding::of_f32(confidence).total(&sizes, Some(sum.abs())) * sum_unit(precision)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a softmax that adds up one exponential after the other in f32.
    #[expect(clippy::cast_possible_truncation, reason = "the rounding is what is looked at")]
    fn added_in_order(exponents: impl Iterator<Item = f64>) -> Vec<f64> {
        let terms: Vec<f32> = exponents.map(|x| x.exp() as f32).collect();
        let whole = terms.iter().fold(0.0f32, |sum, x| sum + x);
        terms.iter().map(|x| f64::from(x / whole)).collect()
    }

    #[test]
    fn terms_that_a_long_sum_no_longer_sees_do_not_average_out() {
        let row = added_in_order((0..50_257).map(|token| -10.0 * f64::from(token) / 50_257.0));
        let off = (row.iter().sum::<f64>() - 1.0).abs();
        let averaged = 4.9 * 50_258f64.sqrt() * Precision::F32.unit();
        let bound = of_sum(&row, 4.9, Precision::F32);
        assert!(averaged < off && off <= bound, "{off:e}, allowed {bound:e}, {averaged:e} if it did");
    }

    #[test]
    fn a_short_sum_has_the_worst_case() {
        assert!((of_sum(&[0.75, 0.25], 4.9, Precision::F32) / Precision::F32.unit() - 6.0).abs() <= 1e-6);
    }
}
