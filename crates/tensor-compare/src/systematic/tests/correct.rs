//! Correct noise of awkward kinds: no seed may raise an alarm. And the same noise does not hide a bug.

use super::*;

/// A tensor whose values, bounds and errors differ in scale from element to element.
struct Awkward {
    shape: Shape,
    oracle: Vec<f64>,
    magnitude: Vec<f64>,
    /// Rounding errors as shares of `u·M`, within ±1.
    shares: Vec<f64>,
}

/// How much of their budget correct elements use.
#[derive(Clone, Copy, Debug)]
enum Use {
    /// Evenly distributed up to all of it.
    All,
    /// Columns differ a hundredfold, as BLAS kernels make them.
    ByColumn,
    /// More where the value is large: the variance depends on the regressor.
    ByValue,
    /// Most results are exact.
    Sparse,
}

impl Awkward {
    fn new(seed: u64, dimensions: [usize; 2], usage: Use) -> Self {
        let mut random = noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995).skip(3);
        let mut next = move || random.next().unwrap();
        let outlier = 10f64.powf(4.0 * next().abs());
        let elements = dimensions[0] * dimensions[1];
        let (mut oracle, mut magnitude, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for position in 0..elements {
            // One leverage point in 16: a large value, or one that is known better than the others.
            let lever = position % 16 == 7;
            let y = next() * 10f64.powf(next()) * if lever { outlier } else { 1.0 };
            let bound = (y.abs() + next().abs()) * 10f64.powf(1.0 + next()) + 1.0;
            oracle.push(y);
            magnitude.push(if position % 16 == 9 { bound / outlier } else { bound });
            let uniform = next();
            shares.push(match usage {
                Use::All => uniform,
                Use::ByColumn => uniform * [1.0, 0.1, 0.01][position % dimensions[1] % 3],
                Use::ByValue => uniform * (y.abs() / 10.0).min(1.0),
                Use::Sparse => {
                    if next() > 0.6 {
                        uniform
                    } else {
                        0.0
                    }
                }
            });
        }
        Self { shape: Shape::new(dimensions).unwrap(), oracle, magnitude, shares }
    }

    fn judge(&self, bug: impl Fn(usize, f64) -> f64) -> Vec<Systematic> {
        let with_noise = |(position, &y): (usize, &f64)| {
            bug(position, y) + self.shares[position] * UNIT * self.magnitude[position]
        };
        let actual: Vec<f64> = self.oracle.iter().enumerate().map(with_noise).collect();
        let budget = budget(vec![Slice::Tensor, Slice::Axis(0), Slice::Axis(1)]);
        systematic(&budget, &self.shape, &actual, &self.oracle, &self.magnitude)
    }
}

const USES: [Use; 4] = [Use::All, Use::ByColumn, Use::ByValue, Use::Sparse];

#[test]
fn no_seed_raises_an_alarm() {
    // Columns of 3 to 48 rows: from one degree of freedom up.
    for rows in [3, 4, 5, 7, 12, 24, 48] {
        for usage in USES {
            for seed in 0..300 {
                for found in Awkward::new(seed, [rows, 16], usage).judge(|_, y| y) {
                    assert!(found.used <= 1.0, "{rows} rows, {usage:?}, seed {seed}: {found:?}");
                }
            }
        }
    }
}

/// Standard errors of few elements say nothing: they may be 0 by chance, and their quantile is astronomic.
#[test]
fn too_few_elements_are_bounded_by_their_budgets() {
    let shape = Shape::new([3]).unwrap();
    let (oracle, magnitude) = ([1.0, 2.0, 3.0], [4.0; 3]);
    // Errors on a line by chance: no residual tells of the noise.
    let on_a_line = [1.0 - 3.0 * UNIT, 2.0, 3.0 + 3.0 * UNIT];
    let found = systematic(&budget(vec![Slice::Tensor]), &shape, &on_a_line, &oracle, &magnitude)[0];
    assert!((found.scale / UNIT - 3.0).abs() < 1e-6, "{found:?}");
    // All but on a line: the quantile for one degree of freedom is 1e16, and c·u/√Σw·d² is what is left.
    let nearly = [1.0 - 3.0 * UNIT, 2.0 + 0.5 * UNIT, 3.0 + 3.0 * UNIT];
    let found = systematic(&budget(vec![Slice::Tensor]), &shape, &nearly, &oracle, &magnitude)[0];
    let allowed = UNIT * (2.0 + 5.0 * 4.0 / 2f64.sqrt());
    assert!((found.scale_allowed / allowed - 1.0).abs() < 1e-9, "{found:?}");
}

#[test]
fn an_element_that_draws_the_line_to_itself_counts_by_its_bound() {
    // Element 0 weighs 1e20 times the others: the line goes through it and it has no residual.
    let shape = Shape::new([5]).unwrap();
    let (oracle, magnitude) = ([1.0, 2.0, 3.0, 4.0, 5.0], [1e-8, 1e2, 1e2, 1e2, 1e2]);
    let shares = [0.9, 0.5, -0.7, 0.3, -0.2];
    let actual: Vec<f64> = (0..5).map(|i| oracle[i] + shares[i] * UNIT * magnitude[i]).collect();
    let found = systematic(&budget(vec![Slice::Tensor]), &shape, &actual, &oracle, &magnitude)[0];
    assert!(found.used <= 1.0 && found.scale_allowed.is_finite(), "{found:?}");
}

