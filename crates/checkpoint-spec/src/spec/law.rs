//! Laws: what must hold between the cases of one implementation, whatever the values are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A law, as a spec declares it. Its cases and comparisons follow from its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LawSpec {
    /// Which law.
    pub id: LawId,
    /// What must hold.
    pub text: String,
    /// Whether both sides are the same arithmetic.
    pub arithmetic: Arithmetic,
    /// Why that can be asked.
    pub why: String,
    /// What shows that a breach is seen.
    pub validated: String,
    /// Whether it is asked of the subject alone.
    #[serde(default)]
    pub subject_only: bool,
}

/// The laws that there is code for; each must be declared once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LawId {
    /// A prefill of n tokens gives what n decodes give.
    PrefillIsDecodes,
    /// A prefill in two parts gives what one part gives, wherever it is split.
    PrefillSplits,
    /// Another content of one row changes nothing in the others.
    RowsAreIndependent,
    /// A batch gives what its rows give alone.
    BatchIsSingles,
    /// Another token changes nothing at earlier positions.
    Causality,
    /// The same question gives the same tokens and the same activations.
    GenerationTwice,
    /// Generation goes on until the context is full.
    GrowthToTheLimit,
    /// One position more is refused.
    PastTheLimit,
}

/// Whether the two sides of a law are the same arithmetic in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Arithmetic {
    /// The same operations on tensors of the same shapes: the same bits, from everyone.
    Same,
    /// Tensors of other shapes, so that another order of summation is legitimate.
    OtherShapes,
}

impl LawId {
    /// Every law.
    pub const ALL: [Self; 8] = [
        Self::PrefillIsDecodes,
        Self::PrefillSplits,
        Self::RowsAreIndependent,
        Self::BatchIsSingles,
        Self::Causality,
        Self::GenerationTwice,
        Self::GrowthToTheLimit,
        Self::PastTheLimit,
    ];

    /// As specs write it: `prefill-is-decodes`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrefillIsDecodes => "prefill-is-decodes",
            Self::PrefillSplits => "prefill-splits",
            Self::RowsAreIndependent => "rows-are-independent",
            Self::BatchIsSingles => "batch-is-singles",
            Self::Causality => "causality",
            Self::GenerationTwice => "generation-twice",
            Self::GrowthToTheLimit => "growth-to-the-limit",
            Self::PastTheLimit => "past-the-limit",
        }
    }
}
