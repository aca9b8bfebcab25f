//! How results of one operation are judged, and how it may go wrong: `operations/linear.toml`.

use std::collections::BTreeSet;

use graph::Mutation;
use oracle::Rounds;
use serde::{Deserialize, Serialize};

use super::validate::{check_id, text_is_there};

/// How results of one operation are held to their rounding budget, and how it may go wrong, in every family. The bound
/// itself is derived with the operation, element by element.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationLaw {
    /// The operation.
    pub operation: String,
    /// What is rounded, or why nothing is.
    pub reason: String,
    /// Where systematic error is looked for: `tensor`, the symbol of an axis, such as `H`, or `last`, or `columns`, the last
    /// two axes together.
    #[serde(default)]
    pub slices: Vec<String>,
    /// Whether the elements of a row share an error, as those of a normalised row do.
    #[serde(default)]
    pub shared_rows: bool,
    /// Where an implementation that stores in half precision rounds to it; none where data is only moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half: Option<HalfRule>,
    /// Bugs that the operation may have, wherever it stands.
    #[serde(default, rename = "mutation", skip_serializing_if = "Vec::is_empty")]
    pub mutations: Vec<Mutation>,
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

    /// The mutation with that id.
    pub fn mutation(&self, id: &str) -> Option<&Mutation> {
        self.mutations.iter().find(|mutation| mutation.id == id)
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        text_is_there("reason", &self.reason)?;
        self.half.as_ref().map_or(Ok(()), HalfRule::validate)?;
        let mut ids = BTreeSet::new();
        self.mutations.iter().try_for_each(|mutation| {
            check_id(&mutation.id)?;
            text_is_there("what", &mutation.what)?;
            let is_new = ids.insert(&mutation.id);
            if is_new { Ok(()) } else { Err(format!("there is another mutation `{}`", mutation.id)) }
        })
    }
}

impl HalfRule {
    fn validate(&self) -> Result<(), String> {
        text_is_there("half.reason", &self.reason)?;
        let distinct: BTreeSet<&Rounds> = self.rounds.iter().collect();
        if distinct.len() != self.rounds.len() {
            return Err(format!("is rounded to half precision twice in one place: {:?}", self.rounds));
        }
        if !self.rounds.contains(&Rounds::Output) {
            return Err("a result that is stored in half precision is rounded at its output".to_owned());
        }
        Ok(())
    }
}
