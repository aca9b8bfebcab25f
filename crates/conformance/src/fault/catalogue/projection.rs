//! 02: queries, keys and values, and the precision of the weights they are projected by.

use anyhow::{Context, Result};
use capture::{Tensor, TensorName};
use gpt2::Gpt2;
use gpt2::layers::Linear;
use half::{bf16, f16};
use ndarray::{Axis, Ix3, Slice};

use super::super::look::{give, to_array, to_tensor};
use super::super::{Carrier, Evidence, Fault, Injection, Look};
use super::arithmetic::{cut, grown};
use super::foundation::{EXPONENT_BIT, MANTISSA_BIT, flip_a_bit};
use super::layer;

pub(super) const FAULTS: &[Fault] = &[
    Fault { id: "qkv-weight-transposed", injection: Injection::Model(transpose_queries) },
    Fault { id: "qkv-q-and-k-swapped", injection: Injection::Component(swap_q_and_k) },
    Fault { id: "qkv-head-count-halved", injection: Injection::Evidence(halve_heads) },
    Fault {
        id: "qkv-bias-zeroed",
        injection: Injection::Model(|model| {
            let layer = layer(model);
            model.blocks[layer].attn.c_attn.bias.fill(0.0);
        }),
    },
    Fault { id: "qkv-heads-permuted", injection: Injection::Component(permute_heads) },
    Fault { id: "qkv-split-interleaved", injection: Injection::Component(split_interleaved) },
    Fault { id: "qkv-column-1-01", injection: Injection::Model(scale_a_column) },
    Fault {
        id: "qkv-weights-1-000002",
        injection: Injection::Model(|model| {
            let layer = layer(model);
            model.blocks[layer].attn.c_attn.weight.mapv_inplace(grown);
        }),
    },
    Fault {
        id: "qkv-weights-f16",
        injection: Injection::Model(|model| map_matrices(model, |w| f16::from_f32(w).to_f32())),
    },
    Fault {
        id: "qkv-weights-bf16",
        injection: Injection::Model(|model| map_matrices(model, |w| bf16::from_f32(w).to_f32())),
    },
    Fault { id: "qkv-weights-int8", injection: Injection::Model(quantise) },
    Fault { id: "qkv-inputs-tf32", injection: Injection::Component(cut_inputs) },
    Fault {
        id: "qkv-exponent-bit-flipped",
        injection: Injection::Model(|model| flip_a_bit(model, EXPONENT_BIT)),
    },
    Fault {
        id: "qkv-mantissa-bit-flipped",
        injection: Injection::Model(|model| flip_a_bit(model, MANTISSA_BIT)),
    },
    Fault {
        id: "qkv-subnormal-weights-flushed",
        injection: Injection::Model(|model| map_matrices(model, |w| if w.is_subnormal() { 0.0 } else { w })),
    },
    Fault { id: "qkv-nan-in-one-element", injection: Injection::Component(one_nan) },
];

/// Queries, keys and values by name.
const PARTS: [&str; 3] = ["attn.q", "attn.k", "attn.v"];

fn matrices(model: &mut Gpt2) -> impl Iterator<Item = &mut Linear> {
    model.blocks.iter_mut().flat_map(|block| {
        [&mut block.attn.c_attn, &mut block.attn.c_proj, &mut block.mlp.c_fc, &mut block.mlp.c_proj]
    })
}

fn map_matrices(model: &mut Gpt2, change: fn(f32) -> f32) {
    matrices(model).for_each(|linear| linear.weight.mapv_inplace(change));
}

/// Symmetrically to 8 bits, one scale for each column.
fn quantise(model: &mut Gpt2) {
    for linear in matrices(model) {
        for mut column in linear.weight.columns_mut() {
            let step = column.iter().fold(0.0_f32, |most, w| most.max(w.abs())) / 127.0;
            if step > 0.0 {
                column.mapv_inplace(|w| (w / step).round() * step);
            }
        }
    }
}

