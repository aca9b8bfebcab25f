//! How results of one operation are judged: `operations/linear.toml`.

use std::collections::BTreeSet;

use oracle::Rounds;
use serde::{Deserialize, Serialize};

/// How results of one operation are held to their rounding budget, in every family. The bound itself is derived with the
/// operation, element by element.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationLaw {
    /// The operation.
    pub operation: String,
    /// What is rounded.
    pub reason: String,
    /// Where systematic error is looked for: `tensor`, the symbol of an axis, such as `H`, or `last`, or `columns`, the last
    /// two axes together.
    pub slices: Vec<String>,
    /// Whether the elements of a row share an error, as those of a normalised row do.
    #[serde(default)]
    pub shared_rows: bool,
    /// Where an implementation that stores in half precision rounds to it.
    pub half: HalfRule,
}

/// Where systematic error is looked for in one activation, in place of what the law of its operation says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetRule {
    /// As in [`OperationLaw::slices`].
    pub slices: Vec<String>,
    /// Why.
    pub reason: String,
}

/// Where half precision takes the place of f32.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HalfRule {
    /// What is rounded to it.
    pub rounds: Vec<Rounds>,
    /// Why there, and nowhere else.
    pub reason: String,
}

impl OperationLaw {
    /// `operations/linear.toml`.
    pub fn file_name(&self) -> String {
        format!("operations/{}.toml", self.operation)
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        if self.reason.trim().is_empty() || self.half.reason.trim().is_empty() {
            return Err("a rule has no reason".to_owned());
        }
        let distinct: BTreeSet<&Rounds> = self.half.rounds.iter().collect();
        if distinct.len() != self.half.rounds.len() {
            return Err(format!("is rounded to half precision twice in one place: {:?}", self.half.rounds));
        }
        if !self.half.rounds.contains(&Rounds::Output) {
            return Err("a result that is stored in half precision is rounded at its output".to_owned());
        }
        Ok(())
    }
}
