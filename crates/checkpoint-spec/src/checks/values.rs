//! Values and layout: NaN and infinity, ranges, contiguity, tensors that must differ.

use std::collections::BTreeSet;

use capture::TensorName;

use super::entry::{Entry, Rows, Tally};
use crate::results::{Finding, Reason};
use crate::spec::NonFinitePolicy;

/// Finite everywhere, or −∞ where the key lies after the query, and perhaps where it lies before.
pub(super) fn finite(entry: &Entry<'_>) -> Result<Option<String>, Finding> {
    let tensor = entry.tensor()?;
    let rows = Rows::new(&tensor);
    let policy = entry.activation().non_finite;
    let masks = policy != NonFinitePolicy::Never;
    let windowed = policy == NonFinitePolicy::NegativeInfinityBesidesTheQuery;
    let mut tally = Tally::new(tensor.shape());
    for (index, row) in rows.iter().enumerate() {
        let visible = if masks { visible_keys(tensor.shape().dimensions(), index) } else { rows.width() };
        for (position, &value) in row.iter().enumerate() {
            let expected_infinite = position >= visible;
            let left_behind = windowed && position + 1 < visible && value == f64::NEG_INFINITY;
            let holds =
                if expected_infinite { value == f64::NEG_INFINITY } else { value.is_finite() || left_behind };
            tally.note(index * rows.width() + position, holds, || {
                format!("{value}, expected {}", if expected_infinite { "−∞" } else { "a finite number" })
            });
        }
    }
    Ok(tally.finish("elements are NaN or infinite where they must not be"))
}

/// How many keys the query of a row may see: row-major rows of `[…, S, K]`, with `K − S` tokens in the past.
pub(super) fn visible_keys(dimensions: &[usize], row: usize) -> usize {
    match *dimensions {
        [.., queries, keys] if queries > 0 => keys.saturating_sub(queries) + row % queries + 1,
        _ => 0,
    }
}

/// Observed as contiguous, in C order.
pub(super) fn contiguous(entry: &Entry<'_>, names: &BTreeSet<TensorName>) -> Result<Option<String>, Finding> {
    let name = &entry.required.name;
    if !names.contains(name) {
        return Err(entry.finding(Reason::Missing, "not in the capture".to_owned()));
    }
    let strided = entry.context.not_contiguous.contains(name);
    Ok(strided.then(|| "not contiguous, in C order, where it was observed".to_owned()))
}

/// Within the range of the activation's spec.
pub(super) fn plausible_range(entry: &Entry<'_>) -> Result<Option<String>, Finding> {
    let tensor = entry.tensor()?;
    let Some((low, high)) = entry.activation().range else {
        return Err(entry.finding(Reason::Unreadable, "the spec gives no range".to_owned()));
    };
    let rows = Rows::new(&tensor);
    let mut tally = Tally::new(tensor.shape());
    for (index, row) in rows.iter().enumerate() {
        for (position, &value) in row.iter().enumerate() {
            let holds = low <= value && value <= high;
            tally.note(index * rows.width() + position, holds, || {
                format!("{value}, expected [{low}, {high}]")
            });
        }
    }
    Ok(tally.finish("elements are out of the plausible range"))
}

/// Not the same bits as the next of the activations that must differ, the last one held against the first.
pub(super) fn distinct(entry: &Entry<'_>) -> Result<Option<String>, Finding> {
    let required = entry.required;
    let siblings: Vec<_> = entry
        .context
        .required
        .iter()
        .filter(|other| other.layer == required.layer && other.name.step == required.name.step)
        .collect();
    let own = siblings.iter().position(|other| other.name == required.name).unwrap_or(0);
    let next = siblings[(own + 1) % siblings.len().max(1)];
    if next.name == required.name {
        return Err(
            entry.finding(Reason::Unreadable, "there is nothing that it could differ from".to_owned())
        );
    }
    let other = entry.other(&next.name, &next.shape, next.dtype)?;
    Ok((entry.tensor()? == other).then(|| format!("the same as `{}`, bit by bit", next.name)))
}
