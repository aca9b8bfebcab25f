//! Compares one case's captures: shape and dtype first, then values. Produces numbers, never verdicts.

mod beside;
mod chained;
mod evidence;
mod isolated;
mod measure;
mod opened;
mod part;
mod quorum;
mod recorded;
mod subject;

use std::collections::BTreeSet;

use capture::{Case, Precision, Tensor, TensorName, TensorSource};
use graph::Change;
use oracle::ApplyError;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use beside::Judged;
pub(crate) use chained::replica_bounds;
pub use evidence::{CaseEvidence, ReferenceCaptures, Setting, Source};
pub use opened::CaseCaptures;
pub use part::{Part, PartAssay, PartObservation, TOKENS, dumpable};
pub use quorum::QuorumObservation;
pub(crate) use quorum::scaled_tolerance;
pub use recorded::recorded;

use chained::{Fed, Pass, Passed, Replicas};
use isolated::Isolated;
use subject::Assayer;

use crate::Measured;
use crate::checks::Examination;
use crate::plan::{Required, required};
use crate::results::{Mode, Outcome, Side};
use crate::spec::{Judgement, Rule, SpecError};

/// The graph at f64, as a voice and as the judge.
pub const ORACLE: &str = "graph@f64";

/// The graph's side of a comparison.
fn oracle() -> Side {
    Side::Reference(ORACLE.to_owned())
}

/// Who judges when expected values follow from the subject's own activations.
pub const ITSELF: &str = "itself";

/// One required comparison and its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// What was required.
    pub required: Required,
    /// The case.
    pub case: String,
    /// Chained or isolated.
    pub mode: Mode,
    /// Who judges.
    pub reference: String,
    /// The numbers, or why there are none.
    pub outcome: Outcome,
    /// The direct inputs, by tensor name. They follow from the specs, so no record has them.
    #[serde(skip)]
    pub inputs: Vec<TensorName>,
    /// What the root mean square error against the oracle's chain may be, where nothing nearer judges.
    pub chained_allowed: Option<Measured>,
}

/// What the check of one requirement found in one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExaminedRequirement {
    /// Index of the spec.
    pub spec: usize,
    /// Index of the requirement in it.
    pub requirement: usize,
    /// How often it must be checked.
    pub required: u64,
    /// What was found.
    pub examination: Examination,
}

/// All numbers of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseAssay {
    /// The case.
    pub case: String,
    /// Comparisons in execution order: for each mode, activation by activation.
    pub observations: Vec<Observation>,
    /// Requirements with a check of their own.
    pub requirements: Vec<ExaminedRequirement>,
    /// Activations of the subject that no spec asks for.
    pub unexpected: Vec<TensorName>,
    /// The voices against each other at f64.
    pub quorum: Vec<QuorumObservation>,
    /// What decides nothing and is shown: chained errors of the subject and its peers, and the peers judged from their own
    /// inputs as if they were the subject.
    pub measured: Vec<Measurement>,
}

/// One activation of one implementation against the oracle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// The implementation: `torch@f32`.
    pub implementation: String,
    /// What was compared.
    pub required: Required,
    /// Chained or isolated.
    pub mode: Mode,
    /// The numbers, or why there are none.
    pub outcome: Outcome,
}

