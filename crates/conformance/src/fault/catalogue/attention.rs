//! 04 and 05: scores, mask, probabilities, and what attention gives back.

use anyhow::{Context, Result};
use capture::Tensor;
use gpt2::Gpt2;
use gpt2::functions::causal_mask;
use half::bf16;
use ndarray::{Array3, ArrayD, Axis};

use super::super::look::give;
use super::super::{Fault, Injection, Look};
use super::arithmetic::softmax;
use super::layer;

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        id: "scores-scaled-by-head-dimension",
        injection: Injection::Model(|model| scale(model, |model| 1.0 / model.config.head_dim() as f32)),
    },
    Fault {
        id: "scores-scaled-by-width",
        injection: Injection::Model(|model| scale(model, |model| 1.0 / (model.config.width as f32).sqrt())),
    },
    Fault { id: "scores-unscaled", injection: Injection::Model(|model| scale(model, |_| 1.0)) },
    Fault {
        id: "scores-scale-1-00001",
        injection: Injection::Model(|model| scale(model, |model| model.blocks[0].attn.scale * 1.00001)),
    },
    Fault {
        id: "scores-scale-bf16",
        injection: Injection::Model(|model| {
            scale(model, |model| bf16::from_f32(model.blocks[0].attn.scale).to_f32());
        }),
    },
    Fault { id: "mask-off-by-one", injection: Injection::Component(|look| masked(look, off_by_one)) },
    Fault {
        id: "mask-missing",
        injection: Injection::Component(|look| masked(look, |mask, _| mask.fill(0.0))),
    },
    Fault {
        id: "mask-finite",
        injection: Injection::Component(|look| masked(look, |mask, _| replace(mask, -1e4))),
    },
    Fault {
        id: "mask-infinity-of-the-wrong-sign",
        injection: Injection::Component(|look| masked(look, |mask, _| replace(mask, f32::INFINITY))),
    },
    Fault { id: "softmax-over-queries", injection: Injection::Component(over_queries) },
    Fault { id: "mask-after-softmax", injection: Injection::Component(mask_after_softmax) },
    Fault { id: "attention-heads-merged-backwards", injection: Injection::Component(merged_backwards) },
    Fault {
        id: "attention-projection-bias-missing",
        injection: Injection::Model(|model| {
            let layer = layer(model);
            model.blocks[layer].attn.c_proj.bias.fill(0.0);
        }),
    },
    Fault {
        id: "attention-projection-of-another-layer",
        injection: Injection::Model(|model| {
            let layer = layer(model);
            model.blocks[layer].attn.c_proj = model.blocks[0].attn.c_proj.clone();
        }),
    },
];

fn scale(model: &mut Gpt2, of: fn(&Gpt2) -> f32) {
    let scale = of(model);
    model.blocks.iter_mut().for_each(|block| block.attn.scale = scale);
}

/// The mask of the step with a change, and the probabilities that follow.
fn masked(look: &Look<'_>, change: fn(&mut Array3<f32>, usize)) -> Result<Option<Tensor>> {
    if look.layer.is_none() {
        return Ok(None);
    }
    let mut mask = mask(look)?;
    change(&mut mask, look.past());
    match look.part {
        "attn.mask" => give(look, &mask),
        "attn.probs" => {
            let scores = look.beside("attn.scores")? + mask.insert_axis(Axis(1));
            give(look, &softmax(scores, Axis(3)))
        }
        _ => Ok(None),
    }
}

/// `[B, S, K]`.
fn mask(look: &Look<'_>) -> Result<Array3<f32>> {
    let new = look.case.schedule.get(look.step).context("a step of the case")?;
    Ok(causal_mask(look.case.batch(), look.past(), *new))
}

fn off_by_one(mask: &mut Array3<f32>, past: usize) {
    for (query, mut row) in mask.axis_iter_mut(Axis(1)).enumerate() {
        let next = past + query + 1;
        if next < row.len_of(Axis(1)) {
            row.index_axis_mut(Axis(1), next).fill(0.0);
        }
    }
}

fn replace(mask: &mut Array3<f32>, masked: f32) {
    mask.mapv_inplace(|x| if x == f32::NEG_INFINITY { masked } else { x });
}

fn scores_if_probs(look: &Look<'_>) -> Result<Option<ArrayD<f32>>> {
    if look.layer.is_some() && look.part == "attn.probs" {
        look.beside("attn.scores").map(Some)
    } else {
        Ok(None)
    }
}

/// Each query masked, and then each key's column normalised.
fn over_queries(look: &Look<'_>) -> Result<Option<Tensor>> {
    let Some(scores) = scores_if_probs(look)? else { return Ok(None) };
    give(look, &softmax(scores + mask(look)?.insert_axis(Axis(1)), Axis(2)))
}

fn mask_after_softmax(look: &Look<'_>) -> Result<Option<Tensor>> {
    let Some(scores) = scores_if_probs(look)? else { return Ok(None) };
    let visible = mask(look)?.mapv(f32::exp).insert_axis(Axis(1));
    give(look, &(softmax(scores, Axis(3)) * visible))
}

fn merged_backwards(look: &Look<'_>) -> Result<Option<Tensor>> {
    if look.layer.is_none() || look.part != "attn.context" {
        return Ok(None);
    }
    let context = look.array()?;
    let &[batch, new, width] = context.shape() else { return Ok(None) };
    let heads = look.model.config.heads;
    let mut by_head = context.into_shape_with_order((batch, new, heads, width / heads))?;
    by_head.invert_axis(Axis(2));
    let merged = by_head.as_standard_layout().into_owned();
    give(look, &merged.into_shape_with_order((batch, new, width))?)
}
