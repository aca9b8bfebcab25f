//! Mutations: deliberate changes of how one activation is computed, as data.

mod array;
mod computation;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Operation;
pub use array::{ArrayChange, ElementChange, Format, Roll, SliceChange, Which, WhichElement};
pub use computation::{Computation, Handed, MutationProblem, RESULT};

/// A bug that an operation may have, wherever it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutation {
    /// `epsilon-1e-6`.
    pub id: String,
    /// What is computed in place of the right thing.
    pub what: String,
    /// The change.
    pub change: Change,
}

/// A change of how one activation is computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Change {
    /// The operation with other fields, as a spec would write them; `false` takes a field away.
    Set(BTreeMap<String, Value>),
    /// Another weight.
    Weight(WeightChange),
    /// Another input than the activation that is there for all others to see.
    Input(InputChange),
    /// Another result.
    Output(ArrayChange),
    /// Nothing is computed: an activation is handed on, named by a field of the operation or as a spec names an input.
    HandsOn(String),
    /// A way of computing that is peculiar to the operation, by its name there.
    Wrong(String),
    /// What is computed goes through another operation, in which it is called `result`.
    Then(Operation),
}

/// Another weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightChange {
    /// The field of the operation that names the weight.
    pub of: String,
    /// What is done to it. A matrix is `[in, out]` here, and only the part that the operation uses.
    pub change: ArrayChange,
    /// Whether it stands in the file like that: its digest differs, everyone who uses it has it, and it is changed whole
    /// and as it is stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stored: bool,
}

/// Another input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputChange {
    /// The field of the operation that names the input.
    pub of: String,
    /// What is done to it before it is computed with.
    pub change: ArrayChange,
}
