//! The graph executed from token ids on, step after step.

use std::collections::BTreeMap;

use graph::{Node, Step};

use crate::apply::{ApplyError, Operand, apply};
use crate::arithmetic::Arithmetic;
use crate::{Array, Model};

/// A run of the whole graph, with what it keeps between steps.
#[derive(Clone)]
pub struct Chain<'a, A: Arithmetic> {
    model: &'a Model,
    arithmetic: A,
    order: Vec<Node>,
    /// For each node: the names of its inputs, and those that nothing after it needs.
    inputs: Vec<(Vec<String>, Vec<String>)>,
    kept: BTreeMap<String, Operand<A::Value>>,
    past: usize,
    steps: usize,
}

impl<'a, A: Arithmetic> Chain<'a, A> {
    /// Before the first step.
    ///
    /// # Errors
    /// If inputs of the graph lead back to themselves, which no loaded graph has.
    pub fn new(model: &'a Model, arithmetic: A) -> Result<Self, graph::Circle> {
        let layers = model.architecture.layers;
        let order = model.graph.order(layers)?;
        let inputs: Vec<Vec<String>> = order.iter().map(|node| model.graph.inputs(node, layers)).collect();
        let mut last_use: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, names) in inputs.iter().enumerate() {
            last_use.entry(order[index].name.as_str()).or_insert(index);
            last_use.extend(names.iter().map(|name| (name.as_str(), index)));
        }
        let mut done: Vec<Vec<String>> = vec![Vec::new(); order.len()];
        for (name, index) in last_use {
            done[index].push(name.to_owned());
        }
        let inputs = inputs.into_iter().zip(done).collect();
        Ok(Self { model, arithmetic, order, inputs, kept: BTreeMap::new(), past: 0, steps: 0 })
    }

    /// The model that it runs.
    pub fn model(&self) -> &'a Model {
        self.model
    }

    /// How it computes.
    pub fn arithmetic(&self) -> &A {
        &self.arithmetic
    }

    /// Computes all activations of a step that consumes `[B, S]` ids, and shows each as soon as it is computed.
    ///
    /// # Errors
    /// If an id has no row, or what `see` says.
    pub fn step<E: From<ApplyError>>(
        &mut self,
        ids: &Array<i64>,
        mut see: impl FnMut(&Node, &Operand<A::Value>) -> Result<(), E>,
    ) -> Result<(), E> {
        let &[batch, new] = ids.shape.as_slice() else {
            let problem = format!("token ids have the shape {:?}, expected [B, S]", ids.shape);
            return Err(
                ApplyError::Inputs { name: self.model.graph.family.roles.tokens.clone(), problem }.into()
            );
        };
        let step = Step { index: self.steps, batch, past: self.past, new };
        let tokens = Operand::Tokens(ids.clone());
        let mut values: BTreeMap<String, Operand<A::Value>> =
            [(self.model.graph.family.roles.tokens.clone(), tokens)].into();
        for (node, (names, done)) in self.order.iter().zip(&self.inputs) {
            let inputs: Option<Vec<&Operand<A::Value>>> = names.iter().map(|name| values.get(name)).collect();
            let inputs = inputs.ok_or_else(|| ApplyError::Lacks {
                name: node.name.clone(),
                what: format!("one of {names:?}"),
            })?;
            let value =
                apply(&self.arithmetic, self.model, (node, step), &inputs, self.kept.get(&node.name))?;
            see(node, &value)?;
            if self.model.graph.operation(node).is_some_and(graph::Operation::continues) {
                self.kept.insert(node.name.clone(), value.clone());
            }
            values.insert(node.name.clone(), value);
            for name in done {
                values.remove(name);
            }
        }
        self.past += new;
        self.steps += 1;
        Ok(())
    }
}
