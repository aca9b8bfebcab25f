//! Which tensors a proof bundle holds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which tensors to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// All of them: every verdict can be computed again.
    #[default]
    Full,
    /// Those of the cases in which something is not a pass.
    Failing,
    /// None; of every capture the digest.
    Digest,
}

/// Whose tensors are kept. What is not kept proves nothing by itself: it can be compared with what somebody computes
/// again, and until then its verdict is the word of whoever wrote the record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoredTensors {
    /// What was asked for.
    pub keep: Keep,
    /// The cases of which there are digests only, in order.
    pub digest_only: Vec<String>,
}

impl StoredTensors {
    /// Whether the tensors of a case are kept.
    pub fn holds(&self, case: &str) -> bool {
        !self.digest_only.iter().any(|id| id == case)
    }
}
