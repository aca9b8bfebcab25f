//! Bugs with names: mutations of operations, each put in wherever its operation stands in one layer and outside the layers.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use graph::{Change, Computation, Graph, Node};

use super::ground::Ground;

/// Operations and ids of their mutations, in the order in which they are told of.
const NAMED: [(&str, &str); 11] = [
    ("layer_norm", "epsilon-1e-6"),
    ("layer_norm", "variance-unbiased"),
    ("layer_norm", "weights-1-000002"),
    ("linear", "weights-1-000002"),
    ("layer_norm", "weights-f16"),
    ("linear", "weights-f16"),
    ("linear", "one-weight-1-01"),
    ("linear", "largest-weight-1-01"),
    ("gelu", "erf"),
    ("scores", "scale-in-bf16"),
    SATURATED,
];
/// The one that shows where scores are too large for `exp`.
const SATURATED: (&str, &str) = ("softmax", "maximum-not-subtracted");

/// One bug at one place.
pub(super) struct Fault {
    /// What is wrong.
    pub bug: String,
    /// Where: the first of the activations that are computed otherwise.
    pub place: String,
    /// Id of the checkpoint at which it sits.
    pub checkpoint: String,
    /// How they are computed, by name.
    pub nodes: BTreeMap<String, Computation>,
}

/// The faults that an ordinary case shows, all in that layer.
pub(super) fn ordinary(ground: &Ground<'_>, layer: usize) -> Result<Vec<Fault>> {
    let named = NAMED.into_iter().filter(|named| *named != SATURATED);
    let faults: Result<Vec<Vec<Fault>>> = named.map(|named| everywhere(ground, layer, named)).collect();
    Ok(faults?.into_iter().flatten().collect())
}

/// The fault that shows where scores are too large for `exp`: at the attention of that layer.
pub(super) fn saturated(ground: &Ground<'_>, layer: usize) -> Result<Vec<Fault>> {
    let mut faults = everywhere(ground, layer, SATURATED)?;
    faults.retain(|fault| ground.model.graph.find(&fault.place).is_some_and(|node| node.layer.is_some()));
    Ok(faults)
}

/// A mutation in every component that has it: in all activations that one operation gives of the same inputs.
fn everywhere(ground: &Ground<'_>, layer: usize, (operation, id): (&str, &str)) -> Result<Vec<Fault>> {
    let (graph, law) = (&ground.model.graph, ground.specs.operations.get(operation));
    let mutation = law.and_then(|law| law.mutation(id));
    let mutation = mutation.with_context(|| format!("`{operation}` has no mutation `{id}`"))?;
    let order = graph.order(ground.model.architecture.layers)?;
    let mut components: Vec<(Vec<String>, Fault)> = Vec::new();
    for node in order.iter().filter(|node| node.layer.is_none_or(|found| found == layer)) {
        let Some(computation) = mutated(graph, node, operation, &mutation.change) else { continue };
        let inputs = computation.inputs_in(node.layer, ground.model.architecture.layers);
        let known = components.iter_mut().find(|(known, _)| *known == inputs);
        match known {
            Some((_, fault)) => {
                fault.nodes.insert(node.name.clone(), computation);
            }
            None => {
                let fault = Fault {
                    bug: mutation.what.clone(),
                    place: node.name.clone(),
                    checkpoint: checkpoint(ground, node)?,
                    nodes: [(node.name.clone(), computation)].into(),
                };
                components.push((inputs, fault));
            }
        }
    }
    Ok(components.into_iter().map(|(_, fault)| fault).collect())
}

/// How a node is computed under a change, if it is of that operation and the change fits.
fn mutated(graph: &Graph, node: &Node, operation: &str, change: &Change) -> Option<Computation> {
    let op = graph.operation(node).filter(|op| op.name() == operation)?;
    Computation::changed(op, [change]).ok()
}

fn checkpoint(ground: &Ground<'_>, node: &Node) -> Result<String> {
    let name = &ground.model.graph.activations[node.activation].name;
    let found = ground.specs.specs.iter().find(|spec| spec.activation(name).is_some());
    Ok(found.with_context(|| format!("no checkpoint has `{name}`"))?.id.clone())
}
