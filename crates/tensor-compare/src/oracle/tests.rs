use super::*;
use crate::budget::share;
use crate::lanes::BLOCK;
use crate::{LayoutMismatch, Slice, Tensor};

const UNIT: f64 = 1.0 / 16_777_216.0;

fn budget() -> RoundingBudget {
    RoundingBudget {
        unit: UNIT,
        confidence: 5.0,
        allowance: 2.0,
        slices: vec![Slice::Tensor, Slice::Axis(1)],
        shared_rows: false,
    }
}

fn against(actual: &[f32], oracle: &[f64], magnitude: &[f64]) -> BudgetStatistics {
    let shape = [actual.len() / 2, 2];
    let actual = Tensor::from_f32(&shape, actual).unwrap();
    let oracle = Tensor::from_f64(&shape, oracle).unwrap();
    let magnitude = Tensor::from_f64(&shape, magnitude).unwrap();
    let pair = OraclePair::new(actual.view(), DType::F32, oracle.view(), Some(magnitude.view())).unwrap();
    let tolerance = Tolerance::new(1e-3, 0.0).unwrap();
    compare_with_oracle(pair, tolerance, Some(&budget())).unwrap().budget.unwrap()
}

#[test]
fn a_share_of_the_budget_is_error_over_unit_times_magnitude() {
    let off = 1.0 + 2.0 * UNIT;
    let found = against(&[1.0, off as f32], &[1.0, 1.0], &[4.0, 4.0]);
    assert_eq!((found.used, found.violations), (0.5, 0));
    assert_eq!(found.worst.unwrap().index, [0, 1]);
}

#[test]
fn of_elements_that_use_the_same_share_the_first_is_named() {
    let off = (1.0 + 2.0 * UNIT) as f32;
    let found = against(&[1.0, off, off, 1.0], &[1.0; 4], &[4.0; 4]);
    assert_eq!(found.worst.unwrap().index, [0, 1]);
}

/// Elements are looked at block by block, and a later block is not looked at again if it takes no more.
#[test]
fn the_worst_is_that_of_all_blocks_the_first_of_equals_and_nan_before_all() {
    let places = |errors: &[(usize, f32)]| {
        let mut actual = vec![0f32; 4 * BLOCK];
        errors.iter().for_each(|&(index, error)| actual[index] = error);
        let found = against(&actual, &vec![0.0; actual.len()], &vec![1.0 / UNIT; actual.len()]);
        let index = found.worst.map(|worst| 2 * worst.index[0] + worst.index[1]);
        (found.used, index.unwrap(), found.violations)
    };
    let (second, third) = (BLOCK + 7, 2 * BLOCK + 9);
    assert_eq!(places(&[(3, 0.25), (second, 0.125), (third, 0.5)]), (0.5, third, 0));
    assert_eq!(places(&[(3, 0.25), (second, 0.75), (third, 0.5)]), (0.75, second, 0));
    assert_eq!(places(&[(3, 0.25), (second, 0.25), (third, 0.25)]), (0.25, 3, 0));
    assert_eq!(places(&[(3, 0.25), (second, 2.0), (third, 3.0)]), (3.0, third, 2));
    let (used, index, violations) =
        places(&[(3, 9.0), (second, f32::NAN), (third, f32::NAN), (third + BLOCK, 10.0)]);
    assert!(used.is_nan());
    assert_eq!((index, violations), (second, 4));
}

#[test]
fn nothing_allowed_is_passed_by_no_error_alone() {
    let found = against(&[1.0, 2.0], &[1.0, 2.0], &[0.0, 0.0]);
    assert_eq!((found.used, found.violations), (0.0, 0));
    let found = against(&[1.0, 2.0], &[1.0, 2.0 + 1e-300_f64.max(1e-15)], &[0.0, 0.0]);
    assert_eq!((found.used, found.violations), (f64::INFINITY, 1));
}

#[test]
fn nan_is_outside_every_budget_and_the_worst() {
    for nan_in in 0..3 {
        let mut values = [[1.0, 1.0], [1.0, 1.0], [1e30, 1e30]];
        values[nan_in][1] = f64::NAN;
        let [actual, oracle, magnitude] = values;
        let found = against(&actual.map(|x| x as f32), &oracle, &magnitude);
        assert_eq!(found.violations, 1, "NaN in {nan_in}");
        assert!(found.used.is_nan(), "NaN in {nan_in}");
    }
}

