//! Why something is not a plain pass: the word that findings carry and that faults declare.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a comparison or requirement is not a plain pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The shapes differ.
    Shape,
    /// The dtypes differ.
    #[serde(rename = "dtype")]
    DType,
    /// NaN, or an infinity where none may be.
    NonFinite,
    /// No element was compared.
    Empty,
    /// Out of the rounding budget.
    Budget,
    /// A systematic error of scale or offset.
    Systematic,
    /// A chained error beyond what replicas allow.
    Chained,
    /// Not bit-exact where it must be.
    Exact,
    /// An invariant of the checkpoint does not hold.
    Invariant,
    /// Not the same bits when asked the same again.
    Determinism,
    /// Not there.
    Missing,
    /// There, but no spec asks for it.
    Unexpected,
    /// Could not be read.
    Unreadable,
    /// An argmax flip within the error budget of the logits: a pass, counted.
    Tie,
    /// An implementation was stopped or did not answer.
    Incident,
}
