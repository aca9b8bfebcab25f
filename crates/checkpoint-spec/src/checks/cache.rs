//! The KV cache: what is unused stays zero, what was stored stays as it was.

use capture::{Tensor, TensorName};

use super::entry::{Entry, Tally};
use crate::results::{Finding, Reason};

/// All bits of slots beyond what has been consumed are 0.
pub(super) fn zero_when_unused(entry: &Entry<'_>) -> Result<Option<String>, Finding> {
    let tensor = entry.tensor()?;
    let slots = Slots::of(entry, &tensor)?;
    let used = consumed(entry, entry.required.name.step);
    let mut tally = Tally::new(tensor.shape());
    for row in 0..slots.rows {
        for slot in used..slots.per_row {
            let zero = slots.bytes(&tensor, row, slot).iter().all(|&byte| byte == 0);
            tally.note(slots.flat(row, slot), zero, || "the slot holds something, expected zero bits");
        }
    }
    Ok(tally.finish("unused slots were written to"))
}

/// What the first step stored is there after this one, bit by bit.
pub(super) fn append_only(entry: &Entry<'_>) -> Result<Option<String>, Finding> {
    let tensor = entry.tensor()?;
    let slots = Slots::of(entry, &tensor)?;
    let stored = consumed(entry, Some(0));
    let first = TensorName::of_step(0, entry.required.name.activation.clone());
    let mut dimensions = tensor.shape().dimensions().to_vec();
    if slots.grows {
        dimensions[slots.axis] = stored;
    }
    let earlier = entry.other(&first, &entry.shape(dimensions)?, entry.required.dtype)?;
    let earlier_slots = Slots::of(entry, &earlier)?;
    let mut tally = Tally::new(tensor.shape());
    for row in 0..slots.rows {
        for slot in 0..stored.min(slots.per_row) {
            let same = slots.bytes(&tensor, row, slot) == earlier_slots.bytes(&earlier, row, slot);
            tally.note(slots.flat(row, slot), same, || format!("the slot is not what `{first}` holds there"));
        }
    }
    Ok(tally.finish("stored slots have changed"))
}

/// Tokens consumed by the end of a step.
fn consumed(entry: &Entry<'_>, step: Option<usize>) -> usize {
    step.and_then(|step| entry.context.case.steps().nth(step)).map_or(0, |step| step.end)
}

/// A tensor seen as rows of slots, one slot per position.
struct Slots {
    /// The dimension of positions.
    axis: usize,
    /// Whether that dimension is as long as what has been consumed, and not the whole context.
    grows: bool,
    rows: usize,
    per_row: usize,
    /// Elements of a slot.
    elements: usize,
}

impl Slots {
    fn of(entry: &Entry<'_>, tensor: &Tensor) -> Result<Self, Finding> {
        let symbols = &entry.activation().shape;
        let dimensions = tensor.shape().dimensions();
        let Some(axis) = symbols.iter().position(|symbol| symbol == "C" || symbol == "K") else {
            return Err(
                entry.finding(Reason::Unreadable, "the spec gives no dimension of positions".to_owned())
            );
        };
        // The required layout has been checked, so there are as many dimensions as symbols.
        Ok(Self {
            axis,
            grows: symbols[axis] == "K",
            rows: dimensions[..axis].iter().product(),
            per_row: dimensions[axis],
            elements: dimensions[axis + 1..].iter().product(),
        })
    }

    fn flat(&self, row: usize, slot: usize) -> usize {
        (row * self.per_row + slot) * self.elements
    }

    fn bytes<'a>(&self, tensor: &'a Tensor, row: usize, slot: usize) -> &'a [u8] {
        let length = self.elements * tensor.dtype().size();
        &tensor.bytes()[(row * self.per_row + slot) * length..][..length]
    }
}
