//! 00: weights as they are stored, positions, whole captures, and the references themselves.

use anyhow::{Context, Result};
use capture::{Capture, Precision, Tensor, TensorName};
use gpt2::Gpt2;

use super::super::look::give;
use super::super::{Carrier, Conduct, Evidence, Fault, Injection, Look};
use super::layer;

pub(super) const FAULTS: &[Fault] = &[
    Fault { id: "embedding-row-permuted", injection: Injection::Stored(rotate_first_embedding) },
    Fault {
        id: "stored-exponent-bit-flipped",
        injection: Injection::Stored(|model| flip_a_bit(model, EXPONENT_BIT)),
    },
    Fault {
        id: "stored-mantissa-bit-flipped",
        injection: Injection::Stored(|model| flip_a_bit(model, MANTISSA_BIT)),
    },
    Fault {
        id: "head-not-tied",
        injection: Injection::Stored(|model| model.head = model.head.to_owned().into()),
    },
    Fault { id: "positions-not-advanced", injection: Injection::Component(from_position_0) },
    Fault { id: "positions-of-first-row", injection: Injection::Component(positions_of_first_row) },
    Fault { id: "capture-empty", injection: Injection::Evidence(empty) },
    Fault { id: "activation-unexpected", injection: Injection::Evidence(unexpected) },
    Fault { id: "reference-crashes", injection: Injection::Worker(Conduct::Crashes) },
    Fault { id: "reference-hangs", injection: Injection::Worker(Conduct::Hangs) },
    Fault {
        id: "reference-returns-the-subject",
        injection: Injection::Evidence(reference_returns_the_subject),
    },
    Fault {
        id: "reference-returns-an-old-capture",
        injection: Injection::Evidence(reference_returns_an_old_capture),
    },
];

/// The second lowest bit of an f32's exponent: the value × 4 or / 4.
pub(super) const EXPONENT_BIT: u32 = 24;
/// The highest bit of an f32's mantissa.
pub(super) const MANTISSA_BIT: u32 = 22;

/// Flips a bit of one weight of `c_attn`: in the middle column, the largest.
pub(super) fn flip_a_bit(model: &mut Gpt2, bit: u32) {
    let layer = layer(model);
    let weights = &mut model.blocks[layer].attn.c_attn.weight;
    let mut column = weights.column_mut(0);
    let largest = (0..column.len()).max_by(|&a, &b| column[a].abs().total_cmp(&column[b].abs()));
    if let Some(largest) = largest {
        column[largest] = f32::from_bits(column[largest].to_bits() ^ (1 << bit));
    }
}

/// Of a tied head as well: it is the same storage.
fn rotate_first_embedding(model: &mut Gpt2) {
    let mut wte = model.wte.to_owned();
    super::head::rotate(wte.row_mut(0));
    model.wte = wte.into();
    model.head = model.wte.clone();
}

fn from_position_0(look: &Look<'_>) -> Result<Option<Tensor>> {
    if look.part != "embd" {
        return Ok(None);
    }
    embedded(look, |_| 0)
}

/// The rows of a case have no padding, so every row starts where the first does.
fn positions_of_first_row(look: &Look<'_>) -> Result<Option<Tensor>> {
    if look.part != "embd" {
        return Ok(None);
    }
    let first = look.past();
    embedded(look, |_row| first)
}

/// The embedding of this step's tokens, with the first position of each row as `start` gives it.
fn embedded(look: &Look<'_>, start: impl Fn(usize) -> usize) -> Result<Option<Tensor>> {
    let positions = look.case.steps().nth(look.step).context("a step of the case")?;
    let mut rows = Vec::new();
    for (row, ids) in look.case.token_ids.iter().enumerate() {
        let ids = ndarray::arr1(&ids[positions.clone()]).insert_axis(ndarray::Axis(0));
        rows.push(look.model.embed(ids.view(), start(row))?);
    }
    let views: Vec<_> = rows.iter().map(|row| row.view()).collect();
    give(look, &ndarray::concatenate(ndarray::Axis(0), &views)?)
}

fn empty(_: &Carrier, evidence: &mut Evidence<'_>) -> Result<()> {
    evidence.subject = Capture::default();
    Ok(())
}

fn unexpected(_: &Carrier, evidence: &mut Evidence<'_>) -> Result<()> {
    let name = TensorName::of_step(0, "h.0.attn.keys");
    evidence.subject.tensors.insert(name, Tensor::from_f32(&[1], &[0.0])?);
    Ok(())
}

fn reference_returns_the_subject(carrier: &Carrier, evidence: &mut Evidence<'_>) -> Result<()> {
    let reference = evidence.last_reference()?;
    evidence.change_reference(&reference, Precision::F64, |name, _| {
        let Some(own) = carrier.run.tensors.get(name).filter(|own| own.dtype().is_float()) else {
            return Ok(None);
        };
        Ok(Some(Tensor::from_f64(own.shape().dimensions(), &own.view().to_f64_lossy())?))
    })
}

/// The rows of the batch in another order: what the reference gave when it was asked for them so.
fn reference_returns_an_old_capture(carrier: &Carrier, evidence: &mut Evidence<'_>) -> Result<()> {
    let reference = evidence.last_reference()?;
    let batch = carrier.case.batch();
    evidence.change_reference(&reference, Precision::F64, |name, tensor| {
        let by_row =
            !name.activation.starts_with("weights.") && tensor.shape().dimensions().first() == Some(&batch);
        if !by_row || batch < 2 {
            return Ok(None);
        }
        let mut bytes = tensor.bytes().to_vec();
        let row = bytes.len() / batch;
        bytes.rotate_left(row);
        Ok(Some(Tensor::new(tensor.dtype(), tensor.shape().clone(), bytes)?))
    })
}