#[test]
fn a_uniform_scale_is_seen_through_awkward_noise() {
    for usage in USES {
        for seed in 0..20 {
            let found = Awkward::new(seed, [512, 64], usage).judge(|_, y| y * 1.000_002)[0];
            assert!(found.used > 1.0 && found.scale > found.scale_allowed, "{usage:?} {seed}: {found:?}");
        }
    }
}

#[test]
fn one_column_is_named_through_awkward_noise() {
    for usage in USES {
        let bug = |position, y| if position % 16 == 5 { y * 1.000_01 } else { y };
        let found = Awkward::new(1, [512, 16], usage).judge(bug)[2];
        assert!(found.used > 1.0 && found.index == Some(5), "{usage:?}: {found:?}");
    }
}

#[test]
fn a_constant_offset_is_seen_through_awkward_noise() {
    for usage in USES {
        let found = Awkward::new(2, [512, 64], usage).judge(|_, y| y + 1e-6)[0];
        assert!(found.offset > found.offset_allowed, "{usage:?}: {found:?}");
        assert!(found.scale.abs() <= found.scale_allowed, "{usage:?}: {found:?}");
    }
}

#[test]
fn elements_without_a_finite_bound_take_no_part() {
    let shape = Shape::new([6]).unwrap();
    let oracle = [1.0, 2.0, 3.0, 4.0, f64::NEG_INFINITY, f64::NAN];
    let actual = [1.0, 2.5, 3.0 + UNIT, 4.0, f64::NEG_INFINITY, 1.0];
    let magnitude = [1.0, 0.0, 1.0, 1.0, 1.0, 1.0];
    let found = systematic(&budget(vec![Slice::Tensor]), &shape, &actual, &oracle, &magnitude)[0];
    let three = Shape::new([3]).unwrap();
    let usable = [1.0, 3.0 + UNIT, 4.0];
    let alone = systematic(&budget(vec![Slice::Tensor]), &three, &usable, &[1.0, 3.0, 4.0], &[1.0; 3])[0];
    // Of the same elements in other lanes, sums differ in the last digits.
    let numbers = |of: Systematic| [of.scale, of.scale_allowed, of.offset, of.offset_allowed, of.used];
    for (found, alone) in numbers(found).into_iter().zip(numbers(alone)) {
        assert!((found - alone).abs() <= 1e-12 * alone.abs(), "{found} {alone}");
    }
}

/// HC3 from its meaning: the residual of each element from the line fitted without it.
#[test]
fn standard_errors_are_of_residuals_from_the_line_without_the_element() {
    let mut random = noise(7).skip(3);
    let mut next = move || random.next().unwrap();
    // Value, error, weight; the last is a leverage point that is off.
    let mut points: Vec<[f64; 3]> =
        (0..60).map(|_| [next() + 0.5, 0.1 * UNIT * next(), (20.0 + 5.0 * next()).powi(-2)]).collect();
    points.push([30.0, 3.0 * UNIT, 30f64.powi(-2)]);
    let line = |points: &[[f64; 3]]| {
        let sum = |f: fn(&[f64; 3]) -> f64| points.iter().map(f).sum::<f64>();
        let (w, wy, we) = (sum(|p| p[2]), sum(|p| p[2] * p[0]), sum(|p| p[2] * p[1]));
        let (wyy, wye) = (sum(|p| p[2] * p[0] * p[0]), sum(|p| p[2] * p[0] * p[1]));
        let scale = (w * wye - wy * we) / (w * wyy - wy * wy);
        (scale, (we - scale * wy) / w, wy / w, wyy - wy * wy / w)
    };
    let (scale, _, center, spread) = line(&points);
    let squares = (0..points.len()).map(|left_out| {
        let [y, error, weight] = points[left_out];
        let others: Vec<_> = (0..points.len()).filter(|&i| i != left_out).map(|i| points[i]).collect();
        let (scale, offset, ..) = line(&others);
        (weight * (y - center) * (error - scale * y - offset)).powi(2)
    });
    let deviation = squares.sum::<f64>().sqrt() / spread;
    let degrees = 59.0f64;
    let quantile = (degrees * (75.0 / degrees).exp_m1()).sqrt();

    let oracle: Vec<f64> = points.iter().map(|p| p[0]).collect();
    let actual: Vec<f64> = points.iter().map(|p| p[0] + p[1]).collect();
    let magnitude: Vec<f64> = points.iter().map(|p| p[2].powf(-0.5)).collect();
    let shape = Shape::new([points.len()]).unwrap();
    let found = systematic(&budget(vec![Slice::Tensor]), &shape, &actual, &oracle, &magnitude)[0];
    let allowed = 2.0 * UNIT + quantile * deviation;
    assert!((found.scale / scale - 1.0).abs() < 1e-6, "{found:?}, scale {scale:e} expected");
    assert!((found.scale_allowed / allowed - 1.0).abs() < 1e-6, "{found:?}, {allowed:e} expected");
}
