//! The graph executed from token ids on, step after step.

use std::collections::BTreeMap;

use graph::{Node, Operation, Step};

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
    /// What the logits of the last position need of each node.
    needed: Vec<Needed>,
    kept: BTreeMap<String, Operand<A::Value>>,
    past: usize,
    steps: usize,
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
        let inputs: Vec<(Vec<String>, Vec<String>)> = inputs.into_iter().zip(done).collect();
        let needed = needed(model, &order, &inputs);
        Ok(Self { model, arithmetic, order, inputs, needed, kept: BTreeMap::new(), past: 0, steps: 0 })
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
        see: impl FnMut(&Node, &Operand<A::Value>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.step_through(ids, |_| Needed::Everything, see)
    }

    /// The logits of the last position of such a step, `[B, V]`: what they do not need is not computed, and of what is
    /// computed row by row after the last attention, only the last row is. They have the bits that [`Self::step`] gives.
    ///
    /// # Errors
    /// If an id has no row, or the graph gives no such logits.
    pub fn last_logits(&mut self, ids: &Array<i64>) -> Result<A::Value, ApplyError> {
        let (wanted, needed) = (&self.model.graph.family.roles.last_logits, self.needed.clone());
        let mut found = None;
        self.step_through(
            ids,
            |index| needed[index],
            |node, value| {
                if let (true, Operand::Floats(value)) = (node.name == *wanted, value) {
                    found = Some(value.clone());
                }
                Ok::<(), ApplyError>(())
            },
        )?;
        found.ok_or_else(|| ApplyError::Lacks { name: wanted.clone(), what: "an operation".to_owned() })
    }

    fn step_through<E: From<ApplyError>>(
        &mut self,
        ids: &Array<i64>,
        needed: impl Fn(usize) -> Needed,
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
        for (index, (node, (names, done))) in self.order.iter().zip(&self.inputs).enumerate() {
            let (step, is_cut) = match needed(index) {
                Needed::Nothing => {
                    done.iter().for_each(|name| drop(values.remove(name)));
                    continue;
                }
                Needed::Last if new > 1 => (Step { past: step.end() - 1, new: 1, ..step }, true),
                Needed::Last | Needed::Everything => (step, false),
            };
            let inputs: Option<Vec<&Operand<A::Value>>> = names.iter().map(|name| values.get(name)).collect();
            let inputs = inputs.ok_or_else(|| ApplyError::Lacks {
                name: node.name.clone(),
                what: format!("one of {names:?}"),
            })?;
            let cut: Vec<Operand<A::Value>>;
            let inputs = if is_cut {
                cut = inputs.into_iter().map(|input| last_row(&self.arithmetic, input)).collect();
                cut.iter().collect()
            } else {
                inputs
            };
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

/// What the logits of the last position need of each node, of an order in which inputs come first.
fn needed(model: &Model, order: &[Node], inputs: &[(Vec<String>, Vec<String>)]) -> Vec<Needed> {
    let mut wanted: BTreeMap<&str, Needed> =
        [(model.graph.family.roles.last_logits.as_str(), Needed::Last)].into();
    let mut needed = vec![Needed::Nothing; order.len()];
    for (index, node) in order.iter().enumerate().rev() {
        let of_node = wanted.get(node.name.as_str()).copied().unwrap_or(Needed::Nothing);
        let operation = model.graph.operation(node);
        let of_node = match of_node {
            Needed::Last if !operation.is_some_and(takes_the_last_row) => Needed::Everything,
            of_node => of_node,
        };
        needed[index] = of_node;
        if of_node > Needed::Nothing {
            for name in &inputs[index].0 {
                let so_far = wanted.entry(name).or_insert(Needed::Nothing);
                *so_far = of_node.max(*so_far);
            }
        }
    }
    needed
}

/// Whether the last row of `[B, S, …]` follows from the last rows of what is given, in the same bits.
const fn takes_the_last_row(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::LayerNorm { .. }
            | Operation::Linear { .. }
            | Operation::Gelu { .. }
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
