//! Where mutations are put in: the places of a fault.

use std::collections::BTreeMap;

use graph::{Architecture, Change, Computation, Graph, Mutation, Node};
use serde::{Deserialize, Serialize};

use super::{ActivationSpec, SpecSet};

/// Activations at which the same change is put in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The activations, as specs name them.
    pub at: Vec<String>,
    /// In which layers.
    #[serde(default)]
    pub layers: Layers,
    /// The id of a mutation of their operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutation: Option<String>,
    /// A change that is peculiar to the family, in place of such a mutation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

/// In which layers. What stands outside the layers is changed in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layers {
    /// In all of them.
    #[default]
    All,
    /// In the first.
    First,
    /// In the second, or the only one.
    Second,
}

/// A bug that an activation may have, by name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NamedChange<'a> {
    /// The id of a mutation or of a fault.
    pub id: &'a str,
    /// What is computed in place of the right thing.
    pub what: &'a str,
    /// The change.
    pub change: &'a Change,
}

impl Layers {
    fn has(self, layer: Option<usize>, layers: usize) -> bool {
        let Some(layer) = layer else { return true };
        match self {
            Self::All => true,
            Self::First => layer == 0,
            Self::Second => layer == 1.min(layers.saturating_sub(1)),
        }
    }
}

impl SpecSet {
    /// Every bug that an activation may have by itself: the mutations of its operation that fit it, and what faults change at
    /// this very activation and nowhere else.
    pub fn changes_at<'a>(&'a self, activation: &'a ActivationSpec) -> Vec<NamedChange<'a>> {
        let Some(op) = &activation.op else { return Vec::new() };
        let law = self.operations.get(op.name());
        let of_operation = law.into_iter().flat_map(|law| &law.mutations);
        let named = of_operation.map(|Mutation { id, what, change }| NamedChange { id, what, change });
        let of_faults = self.faults().flat_map(|(_, fault)| {
            let here = fault.places.iter().filter(|place| place.at.contains(&activation.name));
            let changes = here.filter_map(|place| place.change.as_ref());
            changes.map(|change| NamedChange { id: &fault.id, what: &fault.what, change })
        });
        let fits = |named: &NamedChange<'_>| Computation::changed(op, [named.change]).is_ok();
        named.chain(of_faults).filter(fits).collect()
    }

    /// How the nodes at the places of a fault are computed, by name.
    ///
    /// # Errors
    /// If a place has neither mutation nor change, or one that does not fit there.
    pub fn mutated(
        &self,
        places: &[Place],
        graph: &Graph,
        architecture: &Architecture,
    ) -> Result<BTreeMap<String, Computation>, String> {
        let mut changes: BTreeMap<String, (Node, Vec<&Change>)> = BTreeMap::new();
        let order = graph.order(architecture.layers).map_err(|circle| circle.to_string())?;
        for place in places {
            for template in &place.at {
                let change = self.change_of(place, template)?;
                let is_here = |node: &&Node| {
                    graph.activations[node.activation].name == *template
                        && place.layers.has(node.layer, architecture.layers)
                };
                for node in order.iter().filter(is_here) {
                    let found = changes.entry(node.name.clone());
                    found.or_insert_with(|| (node.clone(), Vec::new())).1.push(change);
                }
            }
        }
        let computation = |(name, (node, changes)): (String, (Node, Vec<&Change>))| {
            let op = graph.operation(&node).ok_or_else(|| format!("`{name}` has no operation"))?;
            let changed = Computation::changed(op, changes).map_err(|problem| format!("`{name}`: {problem}"));
            Ok((name, changed?))
        };
        changes.into_iter().map(computation).collect()
    }

    fn change_of<'a>(&'a self, place: &'a Place, template: &str) -> Result<&'a Change, String> {
        let found = self.activations().find(|(_, _, activation)| activation.name == template);
        let (_, _, activation) = found.ok_or_else(|| format!("there is no activation `{template}`"))?;
        let op = activation.op.as_ref().ok_or_else(|| format!("`{template}` has no operation"))?;
        match (&place.mutation, &place.change) {
            (Some(id), None) => {
                let mutation = self.operations.get(op.name()).and_then(|law| law.mutation(id));
                let mutation = mutation.ok_or_else(|| {
                    format!("`{}`, which gives `{template}`, has no mutation `{id}`", op.name())
                })?;
                Ok(&mutation.change)
            }
            (None, Some(change)) => Ok(change),
            _ => Err("a place has either a mutation or a change".to_owned()),
        }
    }
}
