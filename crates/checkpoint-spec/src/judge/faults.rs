//! The fault panel: from what the gate made of each fault to one word, and to the verdict of the panel.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use capture::Case;

use super::RunFacts;
use crate::results::{
    CheckpointResult, Comparison, Divergence, Extent, FaultObservation, FaultPanel, FaultResult, FaultWord,
    Killer, Reason, Results, Verdict,
};
use crate::spec::{FaultJudge, FaultSpec, Need};
use crate::{Architecture, Measured, SpecSet};

/// What is known of the panel beside the specs.
#[derive(Clone, Debug, Default)]
pub struct FaultFacts {
    /// How much of it was asked for.
    pub extent: Extent,
    /// What the gate made of each fault that was put in.
    pub observations: Vec<FaultObservation>,
    /// What kept the panel from showing anything.
    pub problem: Option<String>,
}

/// The case that faults are put into: the one with a place for most of them, and of those the shortest. From
/// architecture and cases alone.
pub fn fault_case<'a>(
    architecture: &Architecture,
    cases: impl IntoIterator<Item = &'a Case>,
) -> Option<&'a Case> {
    cases.into_iter().min_by_key(|case| {
        let met = Need::ALL.iter().filter(|need| need.is_met(architecture, case)).count();
        (Reverse(met), case.batch() * (case.tokens() + case.generate))
    })
}

/// What a judged run with a fault says of it.
pub fn observe_fault(id: &str, changed: bool, faulty: &Results) -> FaultObservation {
    let refused = |checkpoint: &&CheckpointResult| checkpoint.verdict > Verdict::Conditional;
    FaultObservation {
        id: id.to_owned(),
        changed,
        killer: killer(faulty),
        refusals: faulty
            .checkpoints
            .iter()
            .filter(refused)
            .map(|checkpoint| (checkpoint.id.clone(), checkpoint.verdict))
            .collect(),
        verdict: conclusion(faulty),
    }
}

/// What checkpoints, quorum and incidents come to; whether the carrier repeats itself is not asked.
fn conclusion(faulty: &Results) -> Verdict {
    let checkpoints = faulty.checkpoints.iter().map(|checkpoint| checkpoint.verdict).max();
    let stopped = if faulty.incidents.is_empty() { Verdict::Pass } else { Verdict::Error };
    checkpoints.unwrap_or(Verdict::Incomplete).max(faulty.quorum.verdict).max(stopped)
}

/// Who refused it first. Without references that answer and agree nothing is judged, so those come first; then the
/// first divergence in execution order; then a requirement that no comparison speaks of.
fn killer(faulty: &Results) -> Option<Killer> {
    unanswered(faulty)
        .or_else(|| disagreement(faulty))
        .or_else(|| faulty.first_divergence.as_ref().map(|divergence| by_comparison(faulty, divergence)))
        .or_else(|| by_requirement(faulty))
}

fn unanswered(faulty: &Results) -> Option<Killer> {
    faulty.incidents.first().map(|incident| Killer {
        by: FaultJudge::REFERENCES.to_owned(),
        reason: Reason::Incident,
        tensor: None,
        mode: None,
        margin: None,
        message: format!("{} {}: {}", incident.implementation, incident.kind, incident.message),
    })
}

fn disagreement(faulty: &Results) -> Option<Killer> {
    let quorum = &faulty.quorum;
    let finding = quorum.disagreement.as_ref().filter(|_| quorum.verdict == Verdict::Error)?;
    Some(Killer {
        by: FaultJudge::QUORUM.to_owned(),
        reason: finding.reason,
        tensor: Some(finding.tensor.clone()),
        mode: None,
        margin: Some(quorum.used).filter(|used| used.0 > 1.0),
        message: finding.message.clone(),
    })
}

fn by_comparison(faulty: &Results, divergence: &Divergence) -> Killer {
    let at_it = |c: &&Comparison| {
        c.name == divergence.activation
            && c.step == divergence.step
            && c.mode == divergence.mode
            && c.reason == Some(divergence.reason)
    };
    let comparisons = faulty.checkpoints.iter().flat_map(|checkpoint| &checkpoint.comparisons);
    let found: Vec<&Comparison> = comparisons.filter(at_it).collect();
    Killer {
        by: divergence.checkpoint.clone(),
        reason: divergence.reason,
        tensor: Some(match divergence.step {
            Some(step) => format!("step{step}/{}", divergence.activation),
            None => divergence.activation.clone(),
        }),
        mode: Some(divergence.mode),
        margin: found.iter().filter_map(|c| margin(c)).reduce(Measured::or_worse),
        message: found.first().map(|c| c.outcome.to_string()).unwrap_or_default(),
    }
}

/// The error over what is allowed, by the bound that was passed.
fn margin(comparison: &Comparison) -> Option<Measured> {
    let statistics = comparison.outcome.statistics()?;
    let budget = statistics.budget.as_ref();
    match comparison.reason? {
        Reason::Budget => budget.map(|budget| budget.used),
        Reason::Systematic => budget.and_then(|budget| budget.systematic_violation()).map(|found| found.used),
        Reason::Chained => comparison.chained_allowed.map(|allowed| Measured(statistics.rmse.0 / allowed.0)),
        _ => None,
    }
}

