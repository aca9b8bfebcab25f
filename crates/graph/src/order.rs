//! Execution order: every activation after its inputs.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Activation, InputTemplate};

/// One activation in one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its index in the list.
    pub activation: usize,
    /// Its layer; none outside the layers.
    pub layer: Option<usize>,
    /// The activation's name, its layer filled in.
    pub name: String,
}

/// Inputs that lead back to where they came from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the inputs of `{name}` lead back to itself")]
pub struct Circle {
    /// The index of an activation on the circle.
    pub activation: usize,
    /// Its name.
    pub name: String,
}

/// The activations of a group in an order in which each comes after its inputs within that group. Among those that are
/// ready, what stands outside the layers comes first, then lower layers, then earlier activations of the list.
///
/// `inputs` gives the inputs of an activation as the spec writes them.
///
/// # Errors
/// If inputs go round in a circle.
pub fn execution_order<'a>(
    activations: &[&'a Activation],
    layers: usize,
    group: impl Fn(usize) -> bool,
    inputs: impl Fn(usize) -> Vec<&'a str>,
) -> Result<Vec<Node>, Circle> {
    let nodes = expand(activations, layers, group);
    let by_name: BTreeMap<&str, usize> =
        nodes.iter().enumerate().map(|(index, node)| (node.name.as_str(), index)).collect();
    let mut waits_for = vec![0usize; nodes.len()];
    let mut followers = vec![Vec::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        let inputs = inputs(node.activation).into_iter().map(InputTemplate::parse);
        for input in inputs.filter(|input| !input.previous_step) {
            let input = input.resolve(node.layer, layers);
            if let Some(&before) = by_name.get(input.activation.as_str()) {
                waits_for[index] += 1;
                followers[before].push(index);
            }
        }
    }
    let priority = |index: usize| (nodes[index].layer, nodes[index].activation);
    let mut ready: BTreeSet<_> =
        (0..nodes.len()).filter(|&i| waits_for[i] == 0).map(|i| (priority(i), i)).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some((_, index)) = ready.pop_first() {
        order.push(nodes[index].clone());
        for &follower in &followers[index] {
            waits_for[follower] -= 1;
            if waits_for[follower] == 0 {
                ready.insert((priority(follower), follower));
            }
        }
    }
    match (0..nodes.len()).find(|&index| waits_for[index] > 0) {
        None => Ok(order),
        Some(stuck) => {
            let node = &nodes[on_the_circle(stuck, &waits_for, &followers)];
            Err(Circle { activation: node.activation, name: node.name.clone() })
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

fn expand(activations: &[&Activation], layers: usize, group: impl Fn(usize) -> bool) -> Vec<Node> {
    let mut nodes = Vec::new();
    for (activation, found) in activations.iter().enumerate().filter(|(index, _)| group(*index)) {
        if found.is_layered() {
            nodes.extend((0..layers).map(|layer| {
                let name = found.name.replace("{l}", &layer.to_string());
                Node { activation, layer: Some(layer), name }
            }));
        } else {
            nodes.push(Node { activation, layer: None, name: found.name.clone() });
        }
    }
    nodes
}
