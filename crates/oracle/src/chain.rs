//! The graph executed from token ids on, step after step.

use std::collections::BTreeMap;
use std::sync::Arc;

use graph::{Computation, Node, Operation, Step};

use crate::apply::apply;
use crate::change::Numbers;
use crate::{ApplyError, Arithmetic, Array, Model, Operand};

/// Everything that a step computed, by name.
pub type Computed<V> = BTreeMap<String, Arc<Operand<V>>>;

/// A run of the whole graph, with what it keeps between steps.
#[derive(Clone)]
pub struct Chain<'a, A: Arithmetic> {
    model: &'a Model,
    arithmetic: A,
    nodes: Vec<Planned>,
    kept: Computed<A::Value>,
    past: usize,
    steps: usize,
}

/// What is done at a node.
#[derive(Clone)]
struct Planned {
    node: Node,
    computation: Computation,
    is_mutated: bool,
    inputs: Vec<String>,
    /// Values that nothing after it needs.
    done: Vec<String>,
    /// What the logits of the last position need of it.
    needed: Needed,
}

/// What the logits of a step's last position need of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Needed {
    Nothing,
    /// The last position: the node is computed row by row, and so is all that needs it.
    Last,
    Everything,
}

impl<'a, A: Arithmetic> Chain<'a, A> {
    /// Before the first step.
    ///
    /// # Errors
    /// If inputs of the graph lead back to themselves, which no loaded graph has.
    pub fn new(model: &'a Model, arithmetic: A) -> Result<Self, graph::Circle> {
        Self::mutated(model, arithmetic, &BTreeMap::new())
    }

    /// Before the first step of a run in which some nodes, named, are computed otherwise. A changed input is one that is
    /// computed before the node as it stands in the graph.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn mutated(
        model: &'a Model,
        arithmetic: A,
        mutations: &BTreeMap<String, Computation>,
    ) -> Result<Self, graph::Circle> {
        let layers = model.architecture.layers;
        let planned = |node: Node| {
            let mutated = mutations.get(&node.name);
            let own = model.graph.operation(&node).map(Computation::of);
            let computation = mutated.cloned().or(own)?;
            let inputs = computation.inputs_in(node.layer, layers);
            let (is_mutated, needed) = (mutated.is_some(), Needed::Everything);
            Some(Planned { node, computation, is_mutated, inputs, done: Vec::new(), needed })
        };
        let mut nodes: Vec<Planned> = model.graph.order(layers)?.into_iter().filter_map(planned).collect();
        let mut last_use: BTreeMap<String, usize> = BTreeMap::new();
        for (index, planned) in nodes.iter().enumerate() {
            last_use.entry(planned.node.name.clone()).or_insert(index);
            last_use.extend(planned.inputs.iter().map(|name| (name.clone(), index)));
        }
        for (name, index) in last_use {
            nodes[index].done.push(name);
        }
        mark_needed(&mut nodes, &model.graph.family.roles.last_logits);
        Ok(Self { model, arithmetic, nodes, kept: BTreeMap::new(), past: 0, steps: 0 })
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
        self.step_beside(ids, &[], |node, value| see(node, value))
    }

    /// The logits of the last position of such a step, `[B, V]`: what they do not need is not computed, and of what is
    /// computed row by row after the last attention, only the last row is. They have the bits that [`Self::step`] gives.
    ///
    /// # Errors
    /// If an id has no row, or the graph gives no such logits.
    pub fn last_logits(&mut self, ids: &Array<i64>) -> Result<A::Value, ApplyError> {
        let wanted = &self.model.graph.family.roles.last_logits;
        let mut found = None;
        let see = |node: &Node, value: &Arc<Operand<A::Value>>| {
            if let (true, Operand::Floats(value)) = (node.name == *wanted, &**value) {
                found = Some(value.clone());
            }
            Ok::<(), ApplyError>(())
        };
        self.step_through(ids, &[], |planned| planned.needed, see)?;
        found.ok_or_else(|| ApplyError::Lacks { name: wanted.clone(), what: "an operation".to_owned() })
    }

    /// The same beside a run of the same tokens, of which the values of every step up to this one are at hand: what no
    /// mutation reaches is taken from there, the very same value.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn step_beside<E: From<ApplyError>>(
        &mut self,
        ids: &Array<i64>,
        beside: &[Computed<A::Value>],
        see: impl FnMut(&Node, &Arc<Operand<A::Value>>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.step_through(ids, beside, |_| Needed::Everything, see)
    }

    fn step_through<E: From<ApplyError>>(
        &mut self,
        ids: &Array<i64>,
        beside: &[Computed<A::Value>],
        needed: impl Fn(&Planned) -> Needed,
        mut see: impl FnMut(&Node, &Arc<Operand<A::Value>>) -> Result<(), E>,
    ) -> Result<(), E> {
        let tokens = &self.model.graph.family.roles.tokens;
        let &[batch, new] = ids.shape.as_slice() else {
            let problem = format!("token ids have the shape {:?}, expected [B, S]", ids.shape);
            return Err(ApplyError::Inputs { name: tokens.clone(), problem }.into());
        };
        let step = Step { index: self.steps, batch, past: self.past, new };
        let there = Beside { steps: beside, index: self.steps };
        let mut values: Computed<A::Value> = BTreeMap::new();
        values.insert(tokens.clone(), Arc::new(Operand::Tokens(ids.clone())));
        for planned in &self.nodes {
            let name = &planned.node.name;
            let (step, is_cut) = match needed(planned) {
                Needed::Nothing => {
                    planned.done.iter().for_each(|name| drop(values.remove(name)));
                    continue;
                }
                Needed::Last if new > 1 => (Step { past: step.end() - 1, new: 1, ..step }, true),
                Needed::Last | Needed::Everything => (step, false),
            };
            let inputs: Option<Vec<_>> = planned.inputs.iter().map(|input| values.get(input)).collect();
            let inputs = inputs.ok_or_else(|| ApplyError::Lacks {
                name: name.clone(),
                what: format!("one of {:?}", planned.inputs),
            })?;
            let past = self.kept.get(name);
            let known = there.value(planned, &inputs, past, tokens).filter(|_| !is_cut);
            let value = match known {
                Some(known) => known.clone(),
                None => {
                    let inputs: Vec<&Operand<A::Value>> = inputs.iter().map(|input| &***input).collect();
                    let cut: Vec<Operand<A::Value>>;
                    let inputs = if is_cut {
                        cut = inputs.into_iter().map(|input| last_row(&self.arithmetic, input)).collect();
                        cut.iter().collect()
                    } else {
                        inputs
                    };
                    let what = (&planned.node, &planned.computation, step);
                    let fresh = apply(&self.arithmetic, self.model, what, &inputs, past.map(|past| &**past))?;
                    there.or_same(name, fresh)
                }
            };
            see(&planned.node, &value)?;
            if planned.computation.op.continues() {
                self.kept.insert(name.clone(), value.clone());
            }
            values.insert(name.clone(), value);
            for name in &planned.done {
                values.remove(name);
            }
        }
        self.past += new;
        self.steps += 1;
        Ok(())
    }
}

