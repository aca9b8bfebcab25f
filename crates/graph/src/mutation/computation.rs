//! How one activation is computed once changes are put into its operation.

use serde_json::Value;

use super::{ArrayChange, Change};
use crate::{InputTemplate, Operation, in_layer};

/// How one activation is computed: an operation, and what is changed around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Computation {
    /// The operation, with fields set.
    pub op: Operation,
    /// Weights that are changed while they are computed with, by field.
    pub weights: Vec<(String, ArrayChange)>,
    /// Weights that are changed in the file, by name, `{l}` not filled in.
    pub stored: Vec<(String, ArrayChange)>,
    /// Inputs that are changed before they are computed with, by their place among [`Operation::inputs`].
    pub inputs: Vec<(usize, ArrayChange)>,
    /// What is done to the result.
    pub outputs: Vec<ArrayChange>,
    /// What is handed on in place of a result.
    pub hands_on: Option<Handed>,
    /// The operation's own wrong way.
    pub wrong: Option<String>,
    /// What the result goes through: an operation in which it is called [`RESULT`].
    pub then: Option<Operation>,
}

/// The result of an operation, in the one that it goes through.
pub const RESULT: &str = "result";

/// An activation that is handed on, as a spec names an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed(pub String);

/// Why a change cannot be put into an operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MutationProblem {
    /// The operation with these fields is none.
    #[error("`{operation}` with these fields is no operation: {problem}")]
    Set {
        /// The operation.
        operation: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The operation has no such weight or input.
    #[error("`{operation}` has no {kind} `{field}`")]
    Field {
        /// The operation.
        operation: &'static str,
        /// Weight or input.
        kind: &'static str,
        /// What was named.
        field: String,
    },
    /// Two changes of which only one can be.
    #[error("{0} more than once at one place")]
    Twice(&'static str),
}

impl Computation {
    /// The operation as it is.
    pub fn of(op: &Operation) -> Self {
        let (weights, stored, inputs, outputs) = Default::default();
        Self { op: op.clone(), weights, stored, inputs, outputs, hands_on: None, wrong: None, then: None }
    }

    /// The operation with changes, one after another.
    ///
    /// # Errors
    /// If one of them names what the operation does not have, or makes it none.
    pub fn changed<'a>(
        op: &Operation,
        changes: impl IntoIterator<Item = &'a Change>,
    ) -> Result<Self, MutationProblem> {
        changes.into_iter().try_fold(Self::of(op), Self::with)
    }

    /// The activations it is computed from, as a spec names them.
    pub fn inputs(&self) -> Vec<&str> {
        match &self.hands_on {
            Some(Handed(name)) => vec![name],
            None => {
                let others = self.then.iter().flat_map(Operation::inputs).filter(|input| *input != RESULT);
                self.op.inputs().into_iter().chain(others).collect()
            }
        }
    }

    /// Their names in a layer.
    pub fn inputs_in(&self, layer: Option<usize>, layers: usize) -> Vec<String> {
        let resolve = |input| InputTemplate::parse(input).resolve(layer, layers).activation;
        self.inputs().into_iter().map(resolve).collect()
    }

    /// The weights that are changed in the file, by their names in a layer.
    pub fn stored_in(
        &self,
        layer: Option<usize>,
        layers: usize,
    ) -> impl Iterator<Item = (String, &ArrayChange)> {
        self.stored.iter().map(move |(name, change)| (in_layer(name, layer, layers), change))
    }

    fn with(mut self, change: &Change) -> Result<Self, MutationProblem> {
        match change {
            Change::Set(fields) => self.op = self.op.with(fields)?,
            Change::Weight(of) => {
                let name = self.op.field(&of.of).filter(|name| self.op.weights().contains(&name.as_str()));
                let name = name.ok_or_else(|| self.lacks("weight", &of.of))?;
                let (list, key) =
                    if of.stored { (&mut self.stored, name) } else { (&mut self.weights, of.of.clone()) };
                list.push((key, of.change.clone()));
            }
            Change::Input(of) => {
                let name = self.op.field(&of.of);
                let place = name.and_then(|name| self.op.inputs().iter().position(|input| *input == name));
                let place = place.ok_or_else(|| self.lacks("input", &of.of))?;
                self.inputs.push((place, of.change.clone()));
            }
            Change::Output(change) => self.outputs.push(change.clone()),
            Change::HandsOn(name) => {
                let handed = Handed(self.op.field(name).unwrap_or_else(|| name.clone()));
                once(self.hands_on.replace(handed).is_none(), "something is handed on")?;
            }
            Change::Then(op) => {
                once(self.then.replace(op.clone()).is_none(), "a result goes through an operation")?;
            }
            Change::Wrong(name) => {
                once(self.wrong.replace(name.clone()).is_none(), "an operation is wrong")?;
            }
        }
        Ok(self)
    }

    fn lacks(&self, kind: &'static str, field: &str) -> MutationProblem {
        MutationProblem::Field { operation: self.op.name(), kind, field: field.to_owned() }
    }
}

impl Operation {
    /// The operation with other fields, as a spec would write them; `false` takes a field away.
    ///
    /// # Errors
    /// If that is no operation.
    pub fn with<'a>(
        &self,
        fields: impl IntoIterator<Item = (&'a String, &'a Value)>,
    ) -> Result<Self, MutationProblem> {
        let problem = |problem: serde_json::Error| MutationProblem::Set {
            operation: self.name(),
            problem: problem.to_string(),
        };
        let mut whole = serde_json::to_value(self).map_err(problem)?;
        if let Some(written) = whole.get_mut(self.name()).and_then(Value::as_object_mut) {
            for (field, value) in fields {
                match value {
                    Value::Bool(false) => written.remove(field),
                    _ => written.insert(field.clone(), value.clone()),
                };
            }
        }
        serde_json::from_value(whole).map_err(problem)
    }

    /// What a field names: an activation, a weight, or whatever else is written as text.
    pub fn field(&self, name: &str) -> Option<String> {
        let whole = serde_json::to_value(self).ok()?;
        whole.get(self.name())?.get(name)?.as_str().map(str::to_owned)
    }
}

fn once(is_first: bool, what: &'static str) -> Result<(), MutationProblem> {
    if is_first { Ok(()) } else { Err(MutationProblem::Twice(what)) }
}
