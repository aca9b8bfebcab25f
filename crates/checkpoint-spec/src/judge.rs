//! The one function that says what the numbers mean.
//!
//! [`judge`] takes numbers and gives words. It reads no tensor, and nothing else in the workspace makes a verdict:
//! the run calls it on what it measured, the verifier calls it again on what it measured from the stored tensors.

mod checkpoint;
mod determinism;
mod diagnosis;
mod divergence;
mod faults;
mod finding;
#[cfg(test)]
mod fixtures;
mod laws;
mod part;
mod quorum;
mod record;
mod stored;

use std::collections::BTreeMap;

use capture::{Case, Identity, Precision, TensorName};

pub use diagnosis::{culprits, diagnose};
pub use faults::{FaultFacts, fault_case, observe_fault};
pub use part::{PartFacts, diagnose_part, holds, judge_part};

use crate::assay::CaseAssay;
use crate::judge::finding::Law;
use crate::plan::{Required, Traits, required};
use crate::results::{
    CaseSummary, GrowthError, GrowthRow, Incident, Keep, LawNumbers, Mode, NotApplicable, Outcome,
    PeerFigure, RESULTS_SCHEMA, Repeated, Reservation, Results, Verdict,
};
use crate::spec::{Judgement, Rule, SpecError};
use crate::{Architecture, Measured, SpecSet};

/// What is true of a run beside its numbers.
#[derive(Clone, Debug)]
pub struct RunFacts {
    /// The model, as the user named it.
    pub model: String,
    /// Sizes and constants of the model.
    pub architecture: Architecture,
    /// Who was under test.
    pub subject: Identity,
    /// What the registry knows of the subject.
    pub traits: Traits,
    /// Who held the graph to account, in order of precedence.
    pub references: Vec<Identity>,
    /// The cases, with what each is for.
    pub cases: Vec<(Case, String)>,
    /// The subject has weights of its own, so that digests of 00 are a note and not a finding.
    pub subject_weights: bool,
    /// Checkpoints that were asked for; all when empty. Others are computed and not reported.
    pub selected: Vec<String>,
    /// The repeats that were made: the subject's, and those of f32 references.
    pub repeats: Vec<Repeated>,
    /// What was measured of each law and implementation.
    pub laws: Vec<LawNumbers>,
    /// What stopped an implementation.
    pub incidents: Vec<Incident>,
    /// Reservations known beforehand: a reference short of the quorum by choice, a dirty work tree.
    pub reservations: Vec<Reservation>,
    /// What does not apply to this run, by checkpoint, with the reason.
    pub not_applicable: Vec<(String, NotApplicable)>,
    /// What the gate made of deliberate bugs.
    pub faults: FaultFacts,
    /// Facts that change no verdict.
    pub notes: Vec<String>,
    /// The options that named model, subject and references, as given on the command line.
    pub options: Vec<String>,
    /// Which tensors the proof bundle is to hold.
    pub keep: Keep,
}

/// Derives every verdict of a run. Which bug it is says [`diagnose`], which needs the tensors again.
pub fn judge(specs: &SpecSet, facts: &RunFacts, assays: &[CaseAssay]) -> Result<Results, SpecError> {
    let law = Law { specs, subject_weights: facts.subject_weights };
    let quorum = quorum::judge(facts, assays);
    let required = required_counts(specs, facts)?;
    let mut checkpoints = Vec::new();
    for (index, spec) in specs.specs.iter().enumerate() {
        if facts.selected.is_empty() || facts.selected.contains(&spec.id) {
            let count = required.get(&index).copied().unwrap_or_default();
            checkpoints.push(checkpoint::judge(law, index, facts, assays, count, quorum.verdict));
        }
    }
    let peers = peers(specs, facts, assays);
    let faults = faults::judge(specs, facts);
    let reservations = checkpoint::reservations(specs, facts, &checkpoints, &peers, &faults);
    let determinism = determinism::judge(specs, facts)?;
    let laws = laws::judge(specs, facts)?;
    let of_the_run = quorum.verdict.max(determinism.verdict).max(faults.verdict).max(laws.verdict);
    let verdict = overall(facts, of_the_run, checkpoints.iter().map(|c| c.verdict), &reservations);
    Ok(Results {
        schema: RESULTS_SCHEMA.to_owned(),
        model: facts.model.clone(),
        architecture: facts.architecture.clone(),
        subject: facts.subject.clone(),
        references: facts.references.clone(),
        cases: facts.cases.iter().map(summary).collect(),
        first_divergence: divergence::first(law, assays, &checkpoints),
        diagnoses: Vec::new(),
        faults,
        peers,
        growth: growth(specs, facts, assays),
        quorum,
        checkpoints,
        determinism,
        laws,
        incidents: facts.incidents.clone(),
        reservations,
        notes: facts.notes.clone(),
        options: facts.options.clone(),
        tensors: stored::judge(law, facts, assays),
        verdict,
        exit_code: verdict.exit_code(),
    })
}

