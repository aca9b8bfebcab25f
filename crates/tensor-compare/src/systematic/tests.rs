use super::*;

const UNIT: f64 = 1.0 / 16_777_216.0;
const ROWS: usize = 64;
const COLUMNS: usize = 32;

fn systematic(
    budget: &RoundingBudget,
    shape: &Shape,
    actual: &[f64],
    oracle: &[f64],
    magnitude: &[f64],
) -> Vec<Systematic> {
    let mut points = Points::new(shape.elements());
    points.put(0, actual.len(), |index| Point::new(actual[index], oracle[index], magnitude[index]));
    super::systematic(budget, shape, &points)
}

/// Values and rounding errors from a fixed generator: no two runs differ.
fn noise(seed: u64) -> impl Iterator<Item = f64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    })
}

fn fit(bug: impl Fn(usize, usize, f64) -> f64) -> Vec<Systematic> {
    let shape = Shape::new([ROWS, COLUMNS]).unwrap();
    let oracle: Vec<f64> = noise(1).take(ROWS * COLUMNS).map(|x| 2.0 * x).collect();
    let magnitude = vec![20.0; oracle.len()];
    let rounding = noise(2).map(|x| 8.0 * UNIT * x);
    let actual: Vec<f64> = oracle
        .iter()
        .zip(rounding)
        .enumerate()
        .map(|(position, (y, r))| bug(position / COLUMNS, position % COLUMNS, *y) + r)
        .collect();
    let slices = vec![Slice::Tensor, Slice::Axis(1), Slice::Axis(0)];
    systematic(&budget(slices), &shape, &actual, &oracle, &magnitude)
}

fn budget(slices: Vec<Slice>) -> RoundingBudget {
    RoundingBudget { unit: UNIT, confidence: 5.0, allowance: 2.0, slices, shared_rows: false }
}

#[test]
fn a_pair_of_axes_is_the_axis_that_they_make_together() {
    let bug = |column: usize, y: f64| if column == 13 { y * (1.0 + 1e-5) } else { y };
    let oracle: Vec<f64> = noise(1).take(ROWS * COLUMNS).map(|x| 2.0 * x).collect();
    let actual: Vec<f64> = oracle.iter().enumerate().map(|(at, &y)| bug(at % COLUMNS, y)).collect();
    let magnitude = vec![20.0; oracle.len()];
    let found = |slice, dimensions: &[usize]| {
        let shape = Shape::new(dimensions.to_vec()).unwrap();
        systematic(&budget(vec![slice]), &shape, &actual, &oracle, &magnitude)
    };
    let (flat, pair) = (found(Slice::Axis(1), &[64, 32])[0], found(Slice::Pair(1), &[64, 4, 8])[0]);
    assert_eq!((pair.slice, pair.index), (Slice::Pair(1), Some(13)));
    assert_eq!(Systematic { slice: flat.slice, ..pair }, flat);
    assert!(pair.used > 1.0, "{pair:?}");
    for alone in [Slice::Axis(1), Slice::Axis(2)] {
        let found = found(alone, &[64, 4, 8])[0];
        assert!(found.scale.abs() < pair.scale.abs() / 2.0, "{found:?}");
    }
    assert!(found(Slice::Pair(2), &[64, 4, 8]).is_empty());
}

#[test]
fn rounding_noise_has_no_scale_and_no_offset() {
    for found in fit(|_, _, y| y) {
        assert!(found.used < 1.0, "{found:?}");
    }
}

#[test]
fn a_uniform_scale_is_seen_where_no_element_is_out_of_its_budget() {
    let scale = 2e-6;
    let found = fit(|_, _, y| y * (1.0 + scale))[0];
    assert!(scale * 2.0 < 20.0 * UNIT * 4.0);
    assert!(found.used > 1.0 && (found.scale / scale - 1.0).abs() < 0.1, "{found:?}");
}

#[test]
fn one_column_is_named() {
    let found = fit(|_, column, y| if column == 5 { y * (1.0 + 1e-5) } else { y })[1];
    assert!(
        found.used > 1.0 && found.index == Some(5) && (found.scale / 1e-5 - 1.0).abs() < 0.2,
        "{found:?}"
    );
}

#[test]
fn one_row_is_named() {
    let found = fit(|row, _, y| if row == 9 { y * (1.0 + 1e-5) } else { y })[2];
    assert!(found.used > 1.0 && found.index == Some(9), "{found:?}");
}

#[test]
fn a_constant_offset_is_seen_as_one() {
    let found = fit(|_, _, y| y + 1e-6)[0];
    assert!(
        found.offset.abs() > found.offset_allowed && (found.offset / 1e-6 - 1.0).abs() < 0.1,
        "{found:?}"
    );
    assert!(found.scale.abs() <= found.scale_allowed, "{found:?}");
}

#[test]
fn constant_values_have_a_scale_only() {
    let shape = Shape::new([4]).unwrap();
    let budget = budget(vec![Slice::Tensor]);
    let found = systematic(&budget, &shape, &[1.001; 4], &[1.0; 4], &[1.0; 4]);
    assert!(found[0].used > 1.0 && found[0].offset == 0.0 && (found[0].scale - 1e-3).abs() < 1e-9);
}

#[test]
fn nothing_is_said_of_exact_results_or_of_too_few_elements() {
    let budget = budget(vec![Slice::Tensor, Slice::Axis(7)]);
    let few = Shape::new([2]).unwrap();
    assert_eq!(systematic(&budget, &few, &[1.1, 1.1], &[1.0, 1.0], &[1.0, 1.0]), []);
    let empty = Shape::new([0, 3]).unwrap();
    assert_eq!(systematic(&budget, &empty, &[], &[], &[]), []);
    let exact = Shape::new([4]).unwrap();
    assert_eq!(systematic(&budget, &exact, &[1.0; 4], &[1.0; 4], &[1.0; 4]), []);
}

mod correct;
mod formulas;
mod shared;
mod sums;
