//! 01: layer norms.

use anyhow::Result;
use capture::Tensor;
use gpt2::Gpt2;
use gpt2::layers::LayerNorm;
use ndarray::{ArrayD, Axis};

use super::super::look::give;
use super::super::{Fault, Injection, Look};
use super::arithmetic::{grown, normalise};
use super::layer;

pub(super) const FAULTS: &[Fault] = &[
    Fault { id: "norm-epsilon-1e-3", injection: Injection::Model(|model| epsilon(model, 1e-3)) },
    Fault { id: "norm-epsilon-1e-6", injection: Injection::Model(|model| epsilon(model, 1e-6)) },
    Fault { id: "norm-variance-unbiased", injection: Injection::Component(unbiased) },
    Fault { id: "norm-weight-and-bias-swapped", injection: Injection::Model(swap_weight_and_bias) },
    Fault {
        id: "norm-weights-1-01",
        injection: Injection::Model(|model| {
            let layer = layer(model);
            model.blocks[layer].ln_2.weight.mapv_inplace(|w| w * 1.01);
        }),
    },
    Fault {
        id: "norm-weights-1-0001",
        injection: Injection::Model(|model| model.ln_f.weight.mapv_inplace(|w| w * 1.0001)),
    },
    Fault { id: "norm-epsilon-1-01e-5", injection: Injection::Model(|model| epsilon(model, 1.01e-5)) },
    Fault {
        id: "norm-weights-1-000002",
        injection: Injection::Model(|model| {
            let layer = layer(model);
            model.blocks[layer].ln_1.weight.mapv_inplace(grown);
        }),
    },
    Fault {
        id: "norm-bias-missing",
        injection: Injection::Model(|model| {
            let layer = layer(model);
            model.blocks[layer].ln_1.bias.fill(0.0);
        }),
    },
    Fault { id: "norm-over-sequence", injection: Injection::Component(over_sequence) },
    Fault { id: "norm-ln-1-for-ln-2", injection: Injection::Model(first_for_second) },
    Fault { id: "norm-final-missing", injection: Injection::Component(final_missing) },
    Fault { id: "norm-after-the-residual", injection: Injection::Component(after_the_residual) },
];

fn epsilon(model: &mut Gpt2, epsilon: f64) {
    for block in &mut model.blocks {
        block.ln_1.epsilon = epsilon;
        block.ln_2.epsilon = epsilon;
    }
    model.ln_f.epsilon = epsilon;
}

fn swap_weight_and_bias(model: &mut Gpt2) {
    let layer = layer(model);
    let norm = &mut model.blocks[layer].ln_1;
    std::mem::swap(&mut norm.weight, &mut norm.bias);
}

fn first_for_second(model: &mut Gpt2) {
    let layer = layer(model);
    let block = &mut model.blocks[layer];
    block.ln_2 = block.ln_1.clone();
}

/// The norm that an activation belongs to, what enters it, and whether scale and bias come after.
fn norm<'a>(look: &Look<'a>) -> Result<Option<(&'a LayerNorm, ArrayD<f32>, bool)>> {
    let name = look.part.strip_suffix(".normalized");
    let scaled = name.is_none();
    let block = look.layer.map(|layer| &look.model.blocks[layer]);
    Ok(match (name.unwrap_or(look.part), block) {
        ("ln_1", Some(block)) => Some((&block.ln_1, look.stream()?, scaled)),
        ("ln_2", Some(block)) => Some((&block.ln_2, look.beside("mid")?, scaled)),
        ("ln_f", None) => Some((&look.model.ln_f, look.stream()?, scaled)),
        _ => None,
    })
}

/// Scale and bias of each channel, where they are due.
fn finish(
    look: &Look<'_>,
    norm: &LayerNorm,
    normalised: ArrayD<f32>,
    scaled: bool,
) -> Result<Option<Tensor>> {
    if scaled { give(look, &(normalised * &norm.weight + &norm.bias)) } else { give(look, &normalised) }
}

fn unbiased(look: &Look<'_>) -> Result<Option<Tensor>> {
    let Some((norm, mut x, scaled)) = norm(look)? else { return Ok(None) };
    normalise_lanes(&mut x, 2, norm.epsilon, 1.0);
    finish(look, norm, x, scaled)
}

fn over_sequence(look: &Look<'_>) -> Result<Option<Tensor>> {
    let Some((norm, mut x, scaled)) = norm(look)?.filter(|_| look.part.starts_with("ln_1")) else {
        return Ok(None);
    };
    normalise_lanes(&mut x, 1, norm.epsilon, 0.0);
    finish(look, norm, x, scaled)
}

fn normalise_lanes(x: &mut ArrayD<f32>, axis: usize, epsilon: f64, correction: f64) {
    for mut lane in x.lanes_mut(Axis(axis)) {
        let normalised = normalise(lane.view(), epsilon, correction);
        lane.assign(&ndarray::arr1(&normalised));
    }
}

fn final_missing(look: &Look<'_>) -> Result<Option<Tensor>> {
    if look.layer.is_none() && look.part.starts_with("ln_f") { give(look, &look.stream()?) } else { Ok(None) }
}

/// The halves read the bare stream; the norms are applied to the sums.
fn after_the_residual(look: &Look<'_>) -> Result<Option<Tensor>> {
    let Some(layer) = look.layer else { return Ok(None) };
    let block = &look.model.blocks[layer];
    let normed = |norm: &LayerNorm, x: ArrayD<f32>| -> Result<ArrayD<f32>> {
        let x = x.into_dimensionality::<ndarray::Ix3>()?;
        Ok(norm.forward(x.view(), "", &mut gpt2::Scope::unobserved()).into_dyn())
    };
    match look.part {
        "ln_1" | "ln_1.normalized" => give(look, &look.stream()?),
        "ln_2" | "ln_2.normalized" => give(look, &look.beside("mid")?),
        "mid" => give(look, &normed(&block.ln_1, look.array()?)?),
        "out" => give(look, &normed(&block.ln_2, look.array()?)?),
        _ => Ok(None),
    }
}
