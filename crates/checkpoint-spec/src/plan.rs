//! The required set: which tensors a capture must hold, from specs, architecture and case alone.

mod inputs;
#[cfg(test)]
mod tests;

use std::ops::Range;

use capture::{Case, DType, Precision, Shape, TensorName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use inputs::direct_inputs;

use crate::Architecture;
use crate::registry::known;
use crate::spec::{ActivationSpec, Applies, Kind, Planned, SpecError, SpecSet, Steps, execution_order};

/// What the harness's registry knows of an implementation. It never comes from a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// Whether its KV cache is allocated for the whole context, so that unused slots can be looked at.
    pub preallocated_cache: bool,
    /// Whether it comes with a tokenizer of its own.
    pub tokenizer: bool,
}

/// Where the graph comes from.
pub(crate) const GRAPH: &str = "the family's specs, executed";

impl Traits {
    /// The traits of the implementation with that name, on a model with or without a tokenizer. Harness and verifier
    /// ask here, so neither a capture nor a bundle chooses what is required of it.
    pub fn of(implementation: &str, tokenizer: bool) -> Self {
        let preallocated_cache = known(implementation).is_some_and(|entry| entry.preallocated_cache);
        Self { preallocated_cache, tokenizer }
    }
}

/// One tensor that a capture must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Required {
    /// Index of the spec in [`SpecSet::specs`].
    pub spec: usize,
    /// Index of the activation in that spec.
    pub activation: usize,
    /// The tensor's name in the capture.
    pub name: TensorName,
    /// Its layer; none outside the layers.
    pub layer: Option<usize>,
    /// Its shape.
    pub shape: Shape,
    /// Its dtype, at the precision that was asked for.
    pub dtype: DType,
}

impl SpecSet {
    /// The spec of what is required.
    pub fn of(&self, required: &Required) -> &ActivationSpec {
        self.at(required.spec, required.activation)
    }
}

/// Everything that specs, architecture and case require of one capture, in execution order: what belongs to the
/// case and has no inputs, then step by step, then what is generated. Inside a step every activation comes after
/// its inputs; layers ascend; ties are broken by checkpoint.
///
/// # Errors
/// If the architecture lacks a size that the specs use, or is of another family.
pub fn required(
    specs: &SpecSet,
    architecture: &Architecture,
    case: &Case,
    traits: Traits,
    precision: Precision,
) -> Result<Vec<Required>, SpecError> {
    let plan = Plan { specs, architecture, case, traits, precision };
    plan.check_architecture()?;
    let steps: Vec<Range<usize>> = case.steps().collect();
    let order = |group: fn(&ActivationSpec) -> bool| execution_order(specs, architecture.layers, group);
    let within_steps = order(|activation| activation.steps != Steps::Case)?;
    let mut required = Vec::new();
    for node in &order(|activation| activation.steps == Steps::Case && activation.all_inputs().is_empty())? {
        plan.push(node, None, &mut required)?;
    }
    for (step, positions) in steps.iter().enumerate() {
        let at_an_end = step == 0 || step + 1 == steps.len();
        for node in &within_steps {
            if at_an_end || plan.activation(node).steps == Steps::Every {
                plan.push(node, Some((step, positions)), &mut required)?;
            }
        }
    }
    for node in &order(|activation| activation.steps == Steps::Case && !activation.all_inputs().is_empty())? {
        plan.push(node, None, &mut required)?;
    }
    Ok(required)
}

/// Whether a name is what a template with `{l}` stands for in that layer.
pub(crate) fn matches_template(template: &str, name: &str, layer: Option<usize>) -> bool {
    match (template.split_once("{l}"), layer) {
        (None, None) => template == name,
        (Some((before, after)), Some(layer)) => name
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(|middle| middle == layer.to_string()),
        _ => false,
    }
}

struct Plan<'a> {
    specs: &'a SpecSet,
    architecture: &'a Architecture,
    case: &'a Case,
    traits: Traits,
    precision: Precision,
}

impl Plan<'_> {
    fn check_architecture(&self) -> Result<(), SpecError> {
        let (family, layers) = (&self.architecture.family, self.architecture.layers);
        if *family != self.specs.family.name {
            let problem = format!(
                "the model is of the family `{family}`, the specs are of `{}`",
                self.specs.family.name
            );
            return Err(SpecError::Architecture { problem });
        }
        if layers == 0 {
            return Err(SpecError::Architecture { problem: "the model has no layers".to_owned() });
        }
        Ok(())
    }

    fn activation(&self, node: &Planned) -> &ActivationSpec {
        self.specs.at(node.spec, node.activation)
    }

    fn applies(&self, activation: &ActivationSpec) -> bool {
        match activation.applies {
            Applies::Always => true,
            Applies::PreallocatedCache => self.traits.preallocated_cache,
            Applies::Generation => self.case.generate > 0,
            Applies::Tokenizer => self.traits.tokenizer && self.case.texts.is_some(),
        }
    }

    fn push(
        &self,
        node: &Planned,
        step: Option<(usize, &Range<usize>)>,
        required: &mut Vec<Required>,
    ) -> Result<(), SpecError> {
        let activation = self.activation(node);
        if !self.applies(activation) {
            return Ok(());
        }
        let dtype = match activation.kind {
            Kind::Float => self.precision.dtype(),
            Kind::Token => DType::I64,
            Kind::Byte => DType::U8,
        };
        required.push(Required {
            spec: node.spec,
            activation: node.activation,
            name: TensorName { step: step.map(|(step, _)| step), activation: node.name.clone() },
            layer: node.layer,
            shape: self.shape(activation, step.map(|(_, positions)| positions))?,
            dtype,
        });
        Ok(())
    }

    fn shape(
        &self,
        activation: &ActivationSpec,
        positions: Option<&Range<usize>>,
    ) -> Result<Shape, SpecError> {
        let dimensions: Option<Vec<usize>> =
            activation.shape.iter().map(|symbol| self.dimension(symbol, positions)).collect();
        let dimensions = dimensions.ok_or_else(|| SpecError::Architecture {
            problem: format!(
                "`{}` has the shape [{}], and the model gives no size for one of these symbols",
                activation.name,
                activation.shape.join(", ")
            ),
        })?;
        Shape::new(dimensions)
            .map_err(|error| SpecError::Architecture { problem: format!("`{}`: {error}", activation.name) })
    }

    /// `S`, `P` and `K` exist in a step only.
    fn dimension(&self, symbol: &str, positions: Option<&Range<usize>>) -> Option<usize> {
        match symbol {
            "B" => Some(self.case.batch()),
            "T" => Some(self.case.tokens()),
            "N" => Some(self.case.generate),
            "S" => positions.map(Range::len),
            "P" => positions.map(|positions| positions.start),
            "K" => positions.map(|positions| positions.end),
            _ => self.architecture.sizes.get(symbol).copied().or_else(|| symbol.parse().ok()),
        }
    }
}
