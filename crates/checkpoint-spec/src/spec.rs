//! Spec files: one per checkpoint, read strictly.

mod fault;
mod law;
mod load;
#[cfg(test)]
mod tests;
mod validate;

use capture::protocol::Rounds;
use serde::{Deserialize, Serialize};
use tensor_compare::{Criterion, Tolerance};

use crate::Check;

pub use fault::{FaultJudge, FaultSpec, Need};
pub use law::{Arithmetic, LawId, LawSpec};

/// The specs of one family, in checkpoint order.
#[derive(Clone, Debug, PartialEq)]
pub struct SpecSet {
    /// `gpt2`.
    pub family: String,
    /// The specs, `00` first.
    pub specs: Vec<Spec>,
}

/// One checkpoint's law.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// `00` to `12`.
    pub id: String,
    /// `layer-norm`.
    pub name: String,
    /// A line for people.
    pub title: String,
    /// What is computed here, as a formula and with the source of the fact.
    pub about: String,
    /// Checkpoints whose activations are inputs of this one's.
    #[serde(default)]
    pub prerequisites: Vec<String>,
    /// The activations, in execution order within a layer.
    #[serde(rename = "activation")]
    pub activations: Vec<ActivationSpec>,
    /// The numbered requirements.
    #[serde(rename = "requirement")]
    pub requirements: Vec<Requirement>,
    /// The bugs that must be refused here.
    #[serde(default, rename = "fault", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultSpec>,
    /// What must hold between cases; in the last spec, for laws are of the whole.
    #[serde(default, rename = "law", skip_serializing_if = "Vec::is_empty")]
    pub laws: Vec<LawSpec>,
    /// The false-alarm probability of a whole run; in the first spec only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub false_alarm: Option<FalseAlarm>,
    /// Published generations that must be reproduced by the weights they belong to.
    #[serde(default, rename = "golden", skip_serializing_if = "Vec::is_empty")]
    pub goldens: Vec<Golden>,
}

/// One activation: its layout, its inputs and how it is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationSpec {
    /// The name; `{l}` stands for every layer.
    pub name: String,
    /// Dimensions: symbols of the architecture, `B`, `S`, `P`, `K`, `T`, `N` of the case and step, or numbers.
    pub shape: Vec<String>,
    /// What its elements are.
    pub kind: Kind,
    /// Where it occurs.
    pub steps: Steps,
    /// Its direct inputs, for replay and for telling cause from consequence. `{l}` is this layer, `{l-1}` the one
    /// before, `{L-1}` the last one; `a | b` is `a` in layer 0 and `b` elsewhere; `previous:x` is `x` of the step
    /// before, if any.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// How it is judged.
    pub rule: Rule,
    /// The rounding budget of its replay; none where nothing is rounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetRule>,
    /// Whether it can be computed alone, from its inputs.
    #[serde(default)]
    pub replay: bool,
    /// Whether it is a composite, which exists in replays only.
    #[serde(default)]
    pub composite: bool,
    /// Whose captures must have it.
    #[serde(default)]
    pub applies: Applies,
    /// Where it may be infinite.
    #[serde(default)]
    pub non_finite: NonFinitePolicy,
    /// Plausible values; others make the checkpoint conditional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<(f64, f64)>,
}

/// How the rounding budget of a replayed activation is applied. The bound itself is the oracle's, element by element.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetRule {
    /// Where systematic error is looked for: `tensor`, or the symbol of an axis, such as `H`, or `last`, or `columns`,
    /// the last two axes together.
    #[serde(default)]
    pub slices: Vec<String>,
    /// Whether the elements of a row share an error, as those of a normalised row do.
    #[serde(default)]
    pub shared_rows: bool,
    /// Where a subject that stores in half precision rounds to it.
    pub half: HalfRule,
    /// What is rounded, and how the bound grows.
    pub reason: String,
}

/// Where half precision takes the place of f32 in the budget of a subject that stores in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HalfRule {
    /// What is rounded to it.
    pub rounds: Vec<Rounds>,
    /// Why there, and nowhere else.
    pub reason: String,
}

/// How often a run of a correct implementation may be accused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FalseAlarm {
    /// For a whole run, above 0 and below 1.
    pub probability: f64,
    /// Why.
    pub reason: String,
}

/// What elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Floats in the implementation's precision.
    Float,
    /// Token ids (`I64`).
    Token,
    /// Digest bytes and flags (`U8`).
    Byte,
}

/// Where an activation occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Steps {
    /// Once per case.
    Case,
    /// In every step.
    Every,
    /// In the first and the last step.
    FirstAndLast,
}

/// Whose captures must have an activation. Decided by the harness from its registry, never by the capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Applies {
    /// Everyone's.
    #[default]
    Always,
    /// Implementations whose KV cache is allocated for the whole context.
    PreallocatedCache,
    /// Cases that generate.
    Generation,
    /// Models with a tokenizer.
    Tokenizer,
}

/// Where a float may be infinite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NonFinitePolicy {
    /// Nowhere.
    #[default]
    Never,
    /// −∞ exactly where the key lies after the query (`key > P + query`), finite elsewhere. Shape `[…, S, K]`.
    NegativeInfinityAfterQuery,
}