fn transpose_queries(model: &mut Gpt2) {
    let layer = layer(model);
    let width = model.config.width;
    let weight = &mut model.blocks[layer].attn.c_attn.weight;
    let queries = weight.slice_axis(Axis(1), Slice::from(..width)).to_owned();
    weight.slice_axis_mut(Axis(1), Slice::from(..width)).assign(&queries.t());
}

fn scale_a_column(model: &mut Gpt2) {
    let layer = layer(model);
    let weight = &mut model.blocks[layer].attn.c_attn.weight;
    let middle = weight.ncols() / 2;
    weight.column_mut(middle).mapv_inplace(|w| w * 1.01);
}

fn swap_q_and_k(look: &Look<'_>) -> Result<Option<Tensor>> {
    match (look.layer, look.part) {
        (Some(_), "attn.q") => project(look, |[_, k, _]| k),
        (Some(_), "attn.k") => project(look, |[q, _, _]| q),
        _ => Ok(None),
    }
}

/// One of the three, by the layer's own weights.
fn project(
    look: &Look<'_>,
    choose: fn([ndarray::Array4<f32>; 3]) -> ndarray::Array4<f32>,
) -> Result<Option<Tensor>> {
    let block = &look.model.blocks[look.layer.context("a layer")?];
    let x = look.beside("ln_1")?.into_dimensionality::<Ix3>()?;
    give(look, &choose(block.attn.qkv(x.view())))
}

fn permute_heads(look: &Look<'_>) -> Result<Option<Tensor>> {
    if look.layer.is_none() || !PARTS.contains(&look.part) {
        return Ok(None);
    }
    let mut heads = look.array()?;
    heads.invert_axis(Axis(2));
    give(look, &heads)
}

/// Element `(head, channel)` of part `p` is taken from column `(head · Dh + channel) · 3 + p`.
fn split_interleaved(look: &Look<'_>) -> Result<Option<Tensor>> {
    let Some(part) = look.layer.and(PARTS.iter().position(|part| *part == look.part)) else {
        return Ok(None);
    };
    let attn = &look.model.blocks[look.layer.unwrap_or(0)].attn;
    let x = look.beside("ln_1")?.into_dimensionality::<Ix3>()?;
    let columns = attn.c_attn.forward(x.view());
    let interleaved = columns.slice_axis(Axis(2), Slice::new(part as isize, None, 3)).to_owned();
    give(look, &interleaved.into_shape_with_order(look.correct.shape().dimensions())?)
}

fn cut_inputs(look: &Look<'_>) -> Result<Option<Tensor>> {
    let Some(part) = look.layer.and(PARTS.iter().position(|part| *part == look.part)) else {
        return Ok(None);
    };
    let mut attn = look.model.blocks[look.layer.unwrap_or(0)].attn.clone();
    attn.c_attn.weight.mapv_inplace(|w| cut(w, 10));
    let x = look.beside("ln_1")?.into_dimensionality::<Ix3>()?.mapv(|x| cut(x, 10));
    let [q, k, v] = attn.qkv(x.view());
    give(look, &[q, k, v][part])
}

fn one_nan(look: &Look<'_>) -> Result<Option<Tensor>> {
    if look.step != 0 || !look.is(0, "attn.k") {
        return Ok(None);
    }
    let mut keys = look.array()?;
    if let Some(element) = keys.iter_mut().next() {
        *element = f32::NAN;
    }
    give(look, &keys)
}

/// The same values under another shape, as half as many heads give them.
fn halve_heads(_: &Carrier, evidence: &mut Evidence<'_>) -> Result<()> {
    let left = &mut evidence.subject;
    for (name, tensor) in &mut left.tensors {
        if is_qkv(name)
            && let &[batch, tokens, heads, head_dim] = tensor.shape().dimensions()
            && heads % 2 == 0
        {
            let halved = to_array(tensor)?.into_shape_with_order([batch, tokens, heads / 2, head_dim * 2])?;
            *tensor = to_tensor(&halved)?;
        }
    }
    Ok(())
}

fn is_qkv(name: &TensorName) -> bool {
    PARTS
        .iter()
        .any(|part| name.activation.starts_with("h.") && name.activation.ends_with(&format!(".{part}")))
}