/// Why a case cannot be assayed.
#[derive(Debug, thiserror::Error)]
pub enum AssayError {
    /// The specs do not fit the model.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The oracle's chain cannot be computed.
    #[error("the oracle cannot run the case: {0}")]
    Chain(#[from] ApplyError),
}

/// The numbers that do not depend on the subject's captures.
#[derive(Clone, Debug)]
pub struct ReferenceAssay {
    /// The voices against each other at f64.
    pub quorum: Vec<QuorumObservation>,
    replicas: Option<Replicas>,
}

/// Compares everything that specs, architecture and case require, on as many threads as the caller's pool has: what
/// comes out is in the order of the plan, whoever computed it.
///
/// # Errors
/// If the specs do not fit the model, or the oracle cannot run the case.
pub fn assay(setting: &Setting<'_>, evidence: &CaseEvidence<'_>) -> Result<CaseAssay, AssayError> {
    let plan = plan(setting, evidence)?;
    let passed = pass(setting, evidence, &plan)?;
    let references = voices(setting, evidence, &plan, &passed)?;
    let mut assay = assay_against(setting, evidence, references, passed.generated.as_ref(), None)?;
    passed.count_ties(&mut assay.observations);
    let peers = peers(setting, evidence, &plan);
    assay.measured = passed.measurements(setting, evidence, &plan).into_iter().chain(peers).collect();
    Ok(assay)
}

/// Compares the voices with each other. What replicas say of the case is taken from what is known, if anything is.
///
/// # Errors
/// As [`assay`].
pub fn assay_references(
    setting: &Setting<'_>,
    evidence: &CaseEvidence<'_>,
    known: Option<&ReferenceAssay>,
) -> Result<ReferenceAssay, AssayError> {
    let plan = plan(setting, evidence)?;
    let passed = pass(setting, evidence, &plan)?;
    let replicas = match known {
        Some(known) => known.replicas.clone(),
        None => Replicas::of_forced(setting, evidence.case)?,
    };
    Ok(ReferenceAssay { replicas, ..voices(setting, evidence, &plan, &passed)? })
}

/// Judges the subject beside voices that were compared already, and, where there is one, beside a capture that was judged
/// and of which only the named tensors differ: what they cannot reach is not judged again. Nothing that only is to be shown
/// is measured.
///
/// # Errors
/// As [`assay`].
pub fn assay_subject(
    setting: &Setting<'_>,
    evidence: &CaseEvidence<'_>,
    references: ReferenceAssay,
    beside: Option<(&Judged, &BTreeSet<TensorName>)>,
) -> Result<CaseAssay, AssayError> {
    assay_against(setting, evidence, references, None, beside)
}

fn assay_against(
    setting: &Setting<'_>,
    evidence: &CaseEvidence<'_>,
    references: ReferenceAssay,
    exact: Option<&Fed>,
    beside: Option<(&Judged, &BTreeSet<TensorName>)>,
) -> Result<CaseAssay, AssayError> {
    let plan = plan(setting, evidence)?;
    let rules = setting.specs.rules(setting.confidence, setting.precision());
    let assayer =
        Assayer { setting, evidence, rules: &rules, replicas: references.replicas.as_ref(), exact, beside };
    let observations = plan.par_iter().flat_map_iter(|required| assayer.observe_once(required)).collect();
    Ok(CaseAssay {
        case: evidence.case.id.clone(),
        observations,
        requirements: assayer.examine_requirements(&plan),
        unexpected: assayer.unexpected()?,
        quorum: references.quorum,
        measured: Vec::new(),
    })
}

/// What follows from the case, the model or other activations of a capture, where the spec of an activation says how.
///
/// # Errors
/// With why it does not.
pub fn derived(
    setting: &Setting<'_>,
    case: &Case,
    source: &dyn TensorSource,
    required: &Required,
) -> Result<Tensor, String> {
    let Some(Judgement::Rule(Rule::Derived { from, .. })) = setting.specs.of(required).judgement() else {
        return Err(format!("`{}` follows from nothing that is known", required.name));
    };
    let (side, precision) = (&Side::Subject, setting.precision());
    let isolated = Isolated { setting, case, source: Some(source), side, precision, rules: &[] };
    isolated.derived(*from, required).map_err(|outcome| outcome.to_string())
}

/// The numbers of an activation against what a component with a bug makes of the subject's own inputs.
pub(crate) fn under(
    setting: &Setting<'_>,
    evidence: &CaseEvidence<'_>,
    required: &Required,
    change: &Change,
) -> Observation {
    let rules = setting.specs.rules(setting.confidence, setting.precision());
    let isolated = Isolated {
        setting,
        case: evidence.case,
        source: evidence.subject,
        side: &Side::Subject,
        precision: setting.precision(),
        rules: &rules,
    };
    Observation {
        required: required.clone(),
        case: evidence.case.id.clone(),
        mode: Mode::Isolated,
        reference: ORACLE.to_owned(),
        outcome: isolated.judge_under(required, change),
        inputs: Vec::new(),
        chained_allowed: None,
    }
}

/// Everything that is required of the subject in a case.
pub(crate) fn plan(setting: &Setting<'_>, evidence: &CaseEvidence<'_>) -> Result<Vec<Required>, SpecError> {
    required(setting.specs, setting.architecture, evidence.case, setting.traits, Precision::F32)
}

/// The oracle's chain with everything that is compared with it; nothing where the model is not at hand.
fn pass(setting: &Setting<'_>, evidence: &CaseEvidence<'_>, plan: &[Required]) -> Result<Passed, ApplyError> {
    setting.model.map_or_else(|| Ok(Passed::default()), |model| Pass::run(setting, evidence, plan, model))
}

fn voices(
    setting: &Setting<'_>,
    evidence: &CaseEvidence<'_>,
    plan: &[Required],
    passed: &Passed,
) -> Result<ReferenceAssay, AssayError> {
    let mut quorum = quorum::observe(setting, evidence)?;
    quorum.extend(passed.quorum(setting, evidence, plan));
    Ok(ReferenceAssay { quorum, replicas: None })
}

/// The peers of the subject, each judged from its own inputs.
fn peers(setting: &Setting<'_>, evidence: &CaseEvidence<'_>, plan: &[Required]) -> Vec<Measurement> {
    let precision = setting.precision().peer();
    let rules = setting.specs.rules(setting.confidence, precision);
    let is_rounded =
        |required: &&Required| matches!(setting.specs.of(required).judgement(), Some(Judgement::Budget(_)));
    let mut measurements = Vec::new();
    for (implementation, source) in evidence.measured(setting).into_iter().skip(1) {
        let (case, side) = (evidence.case, &Side::Reference(implementation.clone()));
        let isolated = Isolated { setting, case, source, side, precision, rules: &rules };
        let found: Vec<Measurement> = plan
            .par_iter()
            .filter(is_rounded)
            .map(|required| Measurement {
                implementation: implementation.clone(),
                required: required.clone(),
                mode: Mode::Isolated,
                outcome: isolated.judge(required),
            })
            .collect();
        measurements.extend(found);
    }
    measurements
}
