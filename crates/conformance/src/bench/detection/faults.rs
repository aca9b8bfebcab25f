//! Bugs with names, put into the Rust GPT-2 from outside: its public data is altered, or one of its components.

use anyhow::Result;
use capture::Tensor;
use gpt2::Gpt2;
use gpt2::layers::LayerNorm;
use half::{bf16, f16};
use ndarray::{ArrayView1, ArrayViewMut2, ArrayViewMutD, Axis};

use super::smallest::median_size;
use crate::fault::arithmetic::{gelu_erf, normalise};
use crate::fault::look::{Look, give};

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
    /// A component that computes something else from what it is given.
    Component(Box<Component>),
}

/// What a component makes of an activation; none where it leaves it alone.
pub(super) type Component = dyn Fn(&Look<'_>) -> Result<Option<Tensor>>;

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
            injection: Injection::Component(Box::new(move |look| unbiased(look, part, layer))),
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
        injection: Injection::Component(Box::new(move |look| bare_softmax(look, layer))),
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
fn unbiased(look: &Look<'_>, part: Part, layer: usize) -> Result<Option<Tensor>> {
    let mut model = look.model.clone();
    let Some(norm) = part.norm(&mut model, layer) else { return Ok(None) };
    let name = part.name(layer);
    let is_scaled = look.is_named(&name);
    if !is_scaled && !look.is_named(&format!("{name}.normalized")) {
        return Ok(None);
    }
    let mut values = if part == Part::Ln2 { look.beside("mid")? } else { look.stream()? };
    let last = Axis(values.ndim() - 1);
    for mut row in values.lanes_mut(last) {
        let normalized = normalise(ArrayView1::from(&row.to_vec()), norm.epsilon, 1.0);
        for (to, (n, (g, b))) in
            row.iter_mut().zip(normalized.into_iter().zip(norm.weight.iter().zip(&norm.bias)))
        {
            *to = if is_scaled { n * g + b } else { n };
        }
    }
    give(look, &values)
}

/// `exp(scores) / Σ exp(scores)` as it stands, over the keys up to the query.
fn bare_softmax(look: &Look<'_>, layer: usize) -> Result<Option<Tensor>> {
    if !look.is(layer, "attn.probs") {
        return Ok(None);
    }
    let mut values = look.beside("attn.scores")?;
    let (queries, keys) = (values.shape()[2], values.shape()[3]);
    for (row, mut scores) in values.lanes_mut(Axis(3)).into_iter().enumerate() {
        let seen = keys - queries + row % queries + 1;
        for (key, score) in scores.iter_mut().enumerate() {
            *score = if key < seen { score.exp() } else { 0.0 };
        }
        let total: f32 = scores.sum();
        scores.iter_mut().for_each(|p| *p /= total);
    }
    give(look, &values)
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
