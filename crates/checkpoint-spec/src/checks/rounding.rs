//! How far rounding alone may take a correct result.

use capture::Precision;

/// The relative error of one rounding of a result, `2⁻²⁴` for f32, plus that of the check itself, which computes in f64.
pub(super) fn unit(precision: Precision) -> f64 {
    precision.unit() + Precision::F64.unit()
}

/// Like [`unit`], for the terms of a sum: one whose result is stored in half precision is kept in f32.
pub(super) fn sum_unit(precision: Precision) -> f64 {
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

/// The error of a sum of `terms` in units, relative to the sum of the absolute terms, in any order of summation:
/// the worst case `n`, or `c·√n` where that is less (Higham, Mary 2019, "A new approach to probabilistic rounding
/// error analysis"). Roundings lie within one unit, so that `c = √(2·ln(2N/p)/3)` for `N` sums at once and `p`, the
/// chance of a false alarm.
#[expect(clippy::cast_precision_loss, reason = "counts of elements in memory are far below 2⁵³")]
pub(super) fn accumulation(terms: usize, sums: usize, false_alarm: f64) -> f64 {
    let (terms, sums) = (terms as f64, sums.max(1) as f64);
    let c = (2.0 * (2.0 * sums / false_alarm).ln() / 3.0).sqrt();
    terms.min(c * terms.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_terms_have_the_worst_case_and_many_the_root() {
        assert!((accumulation(2, 1000, 1e-9) - 2.0).abs() <= 1e-12);
        let c = accumulation(1_000_000, 1_000_000, 1e-9) / 1000.0;
        assert!((4.8..5.0).contains(&c), "{c}");
    }
}