#[test]
fn magnitudes_count_alike_in_f32_and_f64_and_others_are_refused() {
    let shape = [2, 2];
    let actual = Tensor::from_f32(&shape, &[1.0, 2.0, 3.0, 5.0]).unwrap();
    let oracle = Tensor::from_f64(&shape, &[1.0, 2.0 + UNIT, 3.0, 5.0 - 2.0 * UNIT]).unwrap();
    let (narrow, wide) = ([1.1_f32, 3.3, 0.7, 1e-3], [1.1_f32, 3.3, 0.7, 1e-3].map(f64::from));
    let of = |magnitude: &Tensor| {
        let pair = OraclePair::new(actual.view(), DType::F32, oracle.view(), Some(magnitude.view()));
        let tolerance = Tolerance::new(1e-3, 0.0).unwrap();
        pair.map(|pair| compare_with_oracle(pair, tolerance, Some(&budget())).unwrap().budget.unwrap())
    };
    let of_narrow = of(&Tensor::from_f32(&shape, &narrow).unwrap()).unwrap();
    assert_eq!(of_narrow, of(&Tensor::from_f64(&shape, &wide).unwrap()).unwrap());
    assert_eq!((of_narrow.used, of_narrow.violations), (2.0 / f64::from(1e-3_f32), 1));
    let refused = of(&Tensor::from_i64(&shape, &[1; 4]).unwrap());
    assert_eq!(refused, Err(LayoutMismatch::DType { expected: DType::F32, found: DType::I64 }));
}

#[test]
fn an_infinite_magnitude_allows_nothing() {
    assert_eq!(against(&[1.0, 5.0], &[1.0, 1.0], &[1.0, f64::INFINITY]).violations, 1);
}

#[test]
fn the_same_infinity_is_no_error_and_opposite_ones_are() {
    let inf = f64::INFINITY;
    assert_eq!(against(&[f32::NEG_INFINITY, 1.0], &[-inf, 1.0], &[1.0, 1.0]).violations, 0);
    assert_eq!(against(&[f32::INFINITY, 1.0], &[-inf, 1.0], &[1.0, 1.0]).violations, 1);
}

#[test]
fn a_budget_needs_magnitudes_and_floats() {
    let floats = Tensor::from_f32(&[1], &[1.0]).unwrap();
    let oracle = Tensor::from_f64(&[1], &[1.0]).unwrap();
    let tolerance = Tolerance::new(0.0, 0.0).unwrap();
    let pair = OraclePair::new(floats.view(), DType::F32, oracle.view(), None).unwrap();
    assert_eq!(compare_with_oracle(pair, tolerance, Some(&budget())), Err(OracleError::NoMagnitude));
    assert!(compare_with_oracle(pair, tolerance, None).unwrap().budget.is_none());
    let integers = Tensor::from_i64(&[1], &[1]).unwrap();
    let pair = OraclePair::new(integers.view(), DType::I64, oracle.view(), None).unwrap();
    assert_eq!(compare_with_oracle(pair, tolerance, None), Err(OracleError::NotAFloat { dtype: DType::I64 }));
}

#[test]
fn ulps_are_those_of_the_format_under_test() {
    let actual = Tensor::from_f32(&[1], &[1.0f32.next_up().next_up()]).unwrap();
    let oracle = Tensor::from_f64(&[1], &[1.0 + 1e-12]).unwrap();
    let pair = OraclePair::new(actual.view(), DType::F32, oracle.view(), None).unwrap();
    let found = compare_with_oracle(pair, Tolerance::new(1.0, 0.0).unwrap(), None).unwrap();
    assert_eq!(found.statistics.max_ulp, Some(2));
}

/// The bound of a sum of `terms` products that add up to `size` in absolute value: `c·√(n + 1)` units, halved because
/// what cancels was never larger than half of it.
fn bound_of_a_sum(terms: f64, size: f64) -> f64 {
    4.9 * (terms + 1.0).sqrt() * size / 2.0
}

#[test]
fn cancellation_is_not_a_bug_and_the_same_relative_error_without_it_is() {
    let (error, relative) = (6e-8, 1.39e-4);
    let left: f64 = error / relative;
    let cancelled = share(error, UNIT * bound_of_a_sum(128.0, 1.0));
    assert!(cancelled < 0.05, "{cancelled}");
    let whole = share(error, UNIT * bound_of_a_sum(128.0, left));
    assert!(whole > 50.0, "{whole}");
}
