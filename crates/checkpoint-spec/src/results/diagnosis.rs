//! Which bug it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Measured;

/// What may have gone wrong where an activation was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Diagnosis {
    /// The checkpoint.
    pub checkpoint: String,
    /// The activation.
    pub activation: String,
    /// The case.
    pub case: String,
    /// The step.
    pub step: Option<usize>,
    /// Bugs that the activation may have, each of which was computed.
    pub tried: u64,
    /// Those that give what was observed within the budget, the nearest first.
    pub named: Vec<NamedBug>,
}

/// A bug that gives what was observed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedBug {
    /// The id of a mutation of the operation, or of a fault of the checkpoint.
    pub id: String,
    /// What is computed in place of the right thing.
    pub what: String,
    /// The largest share of the budget that is used under it.
    pub used: Measured,
}
