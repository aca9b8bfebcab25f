//! The record of a dump: what of one forward pass was there, and what it means.

use capture::Precision;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CaseSummary, Comparison, Divergence, GrowthRow, RequirementResult, Verdict};
use crate::{Architecture, Measured};

/// Version of [`PartResults`].
pub const PART_SCHEMA: &str = "trialplate/check/1.0";

/// Everything that was found in a dump.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartResults {
    /// [`PART_SCHEMA`].
    pub schema: String,
    /// The model, as the user named it.
    pub model: String,
    /// Sizes and constants of the model.
    pub architecture: Architecture,
    /// The dump, as the user named it.
    pub dump: String,
    /// What the engine computes in, or stores its results in.
    pub precision: Precision,
    /// How its names were brought over.
    pub names: String,
    /// What the engine was given.
    pub case: CaseSummary,
    /// Comparisons made, with at least one element each.
    pub compared: u64,
    /// Tensors of the dump that are activations of the model.
    pub dumped: u64,
    /// Activations that the model has in such a forward pass.
    pub of_model: u64,
    /// How much such a dump can show.
    pub reach: Reach,
    /// The first divergent activation in execution order.
    pub first_divergence: Option<Divergence>,
    /// Which bugs give what was refused: for the first refusals of each kind.
    pub diagnoses: Vec<PartDiagnosis>,
    /// Refused tensors that are right in another layout.
    pub layouts: Vec<RecognisedLayout>,
    /// The comparisons, in execution order.
    pub comparisons: Vec<PartComparison>,
    /// How the error of a whole run grows along the stream, beside the worst replica's; it decides nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub growth: Vec<GrowthRow>,
    /// Requirements that do not hold, or hold with something to say.
    pub requirements: Vec<RequirementResult>,
    /// Requirements that were looked at.
    pub requirements_checked: u64,
    /// Tensors of the dump that nothing was made of.
    pub unused: Vec<UnusedTensor>,
    /// Facts that change no verdict.
    pub notes: Vec<String>,
    /// How names were guessed, as a map to keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<String>,
    /// One word.
    pub verdict: Verdict,
    /// The exit code that follows, before `--strict`.
    pub exit_code: u8,
}

/// One comparison, and the part of the graph that it judges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartComparison {
    /// The checkpoint it belongs to: `02 qkv`.
    pub checkpoint: String,
    /// The numbers and what they mean.
    pub comparison: Comparison,
    /// The dumped tensors from which it was judged; `token_ids` where it follows from them.
    pub from: Vec<String>,
    /// What is not in the dump and was computed on the way.
    pub through: Vec<String>,
}

/// Operations of the forward pass, by how they are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// Each by itself, from its own inputs: a bug in one is found where it is.
    pub alone: u64,
    /// Together with others whose results are not in the dump: a bug is seen, and sits somewhere among them.
    pub together: u64,
    /// The most that are judged together.
    pub largest: u64,
    /// Not at all: nothing that is in the dump follows from them, or it cannot be judged.
    pub unseen: u64,
}

/// What may have gone wrong where an activation was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartDiagnosis {
    /// The checkpoint.
    pub checkpoint: String,
    /// The activation that was refused.
    pub activation: String,
    /// The step.
    pub step: Option<usize>,
    /// Bugs that were computed.
    pub tried: u64,
    /// Those that give what was dumped, the nearest first.
    pub named: Vec<PlacedBug>,
    /// Why none was tried, where none was.
    pub untried: Option<String>,
}

/// A bug that gives what was dumped, and the activations that have it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlacedBug {
    /// The id of a mutation of the operation, or of a fault of the family.
    pub id: String,
    /// What is computed in place of the right thing.
    pub what: String,
    /// Where: `h.0.attn.q`, or `h.{l}.attn.q` for every layer.
    pub at: String,
    /// The largest share of the bound that is used under it.
    pub used: Measured,
}

/// A tensor that is right once its axes are put into the order of the spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecognisedLayout {
    /// The activation.
    pub activation: String,
    /// The step.
    pub step: Option<usize>,
    /// The tensor in the dump.
    pub tensor: String,
    /// What it is: `[head, sequence, Dh]`.
    pub is: String,
    /// What is due: `[batch, sequence, head, Dh]`.
    pub due: String,
    /// What a map says of it: `h s d`.
    pub axes: String,
    /// Whether its values say so; else its shape alone does.
    pub by_values: bool,
}

/// A tensor of a dump that nothing was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnusedTensor {
    /// Its name in the dump.
    pub name: String,
    /// Its dtype and shape.
    pub what: String,
    /// Why.
    pub why: String,
}

impl PartResults {
    /// What is said of the first divergence.
    pub fn diagnosis(&self) -> Option<&PartDiagnosis> {
        let first = self.first_divergence.as_ref()?;
        self.diagnoses.iter().find(|found| (&found.activation, found.step) == (&first.activation, first.step))
    }

    /// The comparison of the first divergence.
    pub fn first(&self) -> Option<&PartComparison> {
        let first = self.first_divergence.as_ref()?;
        self.comparisons
            .iter()
            .find(|found| (&found.comparison.name, found.comparison.step) == (&first.activation, first.step))
    }
}
