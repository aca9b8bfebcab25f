//! Elementwise functions of the subject's own inputs.

use std::f64::consts::PI;

use super::entry::{Entry, Rows, Tally};
use super::rounding::{lost, unit};
use crate::results::{Finding, Reason};

/// The minimum of `gelu_new`, at −0.752…; the erf form's is −0.16997.
const GELU_MINIMUM: f64 = -0.170_040_750_571_254_05;

/// Units by which `gelu_new` may be off, relative to its argument: the tanh form's own conditioning takes 3, an `exp` of
/// base 2 and a `tanh` built from it about as much again.
const GELU_UNITS: f64 = 8.0;

/// Nowhere below the minimum of GELU.
pub(super) fn gelu_lower_bound(entry: &Entry<'_>) -> Result<Option<String>, Finding> {
    let tensor = entry.tensor()?;
    let rows = Rows::new(&tensor);
    let least = GELU_MINIMUM - GELU_UNITS * unit(entry.context.precision);
    let mut tally = Tally::new(tensor.shape());
    for (index, row) in rows.iter().enumerate() {
        for (position, &value) in row.iter().enumerate() {
            let flat = index * rows.width() + position;
            tally.note(flat, least <= value, || format!("{value}, expected at least {least}"));
        }
    }
    Ok(tally.finish("activations lie below the minimum of GELU"))
}

/// `0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))` of the subject's own input.
pub(super) fn gelu_tanh_form(entry: &Entry<'_>) -> Result<Option<String>, Finding> {
    elementwise(entry, "activations are not the tanh form of GELU of their inputs", |inputs| {
        let [x] = *inputs else { return None };
        let bound = GELU_UNITS * unit(entry.context.precision) * x.abs() + lost(0.0, entry.context.precision);
        Some((gelu_new(x), bound))
    })
}

/// The sum of the subject's own inputs, one rounding per addition and one to spare.
pub(super) fn sum_of_inputs(entry: &Entry<'_>) -> Result<Option<String>, Finding> {
    elementwise(entry, "elements are not the sum of the inputs", |inputs| {
        let magnitude: f64 = inputs.iter().map(|x| x.abs()).sum();
        let additions = inputs.iter().skip(1).map(|_| 1.0).sum::<f64>();
        let bound = 2.0 * additions * unit(entry.context.precision) * magnitude;
        (inputs.len() >= 2).then(|| (inputs.iter().sum(), bound))
    })
}

fn gelu_new(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh())
}

/// Holds every element against what `expect` makes of the inputs at its place: a value and a bound.
fn elementwise(
    entry: &Entry<'_>,
    what: &str,
    expect: impl Fn(&[f64]) -> Option<(f64, f64)>,
) -> Result<Option<String>, Finding> {
    let tensor = entry.tensor()?;
    let inputs = entry.inputs()?;
    let (rows, inputs) = (Rows::new(&tensor), inputs.iter().map(Rows::new).collect::<Vec<_>>());
    let mut tally = Tally::new(tensor.shape());
    let mut arguments = vec![0.0; inputs.len()];
    for (index, row) in rows.iter().enumerate() {
        let inputs: Vec<Vec<f64>> = inputs.iter().map(|input| input.row(index)).collect();
        for (position, &found) in row.iter().enumerate() {
            for (argument, input) in arguments.iter_mut().zip(&inputs) {
                *argument = input[position];
            }
            let Some((expected, bound)) = expect(&arguments) else {
                let problem = format!("{} inputs are not what the check is about", arguments.len());
                return Err(entry.finding(Reason::Unreadable, problem));
            };
            let holds = (found - expected).abs() <= bound;
            tally.note(index * rows.width() + position, holds, || {
                format!("{found}, expected {expected} within {bound:e} of {arguments:?}")
            });
        }
    }
    Ok(tally.finish(what))
}
