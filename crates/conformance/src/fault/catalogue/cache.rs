//! 03: the KV cache.

use anyhow::Result;
use capture::{Tensor, TensorName};
use ndarray::{ArrayD, ArrayViewD, Axis, Slice, concatenate};

use super::super::look::{give, to_array, to_tensor};
use super::super::{Carrier, Evidence, Fault, Injection, Look};

pub(super) const FAULTS: &[Fault] = &[
    Fault { id: "cache-start-shifted", injection: Injection::Component(start_shifted) },
    Fault { id: "cache-end-short", injection: Injection::Evidence(end_short) },
    Fault { id: "cache-k-and-v-swapped", injection: Injection::Component(keys_and_values_swapped) },
    Fault { id: "cache-row-stale", injection: Injection::Component(row_stale) },
    Fault { id: "cache-rows-mixed", injection: Injection::Component(rows_mixed) },
    Fault { id: "cache-wrapped-around", injection: Injection::Component(wrapped_around) },
    Fault { id: "cache-shape-heads-for-positions", injection: Injection::Evidence(heads_for_positions) },
    Fault { id: "cache-not-contiguous", injection: Injection::Evidence(not_contiguous) },
    Fault { id: "cache-not-zeroed", injection: Injection::Component(not_zeroed) },
    Fault { id: "cache-overwritten-at-growth", injection: Injection::Component(overwritten_at_growth) },
];

const RETRIEVED: [&str; 2] = ["attn.cached_k", "attn.cached_v"];

/// Some of the positions of `[B, K, H, Dh]`.
fn positions(cached: &ArrayD<f32>, range: std::ops::Range<usize>) -> ArrayViewD<'_, f32> {
    cached.slice_axis(Axis(1), Slice::from(range))
}

/// Retrieved keys or values, each `[B, K, H, Dh]`, changed in place.
fn retrieved(look: &Look<'_>, change: impl FnOnce(&mut ArrayD<f32>) -> Result<()>) -> Result<Option<Tensor>> {
    if look.layer.is_none() || !RETRIEVED.contains(&look.part) {
        return Ok(None);
    }
    let mut cached = look.array()?;
    change(&mut cached)?;
    give(look, &cached)
}

/// The slot where the step should have begun is still 0, and its last token has no slot.
fn start_shifted(look: &Look<'_>) -> Result<Option<Tensor>> {
    if look.step == 0 {
        return Ok(None);
    }
    let past = look.past();
    retrieved(look, |cached| {
        let end = cached.len_of(Axis(1)) - 1;
        let late = positions(cached, past..end).to_owned();
        cached.slice_axis_mut(Axis(1), Slice::from(past + 1..)).assign(&late);
        cached.index_axis_mut(Axis(1), past).fill(0.0);
        Ok(())
    })
}

fn keys_and_values_swapped(look: &Look<'_>) -> Result<Option<Tensor>> {
    if look.layer.is_none() || !RETRIEVED.contains(&look.part) {
        return Ok(None);
    }
    let other = if look.part == "attn.cached_k" { "attn.v" } else { "attn.k" };
    let steps = (0..=look.step).map(|step| look.at_step_beside(step, other)).collect::<Result<Vec<_>>>()?;
    let views: Vec<_> = steps.iter().map(|step| step.view()).collect();
    give(look, &concatenate(Axis(1), &views)?)
}

/// The last row's new slots hold what its slot before them holds.
fn row_stale(look: &Look<'_>) -> Result<Option<Tensor>> {
    let past = look.past();
    if past == 0 {
        return Ok(None);
    }
    retrieved(look, |cached| {
        let row = cached.len_of(Axis(0)) - 1;
        let mut row = cached.index_axis_mut(Axis(0), row);
        let earlier = row.index_axis(Axis(0), past - 1).to_owned();
        for mut slot in row.outer_iter_mut().skip(past) {
            slot.assign(&earlier);
        }
        Ok(())
    })
}

fn rows_mixed(look: &Look<'_>) -> Result<Option<Tensor>> {
    retrieved(look, |cached| {
        if cached.len_of(Axis(0)) > 1 {
            let rows = cached.len_of(Axis(0));
            let order: Vec<usize> = [1, 0].into_iter().chain(2..rows).collect();
            *cached = cached.select(Axis(0), &order);
        }
        Ok(())
    })
}

fn wrapped_around(look: &Look<'_>) -> Result<Option<Tensor>> {
    if look.step == 0 {
        return Ok(None);
    }
    retrieved(look, |cached| {
        let last = cached.index_axis(Axis(1), cached.len_of(Axis(1)) - 1).to_owned();
        cached.index_axis_mut(Axis(1), 0).assign(&last);
        Ok(())
    })
}

fn overwritten_at_growth(look: &Look<'_>) -> Result<Option<Tensor>> {
    if look.step == 0 {
        return Ok(None);
    }
    retrieved(look, |cached| {
        cached.index_axis_mut(Axis(1), 0).fill(0.0);
        Ok(())
    })
}

fn not_zeroed(look: &Look<'_>) -> Result<Option<Tensor>> {
    if look.layer.is_none() || look.part != "attn.cache" {
        return Ok(None);
    }
    let mut slots = look.array()?;
    let unused = slots.len_of(Axis(2)) - 1;
    slots.index_axis_mut(Axis(2), unused).fill(7.0);
    give(look, &slots)
}

fn end_short(_: &Carrier, evidence: &mut Evidence<'_>) -> Result<()> {
    each_retrieved(evidence, |name, cached| {
        let length = cached.len_of(Axis(1));
        (name.step > Some(0) && length > 1).then(|| positions(cached, 0..length - 1).to_owned())
    })
}

/// As many positions as there are heads, whatever was stored.
fn heads_for_positions(_: &Carrier, evidence: &mut Evidence<'_>) -> Result<()> {
    each_retrieved(evidence, |_, cached| {
        let (positions, heads) = (cached.len_of(Axis(1)), cached.len_of(Axis(2)));
        let index: Vec<usize> =
            (0..if heads == positions { heads + 1 } else { heads }).map(|i| i % positions).collect();
        Some(cached.select(Axis(1), &index))
    })
}

/// Puts what `change` makes of retrieved keys and values, `[B, K, H, Dh]`, into the subject's captures.
fn each_retrieved(
    evidence: &mut Evidence<'_>,
    change: impl Fn(&TensorName, &ArrayD<f32>) -> Option<ArrayD<f32>>,
) -> Result<()> {
    let left = &mut evidence.subject;
    for (name, tensor) in &mut left.tensors {
        let is_retrieved = RETRIEVED.iter().any(|part| name.activation.ends_with(&format!(".{part}")));
        if is_retrieved && let Some(changed) = change(name, &to_array(tensor)?) {
            *tensor = to_tensor(&changed)?;
        }
    }
    Ok(())
}

fn not_contiguous(_: &Carrier, evidence: &mut Evidence<'_>) -> Result<()> {
    let run = &mut evidence.subject;
    let keys = run.tensors.keys().filter(|name| name.activation.ends_with(".attn.cached_k"));
    run.not_contiguous.extend(keys.cloned());
    Ok(())
}
