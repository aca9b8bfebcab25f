//! The record of a run: what was compared, what it means. Written by the run, read by verifier and reports.

mod determinism;
mod diagnosis;
mod faults;
mod figures;
mod laws;
mod numbers;
mod outcome;
mod part;
mod side;
mod stored;

use capture::{Identity, TensorName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use determinism::{Determinism, Difference, Repeat, Repeated};
pub use diagnosis::{Diagnosis, NamedBug};
pub use faults::{Extent, FaultObservation, FaultPanel, FaultResult, FaultWord, Killer};
pub use figures::{GrowthError, GrowthRow, PeerFigure};
pub use laws::{LawBound, LawNumbers, LawPlace, Laws};
pub use numbers::{BudgetRecord, ElementRecord, StatisticsRecord, SystematicRecord};
pub use outcome::Outcome;
pub use part::{
    PART_SCHEMA, PartComparison, PartDiagnosis, PartResults, PlacedBug, Reach, RecognisedLayout, UnusedTensor,
};
pub use side::Side;
pub use stored::{Keep, StoredTensors};

pub use crate::reason::Reason;
use crate::{Architecture, Measured};

/// Version of [`Results`].
pub const RESULTS_SCHEMA: &str = "trialplate/results/2.1";

/// Everything a run found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// [`RESULTS_SCHEMA`].
    pub schema: String,
    /// The model, as the user named it: `gpt2-rustbook`, `synthetic:gpt2`.
    pub model: String,
    /// Sizes and constants of the model.
    pub architecture: Architecture,
    /// Who was under test.
    pub subject: Identity,
    /// Who held the graph to account at f64, in order of precedence.
    pub references: Vec<Identity>,
    /// The cases, in order.
    pub cases: Vec<CaseSummary>,
    /// Whether the references agreed with each other at f64.
    pub quorum: Quorum,
    /// The checkpoints, in order.
    pub checkpoints: Vec<CheckpointResult>,
    /// The first divergent activation in execution order.
    pub first_divergence: Option<Divergence>,
    /// Which bugs give what was refused: for the first refusals of each kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnoses: Vec<Diagnosis>,
    /// Whether the gate refuses what it must refuse, on this model.
    pub faults: FaultPanel,
    /// How subject and peers fare, each judged from its own inputs, and what their chained errors come to.
    pub peers: Vec<PeerFigure>,
    /// How the chained error grows along the stream, of the subject and its peers.
    pub growth: Vec<GrowthRow>,
    /// Whether the subject gives the same bits again.
    pub determinism: Determinism,
    /// Whether subject and references keep the laws.
    pub laws: Laws,
    /// What stopped an implementation, if anything did.
    pub incidents: Vec<Incident>,
    /// Reservations under which the run passes.
    pub reservations: Vec<Reservation>,
    /// Facts that change no verdict: no tokenizer, subject weights of its own, …
    pub notes: Vec<String>,
    /// The options that named model, subject and references, as given on the command line; to run a part again.
    pub options: Vec<String>,
    /// Whose tensors the proof bundle holds, and of which cases it has digests only.
    pub tensors: StoredTensors,
    /// The worst verdict of quorum, determinism, laws, faults and checkpoints.
    pub verdict: Verdict,
    /// The exit code that follows, before `--strict`.
    pub exit_code: u8,
}

/// A case in the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseSummary {
    /// Its name.
    pub id: String,
    /// What it is for.
    pub about: String,
    /// `B`.
    pub batch: usize,
    /// `T`.
    pub tokens: usize,
    /// Number of steps.
    pub steps: usize,
    /// `N`.
    pub generate: usize,
}

/// One word for a checkpoint or a run, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything required was compared and is within its bounds.
    Pass,
    /// Passed with reservations, each named.
    Conditional,
    /// Diverges only downstream of another checkpoint's divergence.
    Blocked,
    /// Something required was not compared.
    Incomplete,
    /// A reference or the subject crashed, timed out, or the references disagree.
    Error,
    /// Something compared is out of its bounds.
    Fail,
}

/// One word for a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComparisonVerdict {
    /// Within its bounds.
    Pass,
    /// The judging side has no such activation.
    Incomplete,
    /// One side could not be read.
    Error,
    /// The subject has no such activation.
    Missing,
    /// Out of its bounds.
    Fail,
}

/// From what an activation is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// From what the implementation itself observed.
    Isolated,
    /// From the token ids on, through everything before it.
    Chained,
}

