//! Input templates: `{l}`, `{l-1}`, `{L-1}`, `a | b`, `previous:x`.

use capture::{Case, TensorName};

use super::Required;
use crate::Architecture;
use crate::spec::{ActivationSpec, SpecSet, Steps};

/// One direct input as the spec writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InputTemplate<'a> {
    /// `previous:x`: `x` of the step before.
    pub(crate) previous_step: bool,
    /// `a` of `a | b`: what stands in for the input in layer 0.
    pub(crate) in_first_layer: Option<&'a str>,
    /// The name, with `{l}`, `{l-1}` or `{L-1}`.
    pub(crate) name: &'a str,
}

/// One direct input of one activation in one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    /// Whether it is taken from the step before.
    pub(crate) previous_step: bool,
    /// The activation, its layer filled in.
    pub(crate) activation: String,
}

impl<'a> InputTemplate<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let (previous_step, rest) = match text.strip_prefix("previous:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (in_first_layer, name) = match rest.split_once('|') {
            Some((first, others)) => (Some(first.trim()), others.trim()),
            None => (None, rest.trim()),
        };
        Self { previous_step, in_first_layer, name }
    }

    /// The names it can stand for, layers not filled in.
    pub(crate) fn alternatives(self) -> impl Iterator<Item = &'a str> {
        self.in_first_layer.into_iter().chain([self.name])
    }

    fn resolve(self, layer: Option<usize>, layers: usize) -> Input {
        let name = match (self.in_first_layer, layer) {
            (Some(first), Some(0)) => first,
            _ => self.name,
        };
        let mut activation = name.replace("{L-1}", &layers.saturating_sub(1).to_string());
        if let Some(layer) = layer {
            activation = activation
                .replace("{l-1}", &layer.saturating_sub(1).to_string())
                .replace("{l}", &layer.to_string());
        }
        Input { previous_step: self.previous_step, activation }
    }
}

/// The direct inputs of an activation in a layer.
pub(crate) fn input_activations(
    activation: &ActivationSpec,
    layer: Option<usize>,
    layers: usize,
) -> impl Iterator<Item = Input> + '_ {
    activation.inputs.iter().map(move |text| InputTemplate::parse(text).resolve(layer, layers))
}

/// The tensors from which a required one follows directly. What belongs to a step comes from the same step, or from
/// the one before if the spec says so and there is one; what belongs to the whole case follows from the last step.
pub fn direct_inputs(
    specs: &SpecSet,
    architecture: &Architecture,
    case: &Case,
    required: &Required,
) -> Vec<TensorName> {
    let activation = &specs.specs[required.spec].activations[required.activation];
    let last_step = case.schedule.len().checked_sub(1);
    let own_step = required.name.step.or(last_step);
    let name = |template: &str, input: Input| {
        let of_case = specs.activations().any(|(_, _, a)| a.name == template && a.steps == Steps::Case);
        let step = match (of_case, input.previous_step) {
            (true, _) => return Some(TensorName::of_case(input.activation)),
            (false, false) => own_step,
            (false, true) => own_step.and_then(|step| step.checked_sub(1)),
        };
        step.map(|step| TensorName::of_step(step, input.activation))
    };
    let templates = activation.inputs.iter().map(|text| InputTemplate::parse(text));
    templates
        .filter_map(|template| name(template.name, template.resolve(required.layer, architecture.layers)))
        .collect()
}
