//! 06: the feed-forward half.

use anyhow::Result;
use capture::Tensor;
use gpt2::Gpt2;
use ndarray::Ix3;

use super::super::look::give;
use super::super::{Carrier, Evidence, Fault, Injection, Look};
use super::arithmetic::{gelu_erf, gelu_erf_approximated, grown};
use super::layer;

pub(super) const FAULTS: &[Fault] = &[
    Fault { id: "gelu-erf", injection: Injection::Model(|model| activate_by(model, gelu_erf)) },
    Fault { id: "gelu-relu", injection: Injection::Model(|model| activate_by(model, |x| x.max(0.0))) },
    Fault {
        id: "gelu-erf-approximated",
        injection: Injection::Model(|model| activate_by(model, gelu_erf_approximated)),
    },
    Fault {
        id: "ffn-bias-missing",
        injection: Injection::Model(|model| {
            let layer = layer(model);
            model.blocks[layer].mlp.c_fc.bias.fill(0.0);
        }),
    },
    Fault {
        id: "ffn-weights-1-000002",
        injection: Injection::Model(|model| {
            let layer = layer(model);
            model.blocks[layer].mlp.c_proj.weight.mapv_inplace(grown);
        }),
    },
    Fault {
        id: "ffn-fc-of-another-layer",
        injection: Injection::Model(|model| {
            let layer = layer(model);
            model.blocks[layer].mlp.c_fc = model.blocks[0].mlp.c_fc.clone();
        }),
    },
    Fault {
        id: "ffn-proj-of-another-layer",
        injection: Injection::Model(|model| {
            let layer = layer(model);
            model.blocks[layer].mlp.c_proj = model.blocks[0].mlp.c_proj.clone();
        }),
    },
    Fault { id: "ffn-parallel-to-attention", injection: Injection::Component(parallel) },
    Fault { id: "activation-missing", injection: Injection::Evidence(missing) },
];

fn activate_by(model: &mut Gpt2, activation: fn(f32) -> f32) {
    model.blocks.iter_mut().for_each(|block| block.mlp.activation = activation);
}

fn parallel(look: &Look<'_>) -> Result<Option<Tensor>> {
    let Some(layer) = look.layer.filter(|_| look.part == "mlp.fc") else { return Ok(None) };
    let x = look.beside("ln_1")?.into_dimensionality::<Ix3>()?;
    give(look, &look.model.blocks[layer].mlp.c_fc.forward(x.view()))
}

fn missing(carrier: &Carrier, evidence: &mut Evidence<'_>) -> Result<()> {
    let name = format!("h.{}.mlp.act", carrier.model.config.layers - 1);
    let left = &mut evidence.subject;
    left.tensors.retain(|tensor, _| tensor.activation != name);
    Ok(())
}
