//! What every implementation left, whether its tensors are in the bundle or not.

use checkpoint_spec::CaseAssay;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Digest;

/// All captures of a run, in order of path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptureList {
    /// [`crate::RecordKind::Captures`], in the version of the bundle.
    pub schema: String,
    /// The captures.
    pub captures: Vec<CaptureEntry>,
}

/// One capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptureEntry {
    /// Where it is, or would be, in the bundle.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// What is in it.
    pub sha256: Digest,
    /// Whether it is in the bundle.
    pub stored: bool,
}

/// The numbers of a case whose tensors are not in the bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssayRecord {
    /// [`crate::RecordKind::Assay`], in the version of the bundle.
    pub schema: String,
    /// What was measured.
    pub assay: CaseAssay,
}
