//! Compares one case's captures: shape and dtype first, then values. Produces numbers, never verdicts.

mod derive;
mod evidence;
mod half;
mod measure;
mod peers;
mod quorum;
mod recorded;
mod ties;

use std::collections::{BTreeMap, BTreeSet};

use capture::{Case, Precision, TensorName, TensorSource};
use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use evidence::{Captures, CaseEvidence, ReferenceCaptures, Setting};
pub use peers::PeerObservation;
pub use quorum::QuorumObservation;
pub(crate) use quorum::scaled_tolerance;
pub use recorded::recorded;
pub use ties::first_flips_are_ties;

use measure::{IntoOutcome, Side, against_oracle, fetch, fetch_f64, matched, replayed, same_bits};

use crate::Measured;
use crate::checks::{CheckContext, Examination};
use crate::plan::{Required, Traits, direct_inputs, required};
use crate::results::{Mode, Outcome};
use crate::spec::{ActivationSpec, Rule, SpecError};

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
    /// What the root mean square error against the oracle may be, in a chained run.
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
    /// The references against each other at f64.
    pub quorum: Vec<QuorumObservation>,
    /// The f32 references measured as if they were subjects.
    pub peers: Vec<PeerObservation>,
}

/// The numbers that do not depend on the subject's captures.
#[derive(Clone, Debug)]
pub struct ReferenceAssay {
    /// The references against each other at f64.
    pub quorum: Vec<QuorumObservation>,
    /// The f32 references measured as if they were subjects.
    pub peers: Vec<PeerObservation>,
}

/// Compares everything that specs, architecture and case require, on as many threads as the caller's pool has: what
/// comes out is in the order of the plan, whoever computed it.
pub fn assay(setting: &Setting<'_>, evidence: &CaseEvidence<'_>) -> Result<CaseAssay, SpecError> {
    assay_subject(setting, evidence, assay_references(setting, evidence)?)
}

/// Compares the references with each other and with the oracle.
pub fn assay_references(
    setting: &Setting<'_>,
    evidence: &CaseEvidence<'_>,
) -> Result<ReferenceAssay, SpecError> {
    let (run, replay) = plans(setting, evidence)?;
    Ok(ReferenceAssay {
        quorum: quorum::observe(setting, evidence)?,
        peers: peers::observe(setting, evidence, &run, &replay),
    })
}

/// Compares the subject with references that were compared already.
pub fn assay_subject(
    setting: &Setting<'_>,
    evidence: &CaseEvidence<'_>,
    references: ReferenceAssay,
) -> Result<CaseAssay, SpecError> {
    let (run, replay) = plans(setting, evidence)?;
    let assayer = Assayer { setting, evidence };
    let ReferenceAssay { quorum, peers } = references;
    let worst = peers::worst_chained(setting, &peers);
    let of_run = run.par_iter().flat_map_iter(|required| {
        if assayer.is_stored_in_half(required) {
            assayer.observe_half(required, &worst).into_iter().collect()
        } else {
            assayer.observe_run(required)
        }
    });
    let of_replay = replay.par_iter().filter_map(|required| assayer.observe_replay(required));
    let mut observations: Vec<Observation> = of_run.chain(of_replay).collect();
    if !setting.precision().is_half() {
        peers::bound_chained_errors(setting, evidence, &peers, &mut observations);
    }
    Ok(CaseAssay {
        case: evidence.case.id.clone(),
        observations,
        requirements: assayer.examine_requirements(&run),
        unexpected: assayer.unexpected()?,
        quorum,
        peers,
    })
}

/// What a run and a replay must hold.
fn plans(
    setting: &Setting<'_>,
    evidence: &CaseEvidence<'_>,
) -> Result<(Vec<Required>, Vec<Required>), SpecError> {
    let plan = |mode| {
        required(setting.specs, setting.architecture, evidence.case, setting.traits, mode, Precision::F32)
    };
    Ok((plan(Mode::Run)?, plan(Mode::Replay)?))
}

struct Assayer<'a> {
    setting: &'a Setting<'a>,
    evidence: &'a CaseEvidence<'a>,
}

