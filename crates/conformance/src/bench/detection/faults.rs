//! Bugs with names, put into the Rust GPT-2 from outside: its public data is altered, or the output of its replay.

use anyhow::{Context, Result};
use capture::{Tensor, TensorName};
use checkpoint_spec::direct_inputs;
use gpt2::Gpt2;
use gpt2::layers::LayerNorm;
use half::{bf16, f16};
use ndarray::{ArrayView1, ArrayViewMut2, ArrayViewMutD};

use super::ground::Ground;
use super::smallest::median_size;
use crate::fault::arithmetic::{gelu_erf, normalise};

/// One bug at one place.
pub(super) struct Fault {
    /// What is wrong.
    pub bug: &'static str,
    /// Where.
    pub place: String,
    /// Id of the checkpoint at which it sits.
    pub checkpoint: &'static str,
    /// How it is put there.
    pub injection: Injection,
}

/// How a bug gets in.
pub(super) enum Injection {
    /// Other weights or constants.
    Model(Box<dyn Fn(&mut Gpt2)>),
    /// Other results of the replay.
    Outputs(Box<Compute>),
}

/// Computes what a bug makes of a replay.
pub(super) type Compute = dyn Fn(&Ground<'_>) -> Result<Outputs>;

/// Replayed activations that a bug changes.
pub(super) type Outputs = Vec<(TensorName, Tensor)>;

/// Weights that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Ln1,
    Attn,
    AttnProj,
    Ln2,
    Fc,
    MlpProj,
    LnF,
    Head,
}

impl Part {
    const ALL: [Self; 8] =
        [Self::Ln1, Self::Attn, Self::AttnProj, Self::Ln2, Self::Fc, Self::MlpProj, Self::LnF, Self::Head];
    const NORMS: [Self; 3] = [Self::Ln1, Self::Ln2, Self::LnF];

    fn name(self, layer: usize) -> String {
        let name = match self {
            Self::LnF => return "ln_f".to_owned(),
            Self::Head => return "head".to_owned(),
            Self::Ln1 => "ln_1",
            Self::Attn => "attn.c_attn",
            Self::AttnProj => "attn.c_proj",
            Self::Ln2 => "ln_2",
            Self::Fc => "mlp.c_fc",
            Self::MlpProj => "mlp.c_proj",
        };
        format!("h.{layer}.{name}")
    }

    fn checkpoint(self) -> &'static str {
        match self {
            Self::Ln1 | Self::Ln2 | Self::LnF => "01",
            Self::Attn => "02",
            Self::AttnProj => "05",
            Self::Fc | Self::MlpProj => "06",
            Self::Head => "08",
        }
    }

    fn norm(self, model: &mut Gpt2, layer: usize) -> Option<&mut LayerNorm> {
        match self {
            Self::Ln1 => Some(&mut model.blocks[layer].ln_1),
            Self::Ln2 => Some(&mut model.blocks[layer].ln_2),
            Self::LnF => Some(&mut model.ln_f),
            _ => None,
        }
    }

    /// `[in, out]`.
    fn matrix(self, model: &mut Gpt2, layer: usize) -> Option<ArrayViewMut2<'_, f32>> {
        let block = &mut model.blocks[layer];
        match self {
            Self::Attn => Some(block.attn.c_attn.weight.view_mut()),
            Self::AttnProj => Some(block.attn.c_proj.weight.view_mut()),
            Self::Fc => Some(block.mlp.c_fc.weight.view_mut()),
            Self::MlpProj => Some(block.mlp.c_proj.weight.view_mut()),
            Self::Head => Some(model.head.view_mut().reversed_axes()),
            Self::Ln1 | Self::Ln2 | Self::LnF => None,
        }
    }

    fn weights(self, model: &mut Gpt2, layer: usize) -> Option<ArrayViewMutD<'_, f32>> {
        if Self::NORMS.contains(&self) {
            self.norm(model, layer).map(|norm| norm.weight.view_mut().into_dyn())
        } else {
            self.matrix(model, layer).map(ArrayViewMut2::into_dyn)
        }
    }
}

/// The faults that an ordinary case shows, all in that layer.
pub(super) fn ordinary(layer: usize) -> Vec<Fault> {
    let mut faults = Vec::new();
    for part in Part::NORMS {
        faults.push(in_model("epsilon 1e-6 in place of 1e-5", part, layer, move |model| {
            if let Some(norm) = part.norm(model, layer) {
                norm.epsilon = 1e-6;
            }
        }));
    }
    for part in Part::NORMS {
        faults.push(Fault {
            bug: "unbiased variance (divided by D − 1)",
            place: part.name(layer),
            checkpoint: "01",
            injection: Injection::Outputs(Box::new(move |ground| unbiased(ground, part, layer))),
        });
    }
    for part in Part::ALL {
        faults.push(in_every_weight("all weights × 1.000002", part, layer, |w| {
            (f64::from(w) * 1.000002) as f32
        }));
    }
    for part in Part::ALL {
        faults.push(in_every_weight("weights rounded to f16", part, layer, |w| f16::from_f32(w).to_f32()));
    }
    for part in Part::ALL.into_iter().filter(|part| !Part::NORMS.contains(part)) {
        faults.push(in_one_weight("one weight × 1.01, of median size", part, layer, |column| {
            median_size(column)
        }));
        faults.push(in_one_weight("one weight × 1.01, the largest of its column", part, layer, largest));
    }
    faults.push(Fault {
        bug: "GELU by erf in place of tanh",
        place: format!("h.{layer}.mlp"),
        checkpoint: "06",
        injection: Injection::Model(Box::new(move |model| model.blocks[layer].mlp.activation = gelu_erf)),
    });
    faults.push(Fault {
        bug: "1/√d rounded to bf16",
        place: format!("h.{layer}.attn"),
        checkpoint: "04",
        injection: Injection::Model(Box::new(move |model| {
            let scale = &mut model.blocks[layer].attn.scale;
            *scale = bf16::from_f32(*scale).to_f32();
        })),
    });
    faults
}