fn by_requirement(faulty: &Results) -> Option<Killer> {
    let checkpoint = faulty.checkpoints.iter().find(|checkpoint| checkpoint.verdict > Verdict::Blocked)?;
    let finding = checkpoint
        .requirements
        .iter()
        .filter(|requirement| requirement.verdict != crate::results::ComparisonVerdict::Pass)
        .find_map(|requirement| requirement.findings.first());
    Some(Killer {
        by: checkpoint.id.clone(),
        reason: finding.map_or(Reason::Missing, |finding| finding.reason),
        tensor: finding.map(|finding| finding.tensor.clone()),
        mode: None,
        margin: None,
        message: finding.map_or_else(
            || format!("{} of {} compared", checkpoint.compared, checkpoint.required),
            |finding| finding.message.clone(),
        ),
    })
}

/// The panel of a run; none where the run reports no checkpoint.
pub(super) fn judge(specs: &SpecSet, facts: &RunFacts) -> FaultPanel {
    let case = fault_case(&facts.architecture, facts.cases.iter().map(|(case, _)| case));
    let selected = |id: &str| facts.selected.is_empty() || facts.selected.iter().any(|chosen| chosen == id);
    let declared: Vec<(&str, &FaultSpec)> = specs.faults().filter(|(id, _)| selected(id)).collect();
    let seen: BTreeMap<&str, &FaultObservation> =
        facts.faults.observations.iter().map(|observation| (observation.id.as_str(), observation)).collect();
    let faults: Vec<FaultResult> = declared
        .iter()
        .filter(|(_, fault)| facts.faults.extent.has(fault))
        .map(|(checkpoint, fault)| {
            result(checkpoint, fault, facts, case, seen.get(fault.id.as_str()).copied())
        })
        .collect();
    let count = |word| faults.iter().filter(|fault| fault.word == word).count() as u64;
    let (killed, equivalent) = (count(FaultWord::Killed), count(FaultWord::Equivalent));
    let not_exercised = count(FaultWord::NotExercised);
    FaultPanel {
        extent: facts.faults.extent,
        case: case.filter(|_| facts.faults.extent != Extent::None).map(|case| case.id.clone()),
        declared: declared.len() as u64,
        required: faults.len() as u64 - not_exercised - equivalent,
        killed,
        equivalent,
        not_exercised,
        problem: facts.faults.problem.clone(),
        verdict: verdict(&facts.faults, &faults),
        faults,
    }
}

fn result(
    checkpoint: &str,
    fault: &FaultSpec,
    facts: &RunFacts,
    case: Option<&Case>,
    observation: Option<&FaultObservation>,
) -> FaultResult {
    let lacks = case.map_or_else(|| fault.needs.clone(), |case| fault.lacks(&facts.architecture, case));
    let by = fault.killer(checkpoint);
    let word = if lacks.is_empty() { word(fault, by, observation) } else { FaultWord::NotExercised };
    let lacking: Vec<&str> = lacks.iter().map(|need| need.words()).collect();
    let lacking = (!lacking.is_empty()).then(|| format!("needs {}", lacking.join(" and ")));
    FaultResult {
        id: fault.id.clone(),
        checkpoint: checkpoint.to_owned(),
        what: fault.what.clone(),
        by: by.to_owned(),
        reasons: fault.reasons.clone(),
        word,
        note: lacking.or_else(|| fault.equivalent.clone()),
        observation: observation.cloned(),
    }
}

fn word(fault: &FaultSpec, by: &str, observation: Option<&FaultObservation>) -> FaultWord {
    let Some(observation) = observation else { return FaultWord::Missing };
    match (&fault.equivalent, observation.changed, &observation.killer) {
        (Some(_), false, None) => FaultWord::Equivalent,
        (Some(_), ..) => FaultWord::Matters,
        (None, false, _) => FaultWord::Idle,
        (None, true, None) => FaultWord::Survived,
        (None, true, Some(killer)) if killer.by != by => FaultWord::Elsewhere,
        (None, true, Some(killer)) if !fault.reasons.contains(&killer.reason) => FaultWord::OtherReason,
        // A gate that names a killer and conforms all the same has let the fault through.
        _ if observation.verdict.exit_code() == 0 => FaultWord::Survived,
        _ => FaultWord::Killed,
    }
}

fn verdict(facts: &FaultFacts, faults: &[FaultResult]) -> Verdict {
    let is = |word: FaultWord| faults.iter().any(|fault| fault.word == word);
    if facts.extent == Extent::None {
        // Not asked for; the run has a reservation.
        Verdict::Conditional
    } else if facts.problem.is_some() || is(FaultWord::Missing) {
        Verdict::Incomplete
    } else if faults.iter().any(|fault| !fault.word.is_as_declared()) {
        Verdict::Fail
    } else if is(FaultWord::Killed) {
        Verdict::Pass
    } else {
        Verdict::Incomplete
    }
}

impl Extent {
    /// Whether a fault belongs to it.
    pub fn has(self, fault: &FaultSpec) -> bool {
        match self {
            Self::None => false,
            Self::Fast => fault.fast,
            Self::All => true,
        }
    }
}
