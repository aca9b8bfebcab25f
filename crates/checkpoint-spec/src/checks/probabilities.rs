//! Probabilities: masked ones, bounds, sums, temperatures.

use super::entry::{Entry, Rows, Tally};
use super::rounding::{lost, sum_off, unit};
use super::values::visible_keys;
use crate::results::{Finding, Reason};
use crate::spec::temperature;

/// Exactly 0 where the key lies after the query.
pub(super) fn zero_where_masked(entry: &Entry<'_>) -> Result<Option<String>, Finding> {
    let tensor = entry.tensor()?;
    let rows = Rows::new(&tensor);
    let mut tally = Tally::new(tensor.shape());
    for (index, row) in rows.iter().enumerate() {
        let visible = visible_keys(tensor.shape().dimensions(), index);
        let hidden = row.iter().enumerate().skip(visible).find(|&(_, &value)| !is_zero(value));
        tally.note(index * rows.width() + hidden.map_or(0, |(key, _)| key), hidden.is_none(), || {
            format!("{}, expected exactly 0 after the query", hidden.map_or(0.0, |(_, &value)| value))
        });
    }
    Ok(tally.finish("rows see keys after the query"))
}

/// 0 or −0, and not NaN.
fn is_zero(value: f64) -> bool {
    value.abs() <= 0.0
}

/// In `[0, 1]`; two roundings above 1 are forgiven: one of a reciprocal, one of a product.
pub(super) fn in_unit_interval(entry: &Entry<'_>) -> Result<Option<String>, Finding> {
    let tensor = entry.tensor()?;
    let rows = Rows::new(&tensor);
    let high = 1.0 + 2.0 * unit(entry.context.precision);
    let mut tally = Tally::new(tensor.shape());
    for (index, row) in rows.iter().enumerate() {
        for (position, &value) in row.iter().enumerate() {
            let holds = 0.0 <= value && value <= high;
            tally.note(index * rows.width() + position, holds, || format!("{value}, expected [0, 1]"));
        }
    }
    Ok(tally.finish("probabilities are out of [0, 1]"))
}

/// Every row sums to 1. The sum that was divided by is off as any sum of the row's sizes may be; the quotient, a reciprocal
/// and a product in its place, and storing are four roundings more; and a term below the smallest normal number may have
/// been flushed to 0, or have lost digits.
pub(super) fn sum_to_one(entry: &Entry<'_>) -> Result<Option<String>, Finding> {
    let tensor = entry.tensor()?;
    let rows = Rows::new(&tensor);
    let precision = entry.context.precision;
    let mut tally = Tally::new(tensor.shape());
    for (index, row) in rows.iter().enumerate() {
        let sum: f64 = row.iter().sum();
        let bound = sum_off(&row, entry.context)
            + 4.0 * unit(precision)
            + row.iter().map(|&value| lost(value, precision)).sum::<f64>();
        let holds = (sum - 1.0).abs() <= bound;
        tally.note(index * rows.width(), holds, || {
            format!("the row sums to {sum}, expected 1 within {bound:e}")
        });
    }
    Ok(tally.finish("rows do not sum to 1"))
}

/// The largest probability of every row is at least that at the next higher temperature, and at the highest at least
/// that of a uniform distribution. Both are quotients of sums, with 16 roundings for exponentials and quotients.
pub(super) fn flatter_than_the_colder(entry: &Entry<'_>) -> Result<Option<String>, Finding> {
    let tensor = entry.tensor()?;
    let rows = Rows::new(&tensor);
    let Some(own) = temperature(&entry.required.name.activation) else {
        return Err(entry.finding(Reason::Unreadable, "the name gives no temperature".to_owned()));
    };
    let same_step = entry.context.required.iter().filter(|other| other.name.step == entry.required.name.step);
    let hotter = same_step
        .filter_map(|other| temperature(&other.name.activation).map(|t| (t, other)))
        .filter(|(t, _)| *t > own)
        .min_by(|(a, _), (b, _)| a.total_cmp(b));
    let hotter = hotter.map(|(_, other)| entry.other(&other.name, &other.shape, other.dtype)).transpose()?;
    let hotter = hotter.as_ref().map(Rows::new);
    let precision = entry.context.precision;
    let mut tally = Tally::new(tensor.shape());
    for (index, row) in rows.iter().enumerate() {
        let found = largest(&row);
        let off = |row: &[f64]| sum_off(row, entry.context) + 16.0 * unit(precision);
        let (least, slack) = match hotter.as_ref().map(|hotter| hotter.row(index)) {
            Some(hotter) => (largest(&hotter), off(&row) + off(&hotter)),
            None => (1.0 / count(rows.width()), off(&row)),
        };
        let holds = least * (1.0 - slack) <= found;
        tally.note(index * rows.width(), holds, || {
            format!("the largest is {found}, expected at least {least}")
        });
    }
    Ok(tally.finish("rows are flatter than at a higher temperature"))
}

/// The largest value; NaN if there is one.
fn largest(row: &[f64]) -> f64 {
    row.iter().copied().fold(f64::NEG_INFINITY, |a, b| if a.is_nan() || a >= b { a } else { b })
}

#[expect(clippy::cast_precision_loss, reason = "widths are far below 2⁵³")]
fn count(width: usize) -> f64 {
    width as f64
}
