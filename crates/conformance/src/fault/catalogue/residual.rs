//! 07: the residual sums, and whole blocks.

use anyhow::Result;
use capture::Tensor;
use ndarray::Ix3;

use super::super::look::give;
use super::super::{Carrier, Evidence, Fault, Injection, Look};

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        id: "residual-first-missing",
        injection: Injection::Component(|look| sum(look, "mid", |look| look.beside("attn.out"))),
    },
    Fault {
        id: "residual-second-missing",
        injection: Injection::Component(|look| sum(look, "out", |look| look.beside("mlp.out"))),
    },
    Fault {
        id: "residual-from-normalised-input",
        injection: Injection::Component(|look| {
            sum(look, "mid", |look| Ok(look.beside("ln_1")? + look.beside("attn.out")?))
        }),
    },
    Fault { id: "block-skipped", injection: Injection::Component(skipped) },
    Fault { id: "block-run-twice", injection: Injection::Component(run_twice) },
    Fault { id: "activations-swapped", injection: Injection::Evidence(swapped) },
];

/// The named sum of every layer, computed otherwise.
fn sum(
    look: &Look<'_>,
    part: &str,
    compute: fn(&Look<'_>) -> Result<ndarray::ArrayD<f32>>,
) -> Result<Option<Tensor>> {
    if look.layer.is_none() || look.part != part {
        return Ok(None);
    }
    give(look, &compute(look)?)
}

fn skipped(look: &Look<'_>) -> Result<Option<Tensor>> {
    if look.is(1, "out") { give(look, &look.stream()?) } else { Ok(None) }
}

/// The feed-forward half once more, on its own result: what the second run adds where attention adds nothing new.
fn run_twice(look: &Look<'_>) -> Result<Option<Tensor>> {
    if !look.is(1, "out") {
        return Ok(None);
    }
    let block = &look.model.blocks[1];
    let once = look.array()?.into_dimensionality::<Ix3>()?;
    let unobserved = &mut gpt2::Scope::unobserved();
    let normalized = block.ln_2.forward(once.view(), "ln_2", unobserved);
    let twice = &once + &block.mlp.forward(normalized.view(), unobserved);
    give(look, &twice)
}

fn swapped(_: &Carrier, evidence: &mut Evidence<'_>) -> Result<()> {
    let left = &mut evidence.subject;
    let mut swapped = left.tensors.clone();
    for (name, tensor) in &left.tensors {
        let other = match name.activation.as_str() {
            "h.0.out" => "h.1.out",
            "h.1.out" => "h.0.out",
            _ => continue,
        };
        swapped.insert(capture::TensorName { step: name.step, activation: other.to_owned() }, tensor.clone());
    }
    left.tensors = swapped;
    Ok(())
}