/// How an activation is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "kind")]
pub enum Rule {
    /// Against every f32 reference: `|a − e| <= atol + rtol·|e|`.
    Classic {
        /// The bound.
        #[serde(flatten)]
        tolerance: Tolerance,
        /// The bound in a chained run, where the activation carries the error of what comes before it; else the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        chained: Option<Tolerance>,
        /// Why this bound.
        reason: String,
    },
    /// Against every f32 reference: the same bits.
    Exact {
        /// Why that can be asked.
        reason: String,
    },
    /// Against every f32 reference: the same token, but for ties of the oracle's logits.
    Tie {
        /// The bound within which two logits count as tied, on top of the logits' own ceiling.
        reason: String,
    },
    /// Against what follows from the subject's own activations: the same bits.
    Derived {
        /// From what it follows.
        from: Derivation,
        /// Why that can be asked.
        reason: String,
    },
}

impl Rule {
    /// What the subject's chained activation must satisfy against an f32 reference.
    pub fn criterion(&self) -> Criterion {
        match self {
            Self::Classic { tolerance, chained, .. } => Criterion::Classic(chained.unwrap_or(*tolerance)),
            Self::Exact { .. } | Self::Tie { .. } | Self::Derived { .. } => Criterion::BitExact,
        }
    }

    /// The classic bound of a chained run; none for what is not judged by one.
    pub fn chained_tolerance(&self) -> Option<Tolerance> {
        match self {
            Self::Classic { tolerance, chained, .. } => Some(chained.unwrap_or(*tolerance)),
            _ => None,
        }
    }

    /// The bound of a replayed float against the f64 oracle; none where the bits must be the oracle's own. What is
    /// exact between f32 implementations is one correct rounding of the oracle's value; moved data is not rounded.
    pub fn replay_tolerance(&self) -> Option<Tolerance> {
        match self {
            Self::Classic { tolerance, .. } => Some(*tolerance),
            Self::Exact { .. } => Tolerance::new(0.0, f64::from(f32::EPSILON) / 2.0).ok(),
            Self::Derived { .. } => Tolerance::new(0.0, 0.0).ok(),
            Self::Tie { .. } => None,
        }
    }
}

/// How expected values follow from a capture's own activations (or from the law alone).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Derivation {
    /// All ones.
    One,
    /// The token ids that the case schedules for this step.
    ScheduledTokens,
    /// The keys of all steps so far, concatenated.
    KeysSoFar,
    /// The values of all steps so far, concatenated.
    ValuesSoFar,
    /// Keys and values of all steps so far in their slots, zeros in all others.
    CacheSlots,
    /// 0 where the key position is at most the query's, −∞ elsewhere.
    CausalMask,
    /// The last position of `logits`.
    LastPosition,
    /// The lowest index of the largest value of `logits.last`.
    Argmax,
}

/// One numbered requirement, bound to a check that can fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// `01.3`: the checkpoint's id and a number.
    pub id: String,
    /// What is required.
    pub text: String,
    /// What can fail it.
    pub check: Check,
    /// The activations the check looks at, of this spec.
    pub of: Vec<String>,
}

/// A published generation. It says something about the weights it belongs to, and about no others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// The models whose weights they are, as a user names them: `hf:openai-community/gpt2-medium`. With or without
    /// a `@REVISION`.
    pub models: Vec<String>,
    /// The prompt.
    pub prompt: String,
    /// The text that follows at temperature 0.
    pub continuation: String,
    /// Tokens generated.
    pub tokens: usize,
    /// Where it is published.
    pub source: String,
}

impl SpecSet {
    /// All activations in the order of the files, with the index of their spec and their index in it.
    pub fn activations(&self) -> impl Iterator<Item = (usize, usize, &ActivationSpec)> {
        self.specs.iter().enumerate().flat_map(|(spec, found)| {
            found.activations.iter().enumerate().map(move |(index, activation)| (spec, index, activation))
        })
    }

    /// All faults in the order of the files, with the checkpoint that declares each.
    pub fn faults(&self) -> impl Iterator<Item = (&str, &FaultSpec)> {
        self.specs.iter().flat_map(|spec| spec.faults.iter().map(|fault| (spec.id.as_str(), fault)))
    }

    /// All laws in the order of the files.
    pub fn laws(&self) -> impl Iterator<Item = &LawSpec> {
        self.specs.iter().flat_map(|spec| &spec.laws)
    }
}

impl Spec {
    /// `01-layer-norm.toml`.
    pub fn file_name(&self) -> String {
        format!("{}-{}.toml", self.id, self.name)
    }

    /// The activation with that name, `{l}` not filled in.
    pub fn activation(&self, name: &str) -> Option<&ActivationSpec> {
        self.activations.iter().find(|activation| activation.name == name)
    }
}

impl ActivationSpec {
    /// Whether there is one in every layer.
    pub fn is_layered(&self) -> bool {
        self.name.contains("{l}")
    }
}

impl Golden {
    /// Whether the weights of a model, as the user named it, are those of this generation.
    pub fn applies_to(&self, model: &str) -> bool {
        let name = model.split_once('@').map_or(model, |(name, _revision)| name);
        self.models.iter().any(|known| known == name)
    }
}

/// Why a spec is none.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Not TOML, or not of the schema.
    #[error("spec {file}: {problem}")]
    Syntax {
        /// The file.
        file: String,
        /// What is wrong, and where.
        problem: String,
    },
    /// Of the schema, but contradicting itself.
    #[error("spec {file}: {problem}")]
    Inconsistent {
        /// The file.
        file: String,
        /// What contradicts what.
        problem: String,
    },
    /// The specs do not fit the model.
    #[error("the specs do not fit the model: {problem}")]
    Architecture {
        /// What does not fit.
        problem: String,
    },
    /// No such family.
    #[error("no specs for the family `{family}`; there are specs for: gpt2")]
    UnknownFamily {
        /// The family asked for.
        family: String,
    },
}