/// One required comparison and what it means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The activation, its layer filled in: `h.3.attn.q`.
    pub name: String,
    /// Its layer; none outside the layers.
    pub layer: Option<usize>,
    /// The step of the schedule; none for what belongs to the whole case.
    pub step: Option<usize>,
    /// The case.
    pub case: String,
    /// Chained or isolated.
    pub mode: Mode,
    /// Who judges: `graph@f64`, a reference, or `itself` where the bits follow from the subject's own activations.
    pub reference: String,
    /// The numbers, or why there are none.
    pub outcome: Outcome,
    /// One word.
    pub verdict: ComparisonVerdict,
    /// Why it is not a plain pass.
    pub reason: Option<Reason>,
    /// What the root mean square error may be, where only a chain can judge.
    pub chained_allowed: Option<Measured>,
    /// Whether a direct input already diverged, so that this is a consequence.
    pub downstream: bool,
}

impl Comparison {
    /// The tensor's name in a capture.
    pub fn tensor_name(&self) -> TensorName {
        TensorName { step: self.step, activation: self.name.clone() }
    }
}

/// One checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointResult {
    /// `00` to `12`.
    pub id: String,
    /// `layer-norm`.
    pub name: String,
    /// What it is about.
    pub title: String,
    /// One word.
    pub verdict: Verdict,
    /// Comparisons made, with at least one element each.
    pub compared: u64,
    /// Comparisons required by spec, architecture and cases.
    pub required: u64,
    /// Tokens that differ from those of the oracle's chain, each the argmax of its own logits.
    pub ties: u64,
    /// The comparisons, in execution order within each case.
    pub comparisons: Vec<Comparison>,
    /// The requirements.
    pub requirements: Vec<RequirementResult>,
    /// Requirements of the spec that do not apply to this run, with the reason; counted apart from passes.
    pub not_applicable: Vec<NotApplicable>,
}

/// What became of one requirement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequirementResult {
    /// `01.3`.
    pub id: String,
    /// What is required.
    pub text: String,
    /// How often it was checked.
    pub checked: u64,
    /// How often it must be checked.
    pub required: u64,
    /// One word.
    pub verdict: ComparisonVerdict,
    /// The first findings: where, what was found, what was expected.
    pub findings: Vec<Finding>,
}

/// A departure from the spec, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The case.
    pub case: String,
    /// The tensor, as named in a capture.
    pub tensor: String,
    /// Why.
    pub reason: Reason,
    /// What was found and what was expected.
    pub message: String,
}

/// A requirement that does not apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotApplicable {
    /// What does not apply.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// Whether the references agreed at f64.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quorum {
    /// Whose results were held against each other.
    pub voices: Vec<Voice>,
    /// Pass, conditional (fewer than two references, by choice), incomplete, or error.
    pub verdict: Verdict,
    /// Comparisons made.
    pub compared: u64,
    /// Comparisons required.
    pub required: u64,
    /// The largest share used of the allowed disagreement.
    pub used: Measured,
    /// Where that was: case and tensor.
    pub worst: Option<String>,
    /// The first disagreement: activation and both values.
    pub disagreement: Option<Finding>,
}

/// An implementation at f64 whose agreement was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Voice {
    /// `torch@f64`, `graph@f64`.
    pub name: String,
    /// Where its computation comes from.
    pub lineage: String,
}

/// The first divergence in execution order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Divergence {
    /// The checkpoint.
    pub checkpoint: String,
    /// The activation.
    pub activation: String,
    /// The case.
    pub case: String,
    /// The step.
    pub step: Option<usize>,
    /// Chained or isolated.
    pub mode: Mode,
    /// Why.
    pub reason: Reason,
}

/// What stopped an implementation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    /// The implementation.
    pub implementation: String,
    /// The case; none when it did not get that far.
    pub case: Option<String>,
    /// `crashed`, `timed_out`, `broke_protocol`, `failed`.
    pub kind: String,
    /// What was found, with the last lines of its standard error.
    pub message: String,
}

/// Something named under which a run passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reservation {
    /// The checkpoint; none for the whole run.
    pub checkpoint: Option<String>,
    /// What it is.
    pub message: String,
}

impl Results {
    /// What is said of the first divergence.
    pub fn diagnosis(&self) -> Option<&Diagnosis> {
        let first = self.first_divergence.as_ref()?;
        let is_of_it = |diagnosis: &&Diagnosis| {
            (&diagnosis.activation, &diagnosis.case, diagnosis.step)
                == (&first.activation, &first.case, first.step)
        };
        self.diagnoses.iter().find(is_of_it)
    }
}

impl Verdict {
    /// The process exit code: 0 conforming, 1 not conforming, 4 incomplete.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Pass | Self::Conditional => 0,
            Self::Fail => 1,
            Self::Blocked | Self::Incomplete | Self::Error => 4,
        }
    }
}
