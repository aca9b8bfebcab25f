//! What `cargo xtask fuzz` and the seeded test of the comparer share.

use crate::slow::{self, assert_agree};
use crate::{
    BudgetStatistics, Criterion, DType, MatchedPair, OraclePair, OracleStatistics, RoundingBudget, Shape,
    Slice, Statistics, Tensor, Tolerance, compare, compare_with_oracle,
};

/// Parts of tolerances, from nothing to what overflows.
const PARTS: [f64; 8] = [0.0, 5e-324, 1e-30, 1e-6, 1e-3, 2.0, 1e308, f64::MAX];
const UNIT: f64 = 1.0 / 16_777_216.0;

/// Reads two tensors and a criterion out of `bytes`, and holds the comparison against one made element by element: with
/// each other, and with the second one as the oracle. Whether the bytes were two tensors.
///
/// # Panics
/// If the two comparisons differ, which is the finding.
pub fn comparer(bytes: &[u8]) -> bool {
    let Some(([dtype, criterion, rows, slices], data)) = bytes.split_first_chunk() else { return false };
    let dtype = DType::ALL[usize::from(*dtype) % DType::ALL.len()];
    let Some([actual, expected]) = tensors(dtype, usize::from(*rows) % 4 + 1, data) else { return false };
    let criterion = criterion_of(*criterion);
    let Ok(pair) = MatchedPair::new(actual.view(), expected.view()) else { return false };
    assert_agree(&compare(pair, criterion), &slow::compare(actual.view(), expected.view(), criterion));
    if dtype.is_float() {
        with_oracle(&actual, &expected, *slices);
    }
    true
}

/// Both halves of `data` as `[rows, n]`, or none where a byte is no element of the dtype.
fn tensors(dtype: DType, rows: usize, data: &[u8]) -> Option<[Tensor; 2]> {
    let columns = data.len() / 2 / dtype.size() / rows;
    let half = rows * columns * dtype.size();
    let shape = Shape::new([rows, columns]).ok()?;
    let tensor = |start: usize| Tensor::new(dtype, shape.clone(), data[start..start + half].to_vec()).ok();
    Some([tensor(0)?, tensor(half)?])
}

fn criterion_of(byte: u8) -> Criterion {
    let part = |byte: u8| PARTS[usize::from(byte) % PARTS.len()];
    match Tolerance::new(part(byte), part(byte / 8)) {
        Ok(tolerance) if byte < 64 => Criterion::Classic(tolerance),
        _ => Criterion::BitExact,
    }
}

fn with_oracle(actual: &Tensor, expected: &Tensor, slices: u8) {
    let dimensions = actual.shape().dimensions();
    let oracle = expected.view().to_f64_lossy();
    let magnitude: Vec<f64> = oracle.iter().map(|value| (value.abs() * 8.0).min(f64::MAX)).collect();
    let budget = RoundingBudget {
        unit: UNIT,
        confidence: 5.0,
        allowance: 2.0,
        slices: vec![Slice::Tensor, Slice::Axis(usize::from(slices % 2)), Slice::Pair(0)],
        shared_rows: slices >= 128,
    };
    let found = found_with_oracle(actual, [&oracle, &magnitude].map(|values| (dimensions, values)), &budget);
    let Some((OracleStatistics { statistics, budget: Some(found) }, widened)) = found else {
        panic!("floats of one shape, and no budget")
    };
    assert_agree(&statistics, &Statistics { max_ulp: statistics.max_ulp, ..widened });
    hold(&found, &actual.view().to_f64_lossy(), &oracle, &magnitude);
}

/// What is found, and what a comparison of widened values finds element by element.
fn found_with_oracle(
    actual: &Tensor,
    [oracle, magnitude]: [(&[usize], &Vec<f64>); 2],
    budget: &RoundingBudget,
) -> Option<(OracleStatistics, Statistics)> {
    let oracle = Tensor::from_f64(oracle.0, oracle.1).ok()?;
    let magnitude = Tensor::from_f64(magnitude.0, magnitude.1).ok()?;
    let pair = OraclePair::new(actual.view(), actual.dtype(), oracle.view(), Some(magnitude.view())).ok()?;
    let tolerance = Tolerance::new(0.0, 1e-3).ok()?;
    let widened = Tensor::from_f64(actual.shape().dimensions(), &actual.view().to_f64_lossy()).ok()?;
    let slow = slow::compare(widened.view(), oracle.view(), Criterion::Classic(tolerance));
    Some((compare_with_oracle(pair, tolerance, Some(budget)).ok()?, slow))
}

/// An element is within the budget only where its error is a number that is at most unit · magnitude.
fn hold(found: &BudgetStatistics, actual: &[f64], oracle: &[f64], magnitude: &[f64]) {
    #[expect(clippy::float_cmp, reason = "the same infinity")]
    let within = |index: &usize| {
        let (actual, oracle) = (actual[*index], oracle[*index]);
        let error = (actual - oracle).abs();
        actual == oracle || (error.is_finite() && error <= UNIT * magnitude[*index])
    };
    let outside = (0..actual.len()).filter(|index| !within(index)).count() as u64;
    assert_eq!(found.violations, outside, "elements outside the budget");
    // The division may round to 1 just beyond.
    let used = found.used;
    let (beyond, reached) = (used.is_nan() || used > 1.0, used.is_nan() || used >= 1.0);
    assert!((!beyond || outside > 0) && (outside == 0 || reached), "{outside} outside, {used} used");
    hold_worst(found, actual, oracle, magnitude);
}

/// The worst element is the first that takes the largest share, NaN being larger than all.
fn hold_worst(found: &BudgetStatistics, actual: &[f64], oracle: &[f64], magnitude: &[f64]) {
    #[expect(clippy::float_cmp, reason = "the same infinity")]
    let shares = (0..actual.len()).map(|index| {
        let (error, allowed) = ((actual[index] - oracle[index]).abs(), UNIT * magnitude[index]);
        let error = if actual[index] == oracle[index] { 0.0 } else { error };
        if error == 0.0 && allowed >= 0.0 { 0.0 } else { error / allowed }
    });
    let later_is_worse = |a: f64, b: f64| !a.is_nan() && (b.is_nan() || b > a);
    let worst = shares.enumerate().reduce(|a, b| if later_is_worse(a.1, b.1) { b } else { a });
    let (position, used) = worst.unwrap_or((0, 0.0));
    assert!(
        used.to_bits() == found.used.to_bits() || (used.is_nan() && found.used.is_nan()),
        "{used} of {}",
        found.used
    );
    let named = found.worst.as_ref().map(|worst| worst.expected.to_bits());
    assert_eq!(named, oracle.get(position).map(|value| value.to_bits()), "another element is the worst");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn a_corpus_and_its_versions_are_compared_as_element_by_element() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/comparer");
        let mut compared = 0;
        mutated_corpus::feed(&corpus, 400, |bytes| {
            let was = super::comparer(bytes);
            compared += usize::from(was);
            was
        })
        .unwrap();
        assert!(compared > 1000, "{compared} were two tensors: the test damages too much");
    }
}
