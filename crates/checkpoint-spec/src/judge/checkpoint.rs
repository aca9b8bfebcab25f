//! One checkpoint: its comparisons and requirements → one word.

use super::divergence::downstream;
use super::finding::Law;
use super::{CaseAssay, RunFacts};
use crate::SpecSet;
use crate::results::{
    CheckpointResult, Comparison, ComparisonVerdict, Extent, FaultPanel, Finding, NotApplicable, PeerFigure,
    Reason, RequirementResult, Reservation, Verdict,
};
use crate::spec::{Check, Requirement, Spec};

/// How many findings of one requirement are kept.
const FINDINGS: usize = 5;
/// The place of a reservation about the fault panel.
const FAULT_PANEL: &str = "faults";

/// Judges the checkpoint at `index` of the specs.
pub(super) fn judge(
    law: Law<'_>,
    index: usize,
    facts: &RunFacts,
    assays: &[CaseAssay],
    required: u64,
    quorum: Verdict,
) -> CheckpointResult {
    let spec = &law.specs.specs[index];
    let comparisons = comparisons(law, index, assays);
    let mut requirements: Vec<RequirementResult> = Vec::new();
    for (position, requirement) in spec.requirements.iter().enumerate() {
        requirements.push(if requirement.check.is_examined() {
            examined(index, position, requirement, assays)
        } else {
            agreement(spec, requirement, &comparisons, assays)
        });
    }
    let compared = comparisons.iter().filter(|comparison| comparison.outcome.elements() > 0).count() as u64;
    CheckpointResult {
        id: spec.id.clone(),
        name: spec.name.clone(),
        title: spec.title.clone(),
        verdict: verdict(&comparisons, &requirements, compared, required, quorum),
        compared,
        required,
        ties: comparisons.iter().map(|comparison| comparison.outcome.ties()).sum(),
        not_applicable: not_applicable(spec, facts),
        comparisons,
        requirements,
    }
}

fn comparisons(law: Law<'_>, index: usize, assays: &[CaseAssay]) -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    for assay in assays {
        let downstream = downstream(law, assay);
        let here = assay.observations.iter().zip(downstream).filter(|(o, _)| o.required.spec == index);
        for (observation, downstream) in here {
            let (verdict, reason) = law.finding(observation);
            comparisons.push(Comparison {
                name: observation.required.name.activation.clone(),
                layer: observation.required.layer,
                step: observation.required.name.step,
                case: observation.case.clone(),
                mode: observation.mode,
                reference: observation.reference.clone(),
                outcome: observation.outcome.clone(),
                chained_allowed: observation.chained_allowed,
                verdict,
                reason,
                downstream: downstream && verdict != ComparisonVerdict::Pass,
            });
        }
    }
    comparisons
}

fn verdict(
    comparisons: &[Comparison],
    requirements: &[RequirementResult],
    compared: u64,
    required: u64,
    quorum: Verdict,
) -> Verdict {
    let origin = |wanted: ComparisonVerdict| comparisons.iter().any(|c| c.verdict == wanted && !c.downstream);
    let requirement = |wanted: ComparisonVerdict| requirements.iter().any(|r| r.verdict == wanted);
    // Without references that agree with each other, nothing is judged.
    if quorum == Verdict::Error {
        Verdict::Error
    } else if origin(ComparisonVerdict::Fail) || requirement(ComparisonVerdict::Fail) {
        Verdict::Fail
    } else if origin(ComparisonVerdict::Error) || requirement(ComparisonVerdict::Error) {
        Verdict::Error
    } else if required == 0 || compared < required || comparisons.len() as u64 != required {
        // Nothing required is nothing shown: a checkpoint that these cases do not exercise has not passed.
        Verdict::Incomplete
    } else if quorum == Verdict::Incomplete || requirements_short(requirements) {
        Verdict::Incomplete
    } else if comparisons.iter().any(|c| c.downstream) {
        Verdict::Blocked
    } else if requirements.iter().any(is_warning) {
        Verdict::Conditional
    } else {
        Verdict::Pass
    }
}

fn requirements_short(requirements: &[RequirementResult]) -> bool {
    requirements.iter().any(|r| r.checked < r.required || r.verdict == ComparisonVerdict::Missing)
}

/// A requirement that holds and has something to say.
pub(super) fn is_warning(requirement: &RequirementResult) -> bool {
    let said = |finding: &Finding| finding.reason != Reason::Missing;
    requirement.verdict == ComparisonVerdict::Pass && requirement.findings.iter().any(said)
}

pub(super) fn examined(
    spec: usize,
    position: usize,
    requirement: &Requirement,
    assays: &[CaseAssay],
) -> RequirementResult {
    let of = || {
        assays.iter().flat_map(|a| &a.requirements).filter(|e| e.spec == spec && e.requirement == position)
    };
    let findings: Vec<Finding> = of().flat_map(|e| e.examination.findings.iter().cloned()).collect();
    let (checked, required) = (of().map(|e| e.examination.checked).sum(), of().map(|e| e.required).sum());
    let verdict = if findings.is_empty() || requirement.check.is_warning() {
        ComparisonVerdict::Pass
    } else if findings.iter().all(|f| f.reason == Reason::Missing) {
        ComparisonVerdict::Missing
    } else if findings.iter().all(|f| matches!(f.reason, Reason::Missing | Reason::Unreadable)) {
        ComparisonVerdict::Error
    } else {
        ComparisonVerdict::Fail
    };
    result(requirement, checked, required, verdict, findings)
}

