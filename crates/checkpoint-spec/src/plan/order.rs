//! Execution order: every activation after its inputs.

use std::collections::{BTreeMap, BTreeSet};

use super::inputs::input_activations;
use crate::spec::{ActivationSpec, SpecError, SpecSet};

/// One activation in one layer.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) spec: usize,
    pub(crate) activation: usize,
    pub(crate) layer: Option<usize>,
    /// The activation's name, its layer filled in.
    pub(crate) name: String,
}

impl Node {
    /// What comes first when several could: what stands outside the layers, then lower layers, then checkpoints.
    fn priority(&self) -> (Option<usize>, usize, usize) {
        (self.layer, self.spec, self.activation)
    }
}

/// The activations of a group in an order in which each comes after its inputs within that group.
///
/// # Errors
/// If inputs go round in a circle.
pub(crate) fn execution_order(
    specs: &SpecSet,
    layers: usize,
    group: impl Fn(&ActivationSpec) -> bool,
) -> Result<Vec<Node>, SpecError> {
    let nodes = expand(specs, layers, group);
    let by_name: BTreeMap<&str, usize> =
        nodes.iter().enumerate().map(|(index, node)| (node.name.as_str(), index)).collect();
    let mut waits_for = vec![0usize; nodes.len()];
    let mut followers = vec![Vec::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        let activation = &specs.specs[node.spec].activations[node.activation];
        for input in input_activations(activation, node.layer, layers).filter(|input| !input.previous_step) {
            if let Some(&before) = by_name.get(input.activation.as_str()) {
                waits_for[index] += 1;
                followers[before].push(index);
            }
        }
    }
    let mut ready: BTreeSet<_> =
        (0..nodes.len()).filter(|&i| waits_for[i] == 0).map(|i| (nodes[i].priority(), i)).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some((_, index)) = ready.pop_first() {
        order.push(nodes[index].clone());
        for &follower in &followers[index] {
            waits_for[follower] -= 1;
            if waits_for[follower] == 0 {
                ready.insert((nodes[follower].priority(), follower));
            }
        }
    }
    match (0..nodes.len()).find(|&index| waits_for[index] > 0) {
        None => Ok(order),
        Some(stuck) => {
            let node = &nodes[on_the_circle(stuck, &waits_for, &followers)];
            Err(SpecError::Inconsistent {
                file: specs.specs[node.spec].file_name(),
                problem: format!("the inputs of `{}` lead back to itself", node.name),
            })
        }
    }
}

/// What is stuck waits for something stuck; going back often enough ends on the circle itself.
fn on_the_circle(stuck: usize, waits_for: &[usize], followers: &[Vec<usize>]) -> usize {
    let before = |node: usize| {
        (0..followers.len()).find(|&other| waits_for[other] > 0 && followers[other].contains(&node))
    };
    (0..followers.len()).fold(stuck, |node, _| before(node).unwrap_or(node))
}

fn expand(specs: &SpecSet, layers: usize, group: impl Fn(&ActivationSpec) -> bool) -> Vec<Node> {
    let mut nodes = Vec::new();
    for (spec, activation, found) in specs.activations() {
        if !group(found) {
            continue;
        }
        if found.is_layered() {
            nodes.extend((0..layers).map(|layer| {
                let name = found.name.replace("{l}", &layer.to_string());
                Node { spec, activation, layer: Some(layer), name }
            }));
        } else {
            nodes.push(Node { spec, activation, layer: None, name: found.name.clone() });
        }
    }
    nodes
}
