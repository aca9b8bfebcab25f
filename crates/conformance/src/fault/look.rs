//! What a faulty component may look at.

use anyhow::{Context, Result, ensure};
use capture::{Case, Tensor, TensorName, TensorSource};
use gpt2::Gpt2;
use ndarray::{Array, ArrayD, Dimension};

/// One activation, computed correctly from its inputs, and those inputs.
pub(crate) struct Look<'a> {
    /// The model.
    pub model: &'a Gpt2,
    /// The case.
    pub case: &'a Case,
    /// The step.
    pub step: usize,
    /// Its layer; none outside the layers.
    pub layer: Option<usize>,
    /// Its name within the layer: `attn.q`.
    pub part: &'a str,
    /// What it was computed from.
    pub inputs: &'a dyn TensorSource,
    /// What a correct component makes of them.
    pub correct: &'a Tensor,
}

impl<'a> Look<'a> {
    /// Of the activation with that name.
    pub(crate) fn new(
        model: &'a Gpt2,
        case: &'a Case,
        name: &'a TensorName,
        inputs: &'a dyn TensorSource,
        correct: &'a Tensor,
    ) -> Self {
        let (layer, part) = split(&name.activation);
        Self { model, case, step: name.step.unwrap_or(0), layer, part, inputs, correct }
    }

    /// The correct values.
    pub(crate) fn array(&self) -> Result<ArrayD<f32>> {
        to_array(self.correct)
    }

    /// Another activation of this step, by its full name.
    pub(crate) fn other(&self, name: &str) -> Result<ArrayD<f32>> {
        self.at_step(self.step, name)
    }

    /// Another activation of this step and layer.
    pub(crate) fn beside(&self, part: &str) -> Result<ArrayD<f32>> {
        self.other(&format!("h.{}.{part}", self.layer.context("an activation outside the layers")?))
    }

    /// An activation of this layer in another step.
    pub(crate) fn at_step_beside(&self, step: usize, part: &str) -> Result<ArrayD<f32>> {
        self.at_step(step, &format!("h.{}.{part}", self.layer.context("an activation outside the layers")?))
    }

    /// The stream that enters this layer, or the last norm.
    pub(crate) fn stream(&self) -> Result<ArrayD<f32>> {
        match self.layer.unwrap_or(self.model.config.layers) {
            0 => self.other("embd"),
            layer => self.other(&format!("h.{}.out", layer - 1)),
        }
    }

    /// Positions before this step's.
    pub(crate) fn past(&self) -> usize {
        self.case.schedule.iter().take(self.step).sum()
    }

    /// Whether it is the named part of that layer.
    pub(crate) fn is(&self, layer: usize, part: &str) -> bool {
        self.layer == Some(layer) && self.part == part
    }

    /// Whether it is the activation with that full name.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        split(name) == (self.layer, self.part)
    }

    fn at_step(&self, step: usize, name: &str) -> Result<ArrayD<f32>> {
        let name = TensorName::of_step(step, name);
        to_array(&self.inputs.tensor(&name)?.with_context(|| format!("no `{name}` to compute from"))?)
    }
}

/// Layer and name within it.
fn split(activation: &str) -> (Option<usize>, &str) {
    let within = activation.strip_prefix("h.").and_then(|rest| rest.split_once('.'));
    match within.and_then(|(layer, part)| Some((layer.parse().ok()?, part))) {
        Some((layer, part)) => (Some(layer), part),
        None => (None, activation),
    }
}

/// The values of an `F32` tensor.
pub(crate) fn to_array(tensor: &Tensor) -> Result<ArrayD<f32>> {
    Ok(ArrayD::from_shape_vec(tensor.shape().dimensions(), tensor.view().to_f32()?)?)
}

/// The tensor of an array, in C order.
pub(crate) fn to_tensor<D: Dimension>(array: &Array<f32, D>) -> Result<Tensor> {
    let values: Vec<f32> = array.iter().copied().collect();
    Ok(Tensor::from_f32(array.shape(), &values)?)
}

/// What a component gives in place of the correct tensor; the shape stays, so that what follows can be computed.
pub(crate) fn give<D: Dimension>(look: &Look<'_>, array: &Array<f32, D>) -> Result<Option<Tensor>> {
    ensure!(array.shape() == look.correct.shape().dimensions(), "a component gives another shape");
    to_tensor(array).map(Some)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn names_split_into_layer_and_part() {
        assert_eq!(split("h.11.attn.q"), (Some(11), "attn.q"));
        assert_eq!(split("whole/h.1.out"), (None, "whole/h.1.out"));
        assert_eq!(split("ln_f"), (None, "ln_f"));
    }
}