impl Assayer<'_> {
    fn activation(&self, required: &Required) -> &ActivationSpec {
        &self.setting.specs.specs[required.spec].activations[required.activation]
    }

    fn observe_run(&self, required: &Required) -> Vec<Observation> {
        let mut observations = Vec::new();
        let case = self.evidence.case;
        let actual = || fetch(self.evidence.subject.run, "subject", required);
        let mut push = |reference: String, outcome| {
            observations.push(self.observation(required, Mode::Run, reference, outcome));
        };
        match &self.activation(required).rule {
            Rule::Derived { from, .. } => {
                // Derived only beside a tensor of that very layout: a record's word alone allocates nothing.
                let expected = || derive::derive(*from, required, case, self.evidence.subject.run);
                push(
                    ITSELF.to_owned(),
                    actual().and_then(|a| Ok(same_bits(&a, &expected()?))).into_outcome(),
                );
            }
            Rule::Tie { .. } => {
                for reference in self.evidence.references {
                    let outcome = actual().and_then(|actual| {
                        let name = reference.at(Precision::F64);
                        let expected = fetch(reference.f64.run, &name, required)?;
                        ties::compare_tokens(required, &actual, &expected, self.setting, self.evidence)
                    });
                    push(reference.at(Precision::F64), outcome.into_outcome());
                }
            }
            rule @ (Rule::Classic { .. } | Rule::Exact { .. }) => {
                let criterion = rule.criterion();
                for reference in self.evidence.peers(self.setting) {
                    let name = reference.at(self.setting.precision().peer());
                    let outcome = actual().and_then(|actual| {
                        let expected = fetch(reference.peer.run, &name, required)?;
                        Ok(matched(&actual, &expected, criterion))
                    });
                    push(name, outcome.into_outcome());
                }
                if let (Some(tolerance), Some(oracle)) = (rule.chained_tolerance(), self.evidence.oracle()) {
                    let name = oracle.at(Precision::F64);
                    let outcome = actual().and_then(|actual| {
                        let expected = fetch_f64(oracle.f64.run, &name, required)?;
                        against_oracle(&actual, &expected, tolerance, None, &name)
                    });
                    push(name, outcome.into_outcome());
                }
            }
        }
        observations
    }

    /// Whether it is a float that half precision keeps from being compared under a bound of f32.
    fn is_stored_in_half(&self, required: &Required) -> bool {
        self.setting.precision().is_half()
            && required.dtype.is_float()
            && matches!(self.activation(required).rule, Rule::Classic { .. } | Rule::Exact { .. })
    }

    fn observe_half(&self, required: &Required, worst: &BTreeMap<&TensorName, f64>) -> Option<Observation> {
        let name = self.evidence.oracle()?.at(Precision::F64);
        let (outcome, chained_allowed) = half::chained(self.setting, self.evidence, required, worst);
        let observation = self.observation(required, Mode::Run, name, outcome);
        Some(Observation { chained_allowed, ..observation })
    }

    fn observe_replay(&self, required: &Required) -> Option<Observation> {
        let oracle = self.evidence.oracle()?;
        let name = oracle.at(Precision::F64);
        let subject = Side { source: self.evidence.subject.replay, name: "subject" };
        let judge = Side { source: oracle.f64.replay, name: &name };
        let bounds = (self.setting.confidence, self.setting.precision().peer());
        let outcome = replayed(self.activation(required), required, bounds, subject, judge);
        Some(self.observation(required, Mode::Replay, name, outcome))
    }

    fn observation(
        &self,
        required: &Required,
        mode: Mode,
        reference: String,
        outcome: Outcome,
    ) -> Observation {
        let (setting, case) = (self.setting, self.evidence.case);
        Observation {
            required: required.clone(),
            case: case.id.clone(),
            mode,
            reference,
            outcome,
            inputs: direct_inputs(setting.specs, setting.architecture, case, required),
            chained_allowed: None,
        }
    }

    fn examine_requirements(&self, run: &[Required]) -> Vec<ExaminedRequirement> {
        let nothing = capture::Capture::default();
        let subject = self.evidence.subject.run.unwrap_or(&nothing);
        let specs = self.setting.specs.specs.par_iter().enumerate();
        let asked = specs.flat_map_iter(|(index, spec)| {
            let examined =
                spec.requirements.iter().enumerate().filter(|(_, asked)| asked.check.is_examined());
            examined.map(move |(requirement, _)| (index, requirement))
        });
        asked.map(|asked| self.examine(asked, run, subject)).collect()
    }

    fn examine(
        &self,
        (spec_index, requirement_index): (usize, usize),
        run: &[Required],
        subject: &dyn TensorSource,
    ) -> ExaminedRequirement {
        let spec = &self.setting.specs.specs[spec_index];
        let requirement = &spec.requirements[requirement_index];
        let of: Vec<Required> = run
            .iter()
            .filter(|r| r.spec == spec_index)
            .filter(|r| requirement.of.contains(&spec.activations[r.activation].name))
            .filter(|r| requirement.check.applies_to(self.setting.architecture, self.evidence.case, r))
            .cloned()
            .collect();
        let context = CheckContext {
            spec,
            architecture: self.setting.architecture,
            case: self.evidence.case,
            capture: subject,
            precision: self.setting.precision(),
            not_contiguous: self.evidence.not_contiguous,
            required: &of,
        };
        ExaminedRequirement {
            spec: spec_index,
            requirement: requirement_index,
            required: of.len() as u64,
            examination: requirement.check.examine(&context),
        }
    }

    /// What the subject left that no spec names. An activation that a spec names and this run does not ask for, such
    /// as the cache of an engine that the registry does not know to allocate one, is no surprise.
    fn unexpected(&self) -> Result<Vec<TensorName>, SpecError> {
        let Setting { specs, architecture, .. } = *self.setting;
        let everything = Traits { preallocated_cache: true, tokenizer: true };
        let mut unexpected = Vec::new();
        let captures = self.evidence.subject;
        for (mode, source) in [(Mode::Run, captures.run), (Mode::Replay, captures.replay)] {
            let names = source.map(TensorSource::names).unwrap_or_default();
            let known = required(specs, architecture, self.evidence.case, everything, mode, Precision::F32)?;
            let known: BTreeSet<TensorName> = known.into_iter().map(|known| known.name).collect();
            unexpected.extend(names.difference(&known).cloned());
        }
        Ok(unexpected)
    }
}

/// The case's own words for "this much of it": used by ties and quorum.
fn last_step(case: &Case) -> usize {
    case.schedule.len().saturating_sub(1)
}