/// Comparisons required by checkpoint. From specs, architecture, cases and the references asked for; what was found
/// has no part in it.
fn required_counts(specs: &SpecSet, facts: &RunFacts) -> Result<BTreeMap<usize, u64>, SpecError> {
    let references = facts.references.len() as u64;
    let mut counts = BTreeMap::new();
    for (case, _) in &facts.cases {
        for item in required(specs, &facts.architecture, case, facts.traits, Precision::F32)? {
            let comparisons = match specs.of(&item).judgement() {
                Some(Judgement::Rule(Rule::Exact { .. })) => references,
                _ => 1,
            };
            *counts.entry(item.spec).or_default() += comparisons;
        }
    }
    Ok(counts)
}

fn summary((case, about): &(Case, String)) -> CaseSummary {
    CaseSummary {
        id: case.id.clone(),
        about: about.clone(),
        batch: case.batch(),
        tokens: case.tokens(),
        steps: case.schedule.len(),
        generate: case.generate,
    }
}

fn overall(
    facts: &RunFacts,
    of_the_run: Verdict,
    checkpoints: impl Iterator<Item = Verdict>,
    reservations: &[Reservation],
) -> Verdict {
    let mut verdict = checkpoints.max().unwrap_or(Verdict::Incomplete).max(of_the_run);
    if !facts.incidents.is_empty() {
        verdict = verdict.max(Verdict::Error);
    }
    if facts.cases.is_empty() || facts.references.is_empty() {
        verdict = verdict.max(Verdict::Incomplete);
    }
    if !reservations.is_empty() { verdict.max(Verdict::Conditional) } else { verdict }
}

/// The worst figures of each implementation at each checkpoint, the subject's first.
fn peers(specs: &SpecSet, facts: &RunFacts, assays: &[CaseAssay]) -> Vec<PeerFigure> {
    let subject = facts.subject.to_string();
    let implementations = implementations(facts);
    let mut figures: BTreeMap<(usize, usize), PeerFigure> = BTreeMap::new();
    let mut note = |required: &Required, implementation: &str, mode: Mode, outcome: &Outcome| {
        let Some(rank) = implementations.iter().position(|name| name == implementation) else { return };
        let Some(statistics) = outcome.float_statistics() else { return };
        let figure = figures.entry((required.spec, rank)).or_insert_with(|| PeerFigure {
            checkpoint: specs.specs[required.spec].id.clone(),
            implementation: implementation.to_owned(),
            chained_max_abs: Measured(0.0),
            isolated_max_abs: Measured(0.0),
            budget_used: None,
            ceiling_used: None,
        });
        if let Some(budget) = &statistics.budget {
            worsen(&mut figure.budget_used, budget.used);
        }
        let has_ceiling = specs.of(required).ceiling.is_some() && !facts.subject.precision.is_half();
        match mode {
            Mode::Isolated => figure.isolated_max_abs = figure.isolated_max_abs.or_worse(statistics.max_abs),
            Mode::Chained => {
                figure.chained_max_abs = figure.chained_max_abs.or_worse(statistics.max_abs);
                if has_ceiling {
                    worsen(&mut figure.ceiling_used, statistics.used);
                }
            }
        }
    };
    for assay in assays {
        for observation in assay.observations.iter().filter(|o| o.mode == Mode::Isolated) {
            note(&observation.required, &subject, observation.mode, &observation.outcome);
        }
        for found in &assay.measured {
            note(&found.required, &found.implementation, found.mode, &found.outcome);
        }
    }
    figures.into_values().collect()
}

fn worsen(figure: &mut Option<Measured>, found: Measured) {
    *figure = Some(figure.unwrap_or(Measured(0.0)).or_worse(found));
}

/// The subject, then its peers.
fn implementations(facts: &RunFacts) -> Vec<String> {
    let subject = facts.subject.to_string();
    let peers = facts.references.iter().map(|r| format!("{}@{}", r.name, facts.subject.precision.peer()));
    std::iter::once(subject.clone()).chain(peers.filter(|peer| *peer != subject)).collect()
}

/// The chained errors along the stream and in the logits, in execution order.
fn growth(specs: &SpecSet, facts: &RunFacts, assays: &[CaseAssay]) -> Vec<GrowthRow> {
    let roles = &specs.family.roles;
    let implementations = implementations(facts);
    let shown = |required: &Required| {
        let name = &specs.of(required).name;
        roles.stream.contains(name) || *name == roles.logits || *name == roles.generated_logits
    };
    let mut rows: Vec<GrowthRow> = Vec::new();
    for assay in assays {
        let mut places: BTreeMap<&TensorName, usize> = BTreeMap::new();
        let chained = assay.measured.iter().filter(|found| found.mode == Mode::Chained);
        for found in chained.filter(|found| shown(&found.required)) {
            let Required { name, layer, .. } = &found.required;
            let Some(statistics) = found.outcome.float_statistics() else { continue };
            if !implementations.contains(&found.implementation) {
                continue;
            }
            let place = *places.entry(name).or_insert_with(|| {
                rows.push(GrowthRow {
                    case: assay.case.clone(),
                    step: name.step,
                    name: name.activation.clone(),
                    layer: *layer,
                    errors: Vec::new(),
                });
                rows.len() - 1
            });
            rows[place].errors.push(GrowthError {
                implementation: found.implementation.clone(),
                rmse: statistics.rmse,
                max_abs: statistics.max_abs,
            });
        }
    }
    rows
}

#[cfg(test)]
mod tests;
