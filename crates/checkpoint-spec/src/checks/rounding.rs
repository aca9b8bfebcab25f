//! How far rounding alone may take a correct result.

use tensor_compare::DType;

/// The chance that a correct implementation is accused, per tensor.
const FALSE_ALARM: f64 = 1e-9;

/// The relative error of one rounding, `2⁻²⁴` for f32, plus that of the check itself, which computes in f64.
pub(super) fn unit(dtype: DType) -> f64 {
    let own = f64::EPSILON / 2.0;
    match dtype {
        DType::F64 => 2.0 * own,
        _ => f64::from(f32::EPSILON) / 2.0 + own,
    }
}

/// The error of a sum of `terms` in units, relative to the sum of the absolute terms, in any order of summation:
/// the worst case `n`, or `c·√n` where that is less (Higham, Mary 2019, "A new approach to probabilistic rounding
/// error analysis"). Roundings lie within one unit, so that `c = √(2·ln(2N/p)/3)` for `N` sums at once.
#[expect(clippy::cast_precision_loss, reason = "counts of elements in memory are far below 2⁵³")]
pub(super) fn accumulation(terms: usize, sums: usize) -> f64 {
    let (terms, sums) = (terms as f64, sums.max(1) as f64);
    let c = (2.0 * (2.0 * sums / FALSE_ALARM).ln() / 3.0).sqrt();
    terms.min(c * terms.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_terms_have_the_worst_case_and_many_the_root() {
        assert!((accumulation(2, 1000) - 2.0).abs() <= 1e-12);
        let c = accumulation(1_000_000, 1_000_000) / 1000.0;
        assert!((4.8..5.0).contains(&c), "{c}");
    }
}