/// A requirement whose check is the comparison of its activations itself.
fn agreement(
    spec: &Spec,
    requirement: &Requirement,
    comparisons: &[Comparison],
    assays: &[CaseAssay],
) -> RequirementResult {
    if requirement.check == Check::NothingUnexpected {
        return nothing_unexpected(requirement, assays);
    }
    let names = || spec.activations.iter().filter(|a| requirement.of.contains(&a.name));
    let concerned = || {
        comparisons
            .iter()
            .filter(|c| names().any(|a| crate::plan::matches_template(&a.name, &c.name, c.layer)))
    };
    // Where all that is concerned is a consequence of something upstream, nothing is known of the requirement.
    let unknown =
        if concerned().next().is_some() { ComparisonVerdict::Incomplete } else { ComparisonVerdict::Pass };
    let verdict = concerned().filter(|c| !c.downstream).map(|c| c.verdict).max().unwrap_or(unknown);
    let findings = concerned()
        .filter(|c| c.verdict != ComparisonVerdict::Pass)
        .map(|c| Finding {
            case: c.case.clone(),
            tensor: c.tensor_name().to_string(),
            reason: c.reason.unwrap_or(Reason::Unreadable),
            message: message(c),
        })
        .collect();
    let checked = concerned().filter(|c| c.outcome.elements() > 0).count() as u64;
    result(requirement, checked, concerned().count() as u64, verdict, findings)
}

fn message(comparison: &Comparison) -> String {
    let chained = match (comparison.reason, comparison.chained_allowed) {
        (Some(Reason::Chained), Some(allowed)) => {
            format!("; in a chained run {:.3e} is allowed, by the errors of replicas", allowed.0)
        }
        _ => String::new(),
    };
    format!("against {}: {}{chained}", comparison.reference, comparison.outcome)
}

fn nothing_unexpected(requirement: &Requirement, assays: &[CaseAssay]) -> RequirementResult {
    let findings: Vec<Finding> = assays
        .iter()
        .flat_map(|assay| assay.unexpected.iter().map(|name| (assay.case.clone(), name)))
        .map(|(case, name)| Finding {
            case,
            tensor: name.to_string(),
            reason: Reason::Unexpected,
            message: "the subject's capture holds an activation that no spec asks for".to_owned(),
        })
        .collect();
    let verdict = if findings.is_empty() { ComparisonVerdict::Pass } else { ComparisonVerdict::Fail };
    let captures = assays.len() as u64;
    result(requirement, captures, captures, verdict, findings)
}

fn result(
    requirement: &Requirement,
    checked: u64,
    required: u64,
    verdict: ComparisonVerdict,
    mut findings: Vec<Finding>,
) -> RequirementResult {
    findings.truncate(FINDINGS);
    let (id, text) = (requirement.id.clone(), requirement.text.clone());
    RequirementResult { id, text, checked, required, verdict, findings }
}

fn not_applicable(spec: &Spec, facts: &RunFacts) -> Vec<NotApplicable> {
    facts.not_applicable.iter().filter(|(id, _)| *id == spec.id).map(|(_, what)| what.clone()).collect()
}

/// The reservations of the run and those of its checkpoints, each named.
pub(super) fn reservations(
    specs: &SpecSet,
    facts: &RunFacts,
    checkpoints: &[CheckpointResult],
    peers: &[PeerFigure],
    faults: &FaultPanel,
) -> Vec<Reservation> {
    let warnings = checkpoints.iter().flat_map(|checkpoint| {
        checkpoint.requirements.iter().filter(|r| is_warning(r)).map(|requirement| {
            let message = format!("{}: {}", requirement.id, requirement.findings[0].message);
            reservation(&checkpoint.id, message)
        })
    });
    let subject = facts.subject.to_string();
    let reported = |figure: &&PeerFigure| checkpoints.iter().any(|c| c.id == figure.checkpoint);
    let heavy = peers.iter().filter(|figure| figure.implementation == subject).filter(reported).filter_map(
        |figure| {
            let used = figure.budget_used?.0;
            let message = format!(
                "{:.0} % of a rounding budget is used; a correct port uses at most {:.0} %",
                used * 100.0,
                specs.judging.reservation.used * 100.0
            );
            (used > specs.judging.reservation.used && used <= 1.0)
                .then(|| reservation(&figure.checkpoint, message))
        },
    );
    let unproven = (faults.extent == Extent::None).then(|| Reservation {
        checkpoint: Some(FAULT_PANEL.to_owned()),
        message: "no fault was put in: nothing shows on this model that the gate can fail".to_owned(),
    });
    facts.reservations.iter().cloned().chain(warnings).chain(heavy).chain(unproven).collect()
}

fn reservation(checkpoint: &str, message: String) -> Reservation {
    Reservation { checkpoint: Some(checkpoint.to_owned()), message }
}

#[cfg(test)]
mod tests;
