//! One activation, from the inputs that an implementation itself observed.

mod cut;

use capture::{Case, DType, FileError, Tensor, TensorName, TensorSource};
use graph::{Change, Computation, MutationProblem, Node, Step};

pub use cut::{Computing, Cut};

use crate::apply::apply;
use crate::arithmetic::Bounds;
use crate::{ApplyError, Array, Bounded, Model, Operand, Rounding};

/// The activations of one implementation in one case.
pub struct Observed<'a> {
    /// The model that it runs.
    pub model: &'a Model,
    /// What it was given.
    pub case: &'a Case,
    /// What it observed.
    pub source: &'a dyn TensorSource,
    /// The rules of each activation of the graph, by index.
    pub rules: &'a [Rounding],
}

/// Why an activation cannot be computed from what was observed.
#[derive(Debug, thiserror::Error)]
pub enum IsolatedError {
    /// The graph has no such activation, or not in that step.
    #[error("the graph has no activation `{0}`")]
    Unknown(TensorName),
    /// An input is there and is not what it must be.
    #[error("`{name}`, from which this follows, is {found}; expected floats of shape {expected:?}")]
    Input {
        /// The input.
        name: TensorName,
        /// Its dtype and shape.
        found: String,
        /// The shape that the graph gives it.
        expected: Vec<usize>,
    },
    /// An input cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It cannot be computed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A change does not fit it.
    #[error(transparent)]
    Change(#[from] MutationProblem),
    /// A weight cannot be stored like that.
    #[error("{0}")]
    Stored(String),
}

impl Observed<'_> {
    /// The exact result of an activation's operation, and the bound on the error of a correct implementation, from
    /// observed inputs. An input that was not observed is computed from its own, and its bound is carried on: the smallest
    /// part of the graph between observed tensors.
    ///
    /// # Errors
    /// If an input is not of its shape, or cannot be read.
    pub fn isolated(&self, name: &TensorName) -> Result<Operand<Bounded>, IsolatedError> {
        self.under(name, [])
    }

    /// The same under changes: what a component that has these bugs makes of what it observed, and how far another that has
    /// them may be off.
    ///
    /// # Errors
    /// As [`Self::isolated`], and if a change does not fit the activation.
    pub fn under<'c>(
        &self,
        name: &TensorName,
        changes: impl IntoIterator<Item = &'c Change>,
    ) -> Result<Operand<Bounded>, IsolatedError> {
        let unknown = || IsolatedError::Unknown(name.clone());
        let node = self.model.graph.find(&name.activation).ok_or_else(unknown)?;
        let op = self.model.graph.operation(&node).ok_or_else(unknown)?;
        self.computed(name, &node, &Computation::changed(op, changes)?)
    }

    fn computed(
        &self,
        name: &TensorName,
        node: &Node,
        computation: &Computation,
    ) -> Result<Operand<Bounded>, IsolatedError> {
        let unknown = || IsolatedError::Unknown(name.clone());
        let step = self.step(name.step.ok_or_else(unknown)?).ok_or_else(unknown)?;
        let rounding = self.rules.get(node.activation).ok_or_else(unknown)?;
        let names = computation.inputs_in(node.layer, self.model.architecture.layers);
        let inputs: Result<Vec<_>, _> =
            names.iter().map(|input| self.input(input, step.index, rounding)).collect();
        let past = match step.index.checked_sub(1) {
            Some(before) if computation.op.continues() => Some(self.input(&node.name, before, rounding)?),
            _ => None,
        };
        let inputs = inputs?;
        let inputs: Vec<&Operand<Bounded>> = inputs.iter().collect();
        let stored = self.model.with_stored(node, computation).map_err(IsolatedError::Stored)?;
        let model = stored.as_ref().unwrap_or(self.model);
        let what = (node, computation, step);
        Ok(apply(&Bounds(rounding), model, what, &inputs, past.as_ref())?)
    }

    fn step(&self, index: usize) -> Option<Step> {
        let positions = self.case.steps().nth(index)?;
        Some(Step { index, batch: self.case.batch(), past: positions.start, new: positions.len() })
    }

    fn input(&self, name: &str, step: usize, rounding: &Rounding) -> Result<Operand<Bounded>, IsolatedError> {
        let full = TensorName::of_step(step, name);
        let unknown = || IsolatedError::Unknown(full.clone());
        let at = self.step(step).ok_or_else(unknown)?;
        if name == self.model.graph.family.roles.tokens {
            return Ok(Operand::Tokens(scheduled(self.case, at)));
        }
        let node = self.model.graph.find(name).ok_or_else(unknown)?;
        match self.source.tensor(&full)? {
            Some(tensor) => {
                self.observed(&full, &node, at, &tensor).map(|x| Operand::Floats(rounding.given(x)))
            }
            None => self.isolated(&full),
        }
    }

    fn observed(
        &self,
        name: &TensorName,
        node: &Node,
        step: Step,
        tensor: &Tensor,
    ) -> Result<Array, IsolatedError> {
        let expected = self.model.graph.shape(node, &self.model.architecture, step).unwrap_or_default();
        let shape = tensor.shape().dimensions();
        let is_float = matches!(tensor.dtype(), DType::F16 | DType::BF16 | DType::F32 | DType::F64);
        if shape != expected || !is_float {
            let found = format!("{} of shape {shape:?}", tensor.dtype());
            return Err(IsolatedError::Input { name: name.clone(), found, expected });
        }
        Ok(Array { shape: expected, values: tensor.view().to_f64_lossy() })
    }
}

/// The token ids that a case schedules for a step.
pub fn scheduled(case: &Case, step: Step) -> Array<i64> {
    let ids = case.token_ids.iter().flat_map(|row| row.get(step.past..step.end()).unwrap_or_default());
    Array { shape: vec![step.batch, step.new], values: ids.copied().collect() }
}
