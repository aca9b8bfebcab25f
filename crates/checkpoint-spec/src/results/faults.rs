//! The kill matrix: what became of every fault.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Mode, Reason, Verdict};
use crate::Measured;

/// How much of the panel was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// Nothing: the run then has a reservation.
    #[default]
    None,
    /// The short panel: some faults of every checkpoint.
    Fast,
    /// Every declared fault.
    All,
}

/// What the fault panel showed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultPanel {
    /// How much of it was asked for.
    pub extent: Extent,
    /// The case that faults were put into: the one that meets most of their needs.
    pub case: Option<String>,
    /// Faults that the specs of the reported checkpoints declare.
    pub declared: u64,
    /// Those of the extent that exist on this architecture and case and are not declared to be equivalent.
    pub required: u64,
    /// Those of them that were refused where declared, for the reason declared.
    pub killed: u64,
    /// Faults that are declared to change nothing, and change nothing.
    pub equivalent: u64,
    /// Faults that architecture and case have no place for; neither killed nor required.
    pub not_exercised: u64,
    /// What kept the panel from showing anything.
    pub problem: Option<String>,
    /// One word.
    pub verdict: Verdict,
    /// Every fault of the extent, in the order of the specs.
    pub faults: Vec<FaultResult>,
}

/// What became of one fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultResult {
    /// `norm-epsilon-1e-6`.
    pub id: String,
    /// The checkpoint that declares it.
    pub checkpoint: String,
    /// What is wrong.
    pub what: String,
    /// Who must refuse it: a checkpoint, `quorum` or `references`.
    pub by: String,
    /// Why it must be refused: any of these.
    pub reasons: Vec<Reason>,
    /// One word.
    pub word: FaultWord,
    /// Why it is declared to change nothing, or what it has no place for.
    pub note: Option<String>,
    /// What the gate made of it; none where it was not put in.
    pub observation: Option<FaultObservation>,
}

/// One word for a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultWord {
    /// Refused where declared, for the reason declared.
    Killed,
    /// Declared to change nothing, and changes nothing.
    Equivalent,
    /// Architecture and case have no place for it.
    NotExercised,
    /// Not put in, though it should have been.
    Missing,
    /// Changes nothing, and is not declared so.
    Idle,
    /// Declared to change nothing, and changes something.
    Matters,
    /// Refused for another reason.
    OtherReason,
    /// Refused first at another place.
    Elsewhere,
    /// Not refused.
    Survived,
}

/// What the gate made of a fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultObservation {
    /// The fault.
    pub id: String,
    /// Whether any evidence differs from that without the fault.
    pub changed: bool,
    /// Who refused it first, and why; none when nobody did.
    pub killer: Option<Killer>,
    /// Its row of the matrix: the verdict of every checkpoint that does not pass.
    pub refusals: BTreeMap<String, Verdict>,
    /// What checkpoints, quorum and incidents of a run with the fault come to.
    pub verdict: Verdict,
}

/// The first that refused a fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Killer {
    /// A checkpoint, `quorum` or `references`.
    pub by: String,
    /// Why.
    pub reason: Reason,
    /// The tensor, as named in a capture; none where an implementation did not answer.
    pub tensor: Option<String>,
    /// Chained or isolated; none where no comparison refused it.
    pub mode: Option<Mode>,
    /// The error over what is allowed; none where nothing is allowed.
    pub margin: Option<Measured>,
    /// What was found and what was expected.
    pub message: String,
}

impl FaultPanel {
    /// Faults that the gate did not treat as their specs declare.
    pub fn departures(&self) -> impl Iterator<Item = &FaultResult> {
        self.faults.iter().filter(|fault| !fault.word.is_as_declared())
    }
}

impl FaultWord {
    /// Whether the gate did what the spec declares.
    pub fn is_as_declared(self) -> bool {
        matches!(self, Self::Killed | Self::Equivalent | Self::NotExercised)
    }
}
