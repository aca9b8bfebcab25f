//! The record of the laws: what must hold between cases, whatever the values are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Finding, Verdict};
use crate::Measured;
use crate::spec::LawId;

/// Whether the subject, and every reference at f64, keeps the laws.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Laws {
    /// One word: fail for a law that the subject breaks, error for one that a reference breaks.
    pub verdict: Verdict,
    /// The first breach of each law and implementation, the subject's first.
    pub findings: Vec<Finding>,
    /// The numbers, implementation by implementation, the subject first.
    pub numbers: Vec<LawNumbers>,
}

/// One law and one implementation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LawNumbers {
    /// The law.
    pub law: LawId,
    /// `rust@f32`.
    pub implementation: String,
    /// How close the two sides must be.
    pub bound: LawBound,
    /// Parts of activations compared, with at least one element each.
    pub compared: u64,
    /// Parts required by law, specs and architecture.
    pub required: u64,
    /// Parts out of their bound.
    pub violations: u64,
    /// The largest absolute difference.
    pub max_abs: Measured,
    /// Where that is; none where nothing differs.
    pub worst: Option<LawPlace>,
    /// The first part, in execution order, that is out of its bound.
    pub first: Option<LawPlace>,
    /// What was said to the case that must be refused.
    pub refusal: Option<String>,
    /// What kept a case from being run.
    pub problem: Option<String>,
    /// One word.
    pub verdict: Verdict,
}

/// How close the two sides of a law must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LawBound {
    /// The same bits.
    Bits,
    /// What two correct implementations may be apart, by the errors of replicas.
    Replicas,
    /// What references may be apart at f64.
    Quorum,
}

/// A place where two sides differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LawPlace {
    /// The case that is held to the law.
    pub case: String,
    /// The tensor of that case, as named in a capture.
    pub tensor: String,
    /// The position in the row; none where the activation has none.
    pub position: Option<usize>,
    /// What was found and what was expected.
    pub message: String,
}

impl LawNumbers {
    /// Nothing compared yet.
    pub(crate) fn none(law: LawId, implementation: &str, bound: LawBound, required: u64) -> Self {
        Self {
            law,
            implementation: implementation.to_owned(),
            bound,
            compared: 0,
            required,
            violations: 0,
            max_abs: Measured(0.0),
            worst: None,
            first: None,
            refusal: None,
            problem: None,
            verdict: Verdict::Incomplete,
        }
    }
}
