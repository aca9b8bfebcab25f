//! What is observed of the subject: every activation by its judgement, every requirement by its check.

use std::collections::BTreeSet;

use capture::{Precision, TensorName, TensorSource};
use oracle::Rounding;
use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};

use super::chained::{self, Fed, Replicas};
use super::isolated::Isolated;
use super::measure::{IntoOutcome, fetch, same_bits};
use super::{
    CaseEvidence, ExaminedRequirement, ITSELF, Judged, ORACLE, Observation, ReferenceCaptures, Setting,
};
use crate::checks::CheckContext;
use crate::plan::{Required, Traits, direct_inputs, required};
use crate::results::{Mode, Outcome, Side};
use crate::spec::{Judgement, Rule, SpecError};

/// What is observed of the subject in one case.
pub(super) struct Assayer<'a> {
    pub(super) setting: &'a Setting<'a>,
    pub(super) evidence: &'a CaseEvidence<'a>,
    pub(super) rules: &'a [Rounding],
    pub(super) replicas: Option<&'a Replicas>,
    pub(super) exact: Option<&'a Fed>,
    pub(super) beside: Option<(&'a Judged, &'a BTreeSet<TensorName>)>,
}

impl Assayer<'_> {
    pub(super) fn observe_once(&self, required: &Required) -> Vec<Observation> {
        let judgement = self.setting.specs.of(required).judgement();
        let known =
            self.beside.and_then(|(judged, changed)| judged.observations(required, judgement, changed));
        known.unwrap_or_else(|| self.observe(required))
    }

    fn observe(&self, required: &Required) -> Vec<Observation> {
        let isolated = || Isolated {
            setting: self.setting,
            case: self.evidence.case,
            source: self.evidence.subject,
            side: &Side::Subject,
            precision: self.setting.precision(),
            rules: self.rules,
        };
        let observed = |mode, reference: &str, outcome, chained_allowed| {
            let observation = self.observation(required, mode, reference.to_owned(), outcome);
            vec![Observation { chained_allowed, ..observation }]
        };
        match self.setting.specs.of(required).judgement() {
            Some(Judgement::Budget(_)) => observed(Mode::Isolated, ORACLE, isolated().judge(required), None),
            Some(Judgement::Bits(_) | Judgement::Rule(Rule::Derived { .. })) => {
                observed(Mode::Isolated, ITSELF, isolated().judge(required), None)
            }
            Some(Judgement::Rule(Rule::Chained { .. })) => {
                let (outcome, allowed) =
                    chained::by_replicas(self.setting, self.evidence, required, self.replicas, self.exact);
                observed(Mode::Chained, ORACLE, outcome, allowed)
            }
            Some(Judgement::Rule(Rule::Exact { .. })) => self.against_references(required),
            None => Vec::new(),
        }
    }

    fn against_references(&self, required: &Required) -> Vec<Observation> {
        let compare = |reference: &ReferenceCaptures<'_>| {
            let name = reference.at(Precision::F64);
            let side = Side::Reference(name.clone());
            let outcome = fetch(self.evidence.subject, &Side::Subject, required)
                .and_then(|actual| {
                    Ok(same_bits(&actual, &fetch(reference.f64, &side, required)?, &Side::Subject))
                })
                .into_outcome();
            self.observation(required, Mode::Isolated, name, outcome)
        };
        self.evidence.references.iter().map(compare).collect()
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

    pub(super) fn examine_requirements(&self, run: &[Required]) -> Vec<ExaminedRequirement> {
        let nothing = capture::Capture::default();
        let subject = self.evidence.subject.unwrap_or(&nothing);
        let specs = self.setting.specs.specs.par_iter().enumerate();
        let asked = specs.flat_map_iter(|(index, spec)| {
            let examined =
                spec.requirements.iter().enumerate().filter(|(_, asked)| asked.check.is_examined());
            examined.map(move |(requirement, _)| (index, requirement))
        });
        asked.map(|asked| self.examine_once(asked, run, subject)).collect()
    }

    fn examine_once(
        &self,
        asked: (usize, usize),
        run: &[Required],
        subject: &dyn TensorSource,
    ) -> ExaminedRequirement {
        let is_changed = |changed: &BTreeSet<TensorName>| {
            run.iter().any(|required| required.spec == asked.0 && changed.contains(&required.name))
        };
        let known = self
            .beside
            .filter(|(_, changed)| self.evidence.not_contiguous.is_empty() && !is_changed(changed));
        let check = self.setting.specs.specs[asked.0].requirements[asked.1].check;
        let known =
            known.filter(|_| !check.looks_elsewhere()).and_then(|(judged, _)| judged.requirement(asked));
        known.unwrap_or_else(|| self.examine(asked, run, subject))
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
            confidence: self.setting.confidence,
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
    pub(super) fn unexpected(&self) -> Result<Vec<TensorName>, SpecError> {
        let Setting { specs, architecture, .. } = *self.setting;
        let everything = Traits { preallocated_cache: true, tokenizer: true };
        let names = self.evidence.subject.map(TensorSource::names).unwrap_or_default();
        let known = required(specs, architecture, self.evidence.case, everything, Precision::F32)?;
        let known: BTreeSet<TensorName> = known.into_iter().map(|known| known.name).collect();
        Ok(names.difference(&known).cloned().collect())
    }
}
