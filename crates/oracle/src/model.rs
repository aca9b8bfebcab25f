//! A model: its graph, its sizes and its weights.

use std::path::Path;

use graph::{Architecture, Computation, Graph, Node};

use crate::{Weight, Weights, WeightsError};

/// Everything that is needed to compute what a model computes.
#[derive(Clone, Debug)]
pub struct Model {
    /// How each activation is computed.
    pub graph: Graph,
    /// Sizes and constants.
    pub architecture: Architecture,
    /// The weights.
    pub weights: Weights,
}

impl Model {
    /// Reads the weights in a folder.
    ///
    /// # Errors
    /// If they are not those that family and architecture call for.
    pub fn load(directory: &Path, graph: Graph, architecture: Architecture) -> Result<Self, WeightsError> {
        let weights = Weights::load(directory, &graph.family, &architecture)?;
        Ok(Self { graph, architecture, weights })
    }

    /// The model with the weights that a node's computation changes in the file; none where it changes none.
    ///
    /// # Errors
    /// If a weight is not there, or cannot be changed like that.
    pub fn with_stored(&self, node: &Node, computation: &Computation) -> Result<Option<Self>, String> {
        let mut changed: Option<Self> = None;
        for (name, change) in computation.stored_in(node.layer, self.architecture.layers) {
            changed.get_or_insert_with(|| self.clone()).weights.change(&name, change)?;
        }
        Ok(changed)
    }

    /// A weight as an operation in a layer names it.
    pub(crate) fn weight(&self, name: &str, layer: Option<usize>) -> Option<Weight<'_>> {
        self.weights.get(&graph::in_layer(name, layer, self.architecture.layers))
    }
}
