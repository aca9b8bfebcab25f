//! What a run was made from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Digest;

/// Version of [`Materials`].
pub const MATERIALS_SCHEMA: &str = "trialplate/materials/1";

/// The reservation of a run whose source no commit holds.
pub const DIRTY: &str = "the work tree has uncommitted changes";

/// What a run was made from: everything that could change its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Materials {
    /// [`MATERIALS_SCHEMA`].
    pub schema: String,
    /// The source; none outside a git repository.
    pub git: Option<Git>,
    /// `Cargo.lock`.
    pub cargo_lock: Digest,
    /// The lock file of the Python references.
    pub python_lock: Digest,
    /// The source of the Python references, as one digest.
    pub reference_source: Digest,
    /// The specs as used; see [`crate::spec_digest`].
    pub specs: Digest,
    /// The model's configuration and weights.
    pub weights: Vec<MaterialFile>,
    /// Its tokenizer; empty when it has none.
    pub tokenizer: Vec<MaterialFile>,
    /// The subject's own weights, when it was given other ones.
    pub subject_weights: Option<Vec<MaterialFile>>,
    /// `rustc -V`.
    pub toolchain: String,
    /// Model of the CPU.
    pub cpu: String,
    /// Name and release of the operating system.
    pub os: String,
    /// Threads that computed.
    pub threads: usize,
}

/// A state of the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Git {
    /// The commit, in hex.
    pub commit: String,
    /// Its tree, in hex.
    pub tree: String,
    /// Whether the work tree had changes that are not committed.
    pub dirty: bool,
}

/// A file that went into a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaterialFile {
    /// Its name, without folders.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// What is in it.
    pub sha256: Digest,
}
