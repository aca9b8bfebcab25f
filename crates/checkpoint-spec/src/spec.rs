//! Spec files: one per checkpoint, read strictly.

mod check;
mod error;
mod fault;
mod judging;
mod law;
mod load;
mod operation;
mod order;
mod place;
mod resolve;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::BTreeMap;

use graph::{Family, Features, Graph, Operation, conditional};
use serde::{Deserialize, Serialize};
use tensor_compare::Tolerance;

pub use check::Check;
pub use error::SpecError;
pub use fault::{FaultJudge, FaultSpec, Need};
pub use judging::Judging;
pub use law::{Arithmetic, LawId, LawSpec};
pub use load::family_of;
pub use operation::{BudgetRule, HalfRule, OperationLaw};
pub use place::{Layers, NamedChange, Place};

pub(crate) use check::temperature;
pub(crate) use order::{Planned, execution_order};

/// The specs of a family's models that have the same features, in checkpoint order, with the numbers that decide.
#[derive(Clone, Debug, PartialEq)]
pub struct SpecSet {
    /// The family: how its models are read.
    pub family: Family,
    /// The numbers that decide, in every family.
    pub judging: Judging,
    /// How results of each operation are judged.
    pub operations: BTreeMap<String, OperationLaw>,
    /// What the models have beyond what every model of the family has.
    pub features: Features,
    /// The specs, `00` first.
    pub specs: Vec<Spec>,
}

conditional!(ActivationSpec, Requirement, FaultSpec);

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
    /// Published generations that must be reproduced by the weights they belong to.
    #[serde(default, rename = "golden", skip_serializing_if = "Vec::is_empty")]
    pub goldens: Vec<Golden>,
}

/// One activation: its layout, how it is computed and how it is judged.
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
    /// How it is computed; none for what is given, or follows from a whole case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<Operation>,
    /// From what it follows where it has no operation, for telling cause from consequence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// How it is judged where it has no operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// Where systematic error is looked for, if not where the law of its operation says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetRule>,
    /// The bound that people ask for, printed beside the error of a chained run. It decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<Ceiling>,
    /// Whose captures must have it.
    #[serde(default)]
    pub applies: Applies,
    /// Where it may be infinite.
    #[serde(default)]
    pub non_finite: NonFinitePolicy,
    /// Plausible values; others make the checkpoint conditional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<(f64, f64)>,
    /// Features that must be there for it to be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<String>,
    /// Features that must not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unless: Vec<String>,
}

/// A classic ceiling: `|a − e| <= atol + rtol·|e|`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawCeiling", into = "RawCeiling")]
pub struct Ceiling {
    /// The bound.
    pub tolerance: Tolerance,
    /// Where it comes from.
    pub reason: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCeiling {
    atol: f64,
    rtol: f64,
    reason: String,
}

impl TryFrom<RawCeiling> for Ceiling {
    type Error = tensor_compare::ToleranceError;

    fn try_from(RawCeiling { atol, rtol, reason }: RawCeiling) -> Result<Self, Self::Error> {
        Ok(Self { tolerance: Tolerance::new(atol, rtol)?, reason })
    }
}

impl From<Ceiling> for RawCeiling {
    fn from(Ceiling { tolerance, reason }: Ceiling) -> Self {
        Self { atol: tolerance.atol(), rtol: tolerance.rtol(), reason }
    }
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
    /// −∞ there, and perhaps at keys before the query, which a window leaves behind. Shape `[…, S, K]`.
    NegativeInfinityBesidesTheQuery,
}

/// How an activation without an operation is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "kind")]
pub enum Rule {
    /// Against every reference: the same bits.
    Exact {
        /// Why that can be asked.
        reason: String,
    },
    /// Against what follows from the case, the model or the implementation's own activations: the same bits.
    Derived {
        /// From what it follows.
        from: Derivation,
        /// Why that can be asked.
        reason: String,
    },
    /// Against the oracle's chain, with the error of the replicas as the measure.
    Chained {
        /// Why nothing nearer can judge it.
        reason: String,
    },
}

/// How an activation is judged: by its operation, or by its rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Judgement<'a> {
    /// From its own inputs, under the rounding budget of its operation.
    Budget(&'a Operation),
    /// From its own inputs: its operation moves data, and the bits must be theirs.
    Bits(&'a Operation),
    /// By its rule.
    Rule(&'a Rule),
}

/// How expected values follow from the case, the model or an implementation's own activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Derivation {
    /// All ones.
    One,
    /// All zeros.
    Zero,
    /// The SHA-256 of the weight that the name ends with, as f32.
    WeightDigest,
    /// The token ids that the case schedules for this step.
    ScheduledTokens,
    /// Keys and values of all steps so far in their slots, zeros in all others.
    CacheSlots,
    /// The lowest index of the largest of each row of its own input.
    Greedy,
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
    /// The activations the check looks at, of this spec; those that a model does not have are left out.
    pub of: Vec<String>,
    /// Features that must be there for it to be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<String>,
    /// Features that must not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unless: Vec<String>,
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

    /// The activation with that index in the spec with that index.
    pub(crate) fn at(&self, spec: usize, activation: usize) -> &ActivationSpec {
        &self.specs[spec].activations[activation]
    }

    /// The graph of the family: its activations in the order of the files.
    pub fn graph(&self) -> Graph {
        let activations = self.activations().map(|(_, _, activation)| activation.in_graph());
        Graph { family: self.family.clone(), activations: activations.collect() }
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

    /// How it is judged; none where a spec says neither how it is computed nor what it follows from, which does not load.
    pub fn judgement(&self) -> Option<Judgement<'_>> {
        match (&self.op, &self.rule) {
            (Some(op), _) if op.moves() => Some(Judgement::Bits(op)),
            (Some(op), _) => Some(Judgement::Budget(op)),
            (None, rule) => rule.as_ref().map(Judgement::Rule),
        }
    }

    /// Its direct inputs as the spec writes them.
    pub fn all_inputs(&self) -> Vec<String> {
        match &self.op {
            None => self.inputs.clone(),
            Some(op) => {
                let own = op.continues().then(|| format!("previous:{}", self.name));
                own.into_iter().chain(op.inputs().into_iter().map(str::to_owned)).collect()
            }
        }
    }

    fn in_graph(&self) -> graph::Activation {
        graph::Activation { name: self.name.clone(), shape: self.shape.clone(), op: self.op.clone() }
    }
}

impl Golden {
    /// Whether the weights of a model, as the user named it, are those of this generation.
    pub fn applies_to(&self, model: &str) -> bool {
        let name = model.split_once('@').map_or(model, |(name, _revision)| name);
        self.models.iter().any(|known| known == name)
    }
}
