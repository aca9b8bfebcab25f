//! Faults as data: the bugs that a checkpoint must be seen to kill.

use capture::Case;
use serde::{Deserialize, Serialize};

use super::Place;
use crate::Architecture;
use crate::reason::Reason;

/// Elements of a stream from which on a scale of 33 roundings stands out on every model that was tried.
const MANY_ELEMENTS: usize = 512;
/// Rows that must share them: what the elements of a LayerNorm row have in common, its error of mean and variance, is up to
/// some 45 roundings, and averages out over rows only. Over eight it is half of what is to be seen.
const MANY_ROWS: usize = 8;

/// A deliberate bug. It is put into a correct implementation from outside, and the gate must refuse what comes out, at
/// the checkpoint whose spec declares it and for the reason declared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// `norm-epsilon-1e-6`.
    pub id: String,
    /// What is wrong.
    pub what: String,
    /// Why it must be refused: any of these. Which bound on values speaks first depends on the size of the model's.
    #[serde(rename = "reason")]
    pub reasons: Vec<Reason>,
    /// Who must refuse it, where it is not the checkpoint itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<FaultJudge>,
    /// What architecture and case must have for the fault to exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Need>,
    /// Why no result can change; that none does is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equivalent: Option<String>,
    /// Whether it belongs to the short panel.
    #[serde(default)]
    pub fast: bool,
    /// What is computed otherwise, and where; none for a fault of evidence, references or their programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Place>,
    /// Features that must be there for it to be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<String>,
    /// Features that must not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unless: Vec<String>,
}

/// Who refuses a fault of the references.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultJudge {
    /// The references' agreement with each other at f64.
    Quorum,
    /// That every reference answers.
    References,
}

/// What a fault needs in order to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Two layers or more.
    Layers,
    /// Two heads or more.
    Heads,
    /// Two rows or more, which differ.
    Batch,
    /// A first step of two tokens or more.
    Tokens,
    /// Two steps or more.
    Decode,
    /// Generated tokens.
    Generation,
    /// Slots of the cache that the case leaves unused.
    Room,
    /// A head dimension that is no power of four, so that 1/√Dh is rounded.
    RoundedScale,
    /// Fewer heads of keys than of queries, and more than one.
    Groups,
    /// A step whose last query is farther from the first key than its window holds.
    BeyondWindow,
    /// Enough elements, `B · S · D`, in enough rows of one step, for an error of a few roundings to be told from rounding:
    /// each step is judged by itself.
    ManyElements,
}

impl FaultSpec {
    /// Who must refuse it: `04`, `quorum`, `references`.
    pub fn killer<'a>(&self, checkpoint: &'a str) -> &'a str {
        match self.by {
            None => checkpoint,
            Some(FaultJudge::Quorum) => FaultJudge::QUORUM,
            Some(FaultJudge::References) => FaultJudge::REFERENCES,
        }
    }

    /// What keeps it from being a fault on that architecture and case.
    pub fn lacks(&self, architecture: &Architecture, case: &Case) -> Vec<Need> {
        self.needs.iter().copied().filter(|need| !need.is_met(architecture, case)).collect()
    }
}

impl FaultJudge {
    /// The quorum as a killer.
    pub const QUORUM: &'static str = "quorum";
    /// A reference that did not answer, as a killer.
    pub const REFERENCES: &'static str = "references";
}

impl Need {
    /// Every need.
    pub const ALL: [Self; 11] = [
        Self::Layers,
        Self::Heads,
        Self::Batch,
        Self::Tokens,
        Self::Decode,
        Self::Generation,
        Self::Room,
        Self::RoundedScale,
        Self::Groups,
        Self::BeyondWindow,
        Self::ManyElements,
    ];

    /// Whether architecture and case have it.
    pub fn is_met(self, architecture: &Architecture, case: &Case) -> bool {
        let size = |symbol: &str| architecture.sizes.get(symbol).copied().unwrap_or(0);
        match self {
            Self::Layers => architecture.layers > 1,
            Self::Heads => size("H") > 1,
            Self::Batch => case.token_ids.windows(2).any(|rows| rows[0] != rows[1]),
            Self::Tokens => case.schedule.first().is_some_and(|&tokens| tokens > 1),
            Self::Decode => case.schedule.len() > 1,
            Self::Generation => case.generate > 0,
            Self::Room => case.tokens() < size("C"),
            Self::Groups => size("G") > 1 && size("G") < size("H"),
            // A window of one key more must be seen, too.
            Self::BeyondWindow => {
                architecture.constants.get("window").is_some_and(|&window| (case.tokens() as f64) > window)
            }
            Self::ManyElements => {
                let largest = case.schedule.iter().copied().max().unwrap_or(0);
                let rows = case.batch().saturating_mul(largest);
                rows >= MANY_ROWS && rows.saturating_mul(size("D")) >= MANY_ELEMENTS
            }
            Self::RoundedScale => {
                let head_dim = size("Dh");
                !(head_dim.is_power_of_two() && head_dim.trailing_zeros() % 2 == 0)
            }
        }
    }

    /// `a second layer`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Layers => "a second layer",
            Self::Heads => "a second head",
            Self::Batch => "a second row that differs",
            Self::Tokens => "a first step of several tokens",
            Self::Decode => "a second step",
            Self::Generation => "generated tokens",
            Self::Room => "unused cache slots",
            Self::Groups => "heads of keys that several heads of queries share",
            Self::BeyondWindow => "more tokens than a window holds",
            Self::ManyElements => "enough elements to tell a few roundings from rounding",
            Self::RoundedScale => "a head dimension that is no power of four",
        }
    }
}
