//! The one function that says what the numbers mean.
//!
//! [`judge`] takes numbers and gives words. It reads no tensor, and nothing else in the workspace makes a verdict:
//! the run calls it on what it measured, the verifier calls it again on what it measured from the stored tensors.

mod checkpoint;
mod determinism;
mod divergence;
mod faults;
mod finding;
#[cfg(test)]
mod fixtures;
mod laws;
mod quorum;
mod record;
mod stored;

use std::collections::BTreeMap;

use capture::{Case, Identity, Precision};

pub use faults::{FaultFacts, fault_case, observe_fault};

use crate::assay::CaseAssay;
use crate::judge::finding::Law;
use crate::plan::{Traits, required};
use crate::results::{
    CaseSummary, Incident, Keep, LawNumbers, Mode, NotApplicable, PeerFigure, RESULTS_SCHEMA, Repeated,
    Reservation, Results, StatisticsRecord, Verdict,
};
use crate::spec::{Rule, SpecError};
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
    /// Who judged; the first is the oracle's implementation.
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

/// Derives every verdict of a run.
pub fn judge(specs: &SpecSet, facts: &RunFacts, assays: &[CaseAssay]) -> Result<Results, SpecError> {
    let half = facts.subject.precision.is_half();
    let law = Law { specs, subject_weights: facts.subject_weights, half };
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
    let reservations = checkpoint::reservations(facts, &checkpoints, &peers, &faults);
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
        faults,
        peers,
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
    let (subject, precision) = (facts.subject.to_string(), facts.subject.precision);
    let is_peer = |r: &&Identity| format!("{}@{}", r.name, precision.peer()) != subject;
    let peers = facts.references.iter().filter(is_peer).count() as u64;
    let references = facts.references.len() as u64;
    let mut counts = BTreeMap::new();
    for (case, _) in &facts.cases {
        for mode in [Mode::Run, Mode::Replay] {
            let plan = required(specs, &facts.architecture, case, facts.traits, mode, Precision::F32)?;
            for item in plan {
                let rule = &specs.specs[item.spec].activations[item.activation].rule;
                let stored_in_half = precision.is_half() && item.dtype.is_float();
                let comparisons = match (mode, rule) {
                    (Mode::Replay, _) | (Mode::Run, Rule::Derived { .. }) => 1,
                    (Mode::Run, Rule::Exact { .. } | Rule::Classic { .. }) if stored_in_half => 1,
                    (Mode::Run, Rule::Tie { .. }) => references,
                    (Mode::Run, Rule::Exact { .. }) => peers,
                    (Mode::Run, Rule::Classic { .. }) => peers + 1,
                };
                *counts.entry(item.spec).or_default() += comparisons;
            }
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
    let mut figures: BTreeMap<(usize, usize), PeerFigure> = BTreeMap::new();
    let implementations: Vec<String> = std::iter::once(subject.clone())
        .chain(facts.references.iter().map(|r| format!("{}@{}", r.name, facts.subject.precision.peer())))
        .collect();
    let mut note = |spec: usize, implementation: &str, mode: Mode, statistics: &StatisticsRecord| {
        let Some(rank) = implementations.iter().position(|name| name == implementation) else { return };
        let figure = figures.entry((spec, rank)).or_insert_with(|| PeerFigure {
            checkpoint: specs.specs[spec].id.clone(),
            implementation: implementation.to_owned(),
            run_max_abs: Measured(0.0),
            replay_max_abs: Measured(0.0),
            budget_used: None,
        });
        if let Some(budget) = &statistics.budget {
            let so_far = figure.budget_used.unwrap_or(Measured(0.0));
            figure.budget_used = Some(so_far.or_worse(budget.used));
        }
        let worst = match mode {
            Mode::Run => &mut figure.run_max_abs,
            Mode::Replay => &mut figure.replay_max_abs,
        };
        *worst = worst.or_worse(statistics.max_abs);
    };
    for assay in assays {
        let oracle = |name: &str| name.ends_with("@f64");
        for observation in assay.observations.iter().filter(|o| oracle(&o.reference)) {
            if let Some(statistics) = observation.outcome.float_statistics() {
                note(observation.required.spec, &subject, observation.mode, statistics);
            }
        }
        for observation in assay.peers.iter().filter(|o| o.implementation != subject) {
            if let Some(statistics) = observation.outcome.float_statistics() {
                note(observation.required.spec, &observation.implementation, observation.mode, statistics);
            }
        }
    }
    figures.into_values().collect()
}

#[cfg(test)]
mod tests;