/// The fault that shows where scores are too large for `exp`.
pub(super) fn saturated(layer: usize) -> Fault {
    Fault {
        bug: "softmax without subtracting the maximum (scores of 128 and more)",
        place: format!("h.{layer}.attn"),
        checkpoint: "05",
        injection: Injection::Outputs(Box::new(move |ground| bare_softmax(ground, layer))),
    }
}

fn in_model(bug: &'static str, part: Part, layer: usize, change: impl Fn(&mut Gpt2) + 'static) -> Fault {
    let injection = Injection::Model(Box::new(change));
    Fault { bug, place: part.name(layer), checkpoint: part.checkpoint(), injection }
}

fn in_every_weight(bug: &'static str, part: Part, layer: usize, change: fn(f32) -> f32) -> Fault {
    in_model(bug, part, layer, move |model| {
        if let Some(mut weights) = part.weights(model, layer) {
            weights.mapv_inplace(change);
        }
    })
}

/// In the middle column, at the row that `choose` takes of it.
fn in_one_weight(bug: &'static str, part: Part, layer: usize, choose: fn(&[f64]) -> usize) -> Fault {
    in_model(bug, part, layer, move |model| {
        if let Some(mut matrix) = part.matrix(model, layer) {
            let column = matrix.ncols() / 2;
            let values: Vec<f64> = matrix.column(column).iter().map(|&w| w.into()).collect();
            matrix[[choose(&values), column]] *= 1.01;
        }
    })
}

fn largest(values: &[f64]) -> usize {
    (0..values.len()).max_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs())).unwrap_or(0)
}

/// A norm's outputs with the variance divided by D − 1.
fn unbiased(ground: &Ground<'_>, part: Part, layer: usize) -> Result<Outputs> {
    let mut model = ground.model.clone();
    let norm = part.norm(&mut model, layer).context("not a norm")?.clone();
    let width = norm.weight.len();
    let output = TensorName::of_step(0, part.name(layer));
    let required =
        ground.required.iter().find(|required| required.name == output).context("no such activation")?;
    let input = direct_inputs(ground.specs, ground.architecture, &ground.case, required);
    let x = ground.input(input.first().context("a norm has an input")?)?;
    let (mut normalized, mut scaled) = (Vec::new(), Vec::new());
    for row in x.chunks_exact(width) {
        for (n, (g, b)) in normalise(ArrayView1::from(row), norm.epsilon, 1.0)
            .into_iter()
            .zip(norm.weight.iter().zip(&norm.bias))
        {
            normalized.push(n);
            scaled.push(n * g + b);
        }
    }
    let dimensions = required.shape.dimensions();
    let before = TensorName::of_step(0, format!("{}.normalized", part.name(layer)));
    Ok(vec![
        (before, Tensor::from_f32(dimensions, &normalized)?),
        (output, Tensor::from_f32(dimensions, &scaled)?),
    ])
}

/// `exp(scores) / Σ exp(scores)` as it stands, over the keys up to the query.
fn bare_softmax(ground: &Ground<'_>, layer: usize) -> Result<Outputs> {
    let name = TensorName::of_step(0, format!("h.{layer}.attn.probs"));
    let shape = ground.correct(&name)?.shape().clone();
    let mut values = ground.input(&TensorName::of_step(0, format!("h.{layer}.attn.scores")))?;
    let (queries, keys) = (shape.dimensions()[2], shape.dimensions()[3]);
    for (row, scores) in values.chunks_exact_mut(keys).enumerate() {
        let seen = keys - queries + row % queries + 1;
        scores[seen..].fill(0.0);
        scores[..seen].iter_mut().for_each(|score| *score = score.exp());
        let total: f32 = scores.iter().sum();
        scores.iter_mut().for_each(|p| *p /= total);
    }
    Ok(vec![(name, Tensor::from_f32(shape.dimensions(), &values)?)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_weight_is_found() {
        assert_eq!(largest(&[1.0, -3.0, 2.0]), 1);
    }

    #[test]
    fn every_part_has_faults_and_sits_at_a_checkpoint() {
        let faults = ordinary(1);
        for part in Part::ALL {
            assert!(faults.iter().filter(|fault| fault.place == part.name(1)).count() >= 2, "{part:?}");
        }
        assert!(faults.iter().all(|fault| fault.checkpoint < "09"));
    }
}
