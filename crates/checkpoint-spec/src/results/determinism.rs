//! The record of repeats: whether the same question gives the same bits again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Finding, Verdict};

/// Whether the subject gives the same bits whenever it is asked the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Determinism {
    /// One word, on the subject.
    pub verdict: Verdict,
    /// The subject's first difference, in words.
    pub finding: Option<Finding>,
    /// The subject first, then the f32 references, which are there for information and change no verdict.
    pub implementations: Vec<Repeated>,
}

/// The repeats of one implementation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repeated {
    /// `rust@f32`.
    pub implementation: String,
    /// The cases that were repeated, in order.
    pub cases: Vec<String>,
    /// The repeats. The first is the run that is judged, and its captures are those of the bundle.
    pub repeats: Vec<Repeat>,
    /// Activations that every repeat left, so that they could be compared.
    pub compared: u64,
    /// Activations required by specs, architecture and cases.
    pub required: u64,
    /// The first activation, in execution order, that is not the same in all repeats.
    pub first_difference: Option<Difference>,
}

/// One computation of the cases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// Repeats of one number were computed by one process. 0 is the run that is judged.
    pub process: usize,
    /// Threads that it was told to compute with.
    pub threads: usize,
    /// SHA-256 over the digests of the activations, in execution order, case after case.
    pub sha256: String,
}

/// An activation that two repeats do not agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// The case.
    pub case: String,
    /// The step; none for what belongs to the whole case.
    pub step: Option<usize>,
    /// The activation, its layer filled in.
    pub activation: String,
    /// The two repeats, by their place in [`Repeated::repeats`].
    pub between: [usize; 2],
}
