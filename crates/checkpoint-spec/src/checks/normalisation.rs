//! Layer normalisation before scale and bias, held against the subject's own input.
//!
//! The bounds are those of rounding alone, for any order of summation and for one-pass and two-pass variances alike.
//! With `u` the unit, `γ` the units of a sum of `D` terms, `r = 1/√(v + ε)` and `m̄` the mean of `|x|`:
//! - the mean is off by `δμ <= (γ + 2)·u·m̄` (a sum and a division);
//! - the variance is off by `δv <= 3·(γ + 2)·u·(v + μ²)`: `v + μ²` is the mean of `x²`, the one-pass form subtracts
//!   from it the square of the mean, which is off by at most twice as much;
//! - an element is off by `4·u·(|x| + |μ|)·r` for subtraction, product and the form `x·r − μ·r`, and relatively by
//!   `δv / (2·(v + ε − δv)) + 8·u` for the root, the reciprocal and ε in f32.

use capture::Tensor;

use super::entry::{Entry, Rows, Tally};
use super::rounding::{accumulation, sum_unit, unit};
use crate::results::{Finding, Reason};

/// What one row of the input says about its normalised row.
struct Norm {
    mean: f64,
    variance: f64,
    mean_abs: f64,
    epsilon: f64,
    /// `u` of what is stored.
    unit: f64,
    /// `u` of sums.
    sum_unit: f64,
    /// `γ + 2`.
    units: f64,
}

impl Norm {
    fn root(&self) -> f64 {
        (self.variance + self.epsilon).sqrt()
    }

    fn mean_error(&self) -> f64 {
        self.units * self.sum_unit * self.mean_abs
    }

    /// Relative error of `v + ε`; beyond measure where the row is so ill-conditioned that nothing is left of it.
    fn variance_error(&self) -> f64 {
        let absolute = 3.0 * self.units * self.sum_unit * (self.variance + self.mean * self.mean);
        let left = self.variance + self.epsilon - absolute;
        if left > 0.0 { absolute / left } else { f64::MAX }
    }
}

/// Every row has mean 0.
pub(super) fn mean(entry: &Entry<'_>) -> Result<Option<String>, Finding> {
    each_row(entry, "rows do not have mean 0", |norm, _, normalised| {
        let found = average(normalised.iter().copied());
        // The mean's own error, and 4·u·(|x| + |μ|) of each element, on average at most 8·u·m̄.
        let bound = (norm.mean_error() + 8.0 * norm.unit * norm.mean_abs) / norm.root() + 4.0 * norm.unit;
        let holds = found.abs() <= bound;
        (!holds).then(|| format!("the mean is {found:e}, expected 0 within {bound:e}"))
    })
}

/// Every row has the variance `v / (v + ε)`, `v` being the biased variance of its input.
pub(super) fn variance(entry: &Entry<'_>) -> Result<Option<String>, Finding> {
    each_row(entry, "rows do not have the biased variance v / (v + ε)", |norm, _, normalised| {
        let found = biased_variance(normalised, average(normalised.iter().copied()));
        let expected = norm.variance / (norm.variance + norm.epsilon);
        // Elements off by e change the variance by at most 2·√variance·rms(e), with rms(e) <= 8·u·rms(x)·r.
        let rms = (norm.variance + norm.mean * norm.mean).sqrt();
        let elements = 16.0 * norm.unit * expected.sqrt() * rms / norm.root();
        let bound =
            expected * (norm.variance_error() + 16.0 * norm.unit) + elements + 64.0 * norm.unit.powi(2);
        let holds = (found - expected).abs() <= bound;
        (!holds).then(|| {
            format!(
                "the variance is {found}, expected {expected} within {bound:e} (input: {:e})",
                norm.variance
            )
        })
    })
}

/// Every element is `(x − μ) / √(v + ε)` of the subject's own input.
pub(super) fn of_own_input(entry: &Entry<'_>) -> Result<Option<String>, Finding> {
    each_row(entry, "rows are not the normalised input", |norm, input, normalised| {
        let relative = norm.variance_error() / 2.0 + 8.0 * norm.unit;
        input.iter().zip(normalised).enumerate().find_map(|(channel, (&x, &found))| {
            let expected = (x - norm.mean) / norm.root();
            let elements = 4.0 * norm.unit * (x.abs() + norm.mean.abs());
            let bound = (norm.mean_error() + elements) / norm.root() + relative * expected.abs();
            let holds = (found - expected).abs() <= bound;
            (!holds).then(|| format!("channel {channel} is {found}, expected {expected} within {bound:e}"))
        })
    })
}

/// Looks at every row with its input; `look` gives the departure, if there is one.
fn each_row(
    entry: &Entry<'_>,
    what: &str,
    look: impl Fn(&Norm, &[f64], &[f64]) -> Option<String>,
) -> Result<Option<String>, Finding> {
    let normalised = entry.tensor()?;
    let [input]: [Tensor; 1] = entry
        .inputs()?
        .try_into()
        .map_err(|_| entry.finding(Reason::Unreadable, "a norm has one input".to_owned()))?;
    let Some(&epsilon) = entry.context.architecture.constants.get("epsilon") else {
        return Err(entry.finding(Reason::Unreadable, "the model gives no constant `epsilon`".to_owned()));
    };
    let (rows, inputs) = (Rows::new(&normalised), Rows::new(&input));
    let (unit, sum_unit) = (unit(entry.context.precision), sum_unit(entry.context.precision));
    let units = accumulation(rows.width(), rows.count()) + 2.0;
    let mut tally = Tally::new(normalised.shape());
    for (index, (row, input)) in rows.iter().zip(inputs.iter()).enumerate() {
        let mean = average(input.iter().copied());
        let norm = Norm {
            mean,
            variance: biased_variance(&input, mean),
            mean_abs: average(input.iter().map(|x| x.abs())),
            epsilon,
            unit,
            sum_unit,
            units,
        };
        let departure = look(&norm, &input, &row);
        tally.note(index * rows.width(), departure.is_none(), || departure.unwrap_or_default());
    }
    Ok(tally.finish(what))
}

#[expect(clippy::cast_precision_loss, reason = "widths are far below 2⁵³")]
fn average(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len();
    values.sum::<f64>() / count as f64
}

fn biased_variance(values: &[f64], mean: f64) -> f64 {
    average(values.iter().map(|x| (x - mean) * (x - mean)))
}