/// What the logits of the last position need of each node, of an order in which inputs come first.
fn mark_needed(nodes: &mut [Planned], last_logits: &str) {
    let mut wanted: BTreeMap<String, Needed> = [(last_logits.to_owned(), Needed::Last)].into();
    for planned in nodes.iter_mut().rev() {
        let wanted_of_it = wanted.get(&planned.node.name).copied().unwrap_or(Needed::Nothing);
        planned.needed = match wanted_of_it {
            Needed::Last if planned.is_mutated || !takes_the_last_row(&planned.computation.op) => {
                Needed::Everything
            }
            wanted_of_it => wanted_of_it,
        };
        if planned.needed > Needed::Nothing {
            for name in &planned.inputs {
                let so_far = wanted.entry(name.clone()).or_insert(Needed::Nothing);
                *so_far = planned.needed.max(*so_far);
            }
        }
    }
}

/// Whether the last row of `[B, S, …]` follows from the last rows of what is given, in the same bits.
const fn takes_the_last_row(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::LayerNorm { .. }
            | Operation::RmsNorm { .. }
            | Operation::Linear { .. }
            | Operation::Gelu { .. }
            | Operation::Silu { .. }
            | Operation::Relu { .. }
            | Operation::Mul { .. }
            | Operation::Add { .. }
            | Operation::Last { .. }
    )
}

/// `[B, 1, D]` of `[B, S, D]`.
fn last_row<A: Arithmetic>(arithmetic: &A, operand: &Operand<A::Value>) -> Operand<A::Value> {
    match operand {
        Operand::Floats(value) => {
            let &[batch, _, width] = A::dimensions(value) else { return operand.clone() };
            let mut row = arithmetic.last(value);
            *A::shape(&mut row) = vec![batch, 1, width];
            Operand::Floats(row)
        }
        Operand::Tokens(ids) => Operand::Tokens(ids.clone()),
    }
}

/// The values of another run of the same tokens.
struct Beside<'a, V> {
    steps: &'a [Computed<V>],
    index: usize,
}

impl<V: Numbers> Beside<'_, V> {
    fn at(&self, index: usize, name: &str) -> Option<&Arc<Operand<V>>> {
        self.steps.get(index)?.get(name)
    }

    /// Its value of a node that is computed as there, from the very values that it was computed from there.
    fn value(
        &self,
        planned: &Planned,
        inputs: &[&Arc<Operand<V>>],
        past: Option<&Arc<Operand<V>>>,
        tokens: &str,
    ) -> Option<&Arc<Operand<V>>> {
        let known = self.at(self.index, &planned.node.name).filter(|_| !planned.is_mutated)?;
        let is_known = |(name, value): (&String, &&Arc<Operand<V>>)| {
            name == tokens || self.at(self.index, name).is_some_and(|known| Arc::ptr_eq(known, value))
        };
        let past_is_known = past.is_none_or(|past| {
            let before = self.index.checked_sub(1);
            let before = before.and_then(|before| self.at(before, &planned.node.name));
            before.is_some_and(|before| Arc::ptr_eq(before, past))
        });
        (past_is_known && planned.inputs.iter().zip(inputs).all(is_known)).then_some(known)
    }

    /// A value that was computed, or the one from there where it has the same bits.
    fn or_same(&self, name: &str, fresh: Operand<V>) -> Arc<Operand<V>> {
        match self.at(self.index, name) {
            Some(known) if fresh.is_same(known) => known.clone(),
            _ => Arc::new(fresh),
        }
    }
}
