//! Execution order of a group of activations.

use graph::Node;

use super::{ActivationSpec, SpecError, SpecSet};

/// One activation in one layer.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) spec: usize,
    pub(crate) activation: usize,
    pub(crate) layer: Option<usize>,
    /// The activation's name, its layer filled in.
    pub(crate) name: String,
}

/// The activations of a group in an order in which each comes after its inputs within that group.
///
/// # Errors
/// If inputs go round in a circle.
pub(crate) fn execution_order(
    specs: &SpecSet,
    layers: usize,
    group: impl Fn(&ActivationSpec) -> bool,
) -> Result<Vec<Planned>, SpecError> {
    let places: Vec<(usize, usize, &ActivationSpec)> = specs.activations().collect();
    let graph = specs.graph();
    let activations: Vec<&graph::Activation> = graph.activations.iter().collect();
    let inputs: Vec<Vec<String>> = places.iter().map(|(_, _, spec)| spec.all_inputs()).collect();
    let inputs_of = |index: usize| inputs[index].iter().map(String::as_str).collect();
    let order = graph::execution_order(&activations, layers, |index| group(places[index].2), inputs_of);
    let planned = |Node { activation, layer, name }: Node| {
        let (spec, activation, _) = places[activation];
        Planned { spec, activation, layer, name }
    };
    order.map(|nodes| nodes.into_iter().map(planned).collect()).map_err(|circle| SpecError::Inconsistent {
        file: specs.specs[places[circle.activation].0].file_name(),
        problem: circle.to_string(),
    })
}
