//! The smallest part of the graph between observed tensors and an activation that follows from them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use capture::TensorName;
use graph::{Computation, Node, Step};

use super::{IsolatedError, Observed, scheduled};
use crate::apply::apply;
use crate::operation::Arithmetic;
use crate::{ApplyError, Array, Model, Operand};

/// What an activation is computed from, and through what, where not all of its direct inputs were observed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Observed tensors from which it follows.
    pub from: BTreeSet<TensorName>,
    /// Whether it follows from the token ids, too.
    pub from_tokens: bool,
    /// What is computed on the way and was not observed, inputs first; the activation itself is the last.
    pub through: Vec<TensorName>,
}

/// How a cut is computed: by which arithmetic each node, and from what each takes an observed tensor.
pub trait Computing {
    /// How numbers are computed.
    type Arithmetic: Arithmetic;

    /// The arithmetic of the activation with that index in the graph.
    fn of(&self, activation: usize) -> Self::Arithmetic;

    /// An observed tensor, as that activation takes it.
    fn given(&self, activation: usize, observed: Array) -> <Self::Arithmetic as Arithmetic>::Value;
}

type Value<C> = <<C as Computing>::Arithmetic as Arithmetic>::Value;

impl Observed<'_> {
    /// The cut that ends in an activation, where some nodes, named, are computed otherwise.
    ///
    /// # Errors
    /// If the graph has no such activation, or a tensor cannot be read.
    pub fn cut(
        &self,
        name: &TensorName,
        changed: &BTreeMap<String, Computation>,
    ) -> Result<Cut, IsolatedError> {
        let unknown = || IsolatedError::Unknown(name.clone());
        let last = name.step.ok_or_else(unknown)?;
        self.model.graph.find(&name.activation).ok_or_else(unknown)?;
        let names = self.source.names();
        let order = self.model.graph.order(self.model.architecture.layers).map_err(circle)?;
        let (mut cut, mut wanted) = (Cut::default(), BTreeSet::from([name.clone()]));
        for step in (0..=last).rev() {
            for node in order.iter().rev() {
                let full = TensorName::of_step(step, node.name.clone());
                if !wanted.remove(&full) {
                    continue;
                }
                let computation = self.computation(node, changed).ok_or_else(unknown)?;
                for input in self.inputs_of(node, &computation, step) {
                    if input.activation == self.model.graph.family.roles.tokens {
                        cut.from_tokens = true;
                    } else if names.contains(&input) {
                        cut.from.insert(input);
                    } else {
                        wanted.insert(input);
                    }
                }
                cut.through.push(full);
            }
        }
        cut.through.reverse();
        match wanted.pop_first() {
            Some(missing) => Err(IsolatedError::Unknown(missing)),
            None => Ok(cut),
        }
    }

    /// What a cut gives.
    ///
    /// # Errors
    /// If an observed tensor is not of its shape or cannot be read, or something cannot be computed.
    pub fn across<C: Computing>(
        &self,
        cut: &Cut,
        computing: &C,
        changed: &BTreeMap<String, Computation>,
    ) -> Result<Operand<Value<C>>, IsolatedError> {
        let mut values: BTreeMap<TensorName, Arc<Operand<Value<C>>>> = BTreeMap::new();
        for name in &cut.through {
            let value = self.at(name, computing, changed, &values)?;
            values.insert(name.clone(), Arc::new(value));
        }
        let last = cut.through.last().and_then(|name| values.remove(name));
        let last = last.ok_or_else(|| Self::lacks("a cut", "an end"))?;
        Ok(Arc::unwrap_or_clone(last))
    }

    fn at<C: Computing>(
        &self,
        name: &TensorName,
        computing: &C,
        changed: &BTreeMap<String, Computation>,
        values: &BTreeMap<TensorName, Arc<Operand<Value<C>>>>,
    ) -> Result<Operand<Value<C>>, IsolatedError> {
        let unknown = || IsolatedError::Unknown(name.clone());
        let index = name.step.ok_or_else(unknown)?;
        let step = self.step(index).ok_or_else(unknown)?;
        let node = self.model.graph.find(&name.activation).ok_or_else(unknown)?;
        let computation = self.computation(&node, changed).ok_or_else(unknown)?;
        let fetch = |input: &TensorName| self.taken(input, &node, computing, values);
        let inputs = self.inputs_of(&node, &computation, index);
        let (past, inputs): (Vec<_>, Vec<_>) =
            inputs.into_iter().partition(|input| input.activation == node.name && input.step != name.step);
        let past = past.first().map(fetch).transpose()?;
        let inputs = inputs.iter().map(fetch).collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<&Operand<_>> = inputs.iter().map(|input| &**input).collect();
        let stored = self.model.with_stored(&node, &computation).map_err(IsolatedError::Stored)?;
        let model: &Model = stored.as_ref().unwrap_or(self.model);
        let arithmetic = computing.of(node.activation);
        Ok(apply(&arithmetic, model, (&node, &computation, step), &inputs, past.as_deref())?)
    }

    /// An input, as a node takes it: computed on the way, the token ids, or observed.
    fn taken<C: Computing>(
        &self,
        input: &TensorName,
        by: &Node,
        computing: &C,
        values: &BTreeMap<TensorName, Arc<Operand<Value<C>>>>,
    ) -> Result<Arc<Operand<Value<C>>>, IsolatedError> {
        if let Some(known) = values.get(input) {
            return Ok(known.clone());
        }
        let unknown = || IsolatedError::Unknown(input.clone());
        let at: Step = self.step(input.step.ok_or_else(unknown)?).ok_or_else(unknown)?;
        if input.activation == self.model.graph.family.roles.tokens {
            return Ok(Arc::new(Operand::Tokens(scheduled(self.case, at))));
        }
        let node = self.model.graph.find(&input.activation).ok_or_else(unknown)?;
        let tensor = self.source.tensor(input)?.ok_or_else(unknown)?;
        let array = self.observed(input, &node, at, &tensor)?;
        Ok(Arc::new(Operand::Floats(computing.given(by.activation, array))))
    }

    fn computation(&self, node: &Node, changed: &BTreeMap<String, Computation>) -> Option<Computation> {
        let own = || self.model.graph.operation(node).map(Computation::of);
        changed.get(&node.name).cloned().or_else(own)
    }

    /// Its inputs in a step, and what it goes on from.
    fn inputs_of(&self, node: &Node, computation: &Computation, step: usize) -> Vec<TensorName> {
        let before = step.checked_sub(1).filter(|_| computation.op.continues());
        let past = before.map(|before| TensorName::of_step(before, node.name.clone()));
        let inputs = computation.inputs_in(node.layer, self.model.architecture.layers);
        past.into_iter().chain(inputs.into_iter().map(|input| TensorName::of_step(step, input))).collect()
    }

    fn lacks(name: &str, what: &str) -> IsolatedError {
        ApplyError::Lacks { name: name.to_owned(), what: what.to_owned() }.into()
    }
}

fn circle(circle: graph::Circle) -> IsolatedError {
    ApplyError::Inputs { name: "the graph".to_owned(), problem: circle.to_string() }.into()
}
