//! Cause and consequence: which divergence came first.

use std::collections::BTreeSet;

use capture::TensorName;

use crate::assay::{CaseAssay, Observation};
use crate::judge::finding::Law;
use crate::results::{CheckpointResult, ComparisonVerdict, Divergence, Mode, Reason};

/// For each observation of a case, whether it is a consequence of another one. What is judged from its own inputs is one
/// where such an input is not there, not of its shape or not finite: nothing follows from that. What only a chain can
/// judge is one where anything in the steps diverges.
pub(super) fn downstream(law: Law<'_>, assay: &CaseAssay) -> Vec<bool> {
    let mut unusable: BTreeSet<&TensorName> = BTreeSet::new();
    let mut diverging = false;
    for observation in &assay.observations {
        let (_, reason) = law.finding(observation);
        if diverges(law, observation) {
            diverging |= observation.required.name.step.is_some();
        }
        if matches!(
            reason,
            Some(
                Reason::Shape
                    | Reason::DType
                    | Reason::NonFinite
                    | Reason::Missing
                    | Reason::Unreadable
                    | Reason::Empty
            )
        ) {
            unusable.insert(&observation.required.name);
        }
    }
    let of = |observation: &Observation| match observation.mode {
        Mode::Isolated => observation.inputs.iter().any(|input| unusable.contains(input)),
        Mode::Chained => diverging,
    };
    assay.observations.iter().map(of).collect()
}

fn diverges(law: Law<'_>, observation: &Observation) -> bool {
    let (verdict, _) = law.finding(observation);
    matches!(verdict, ComparisonVerdict::Fail | ComparisonVerdict::Missing)
}

/// The first divergence in execution order, of the first case that has one.
pub(super) fn first(
    law: Law<'_>,
    assays: &[CaseAssay],
    checkpoints: &[CheckpointResult],
) -> Option<Divergence> {
    let reported: BTreeSet<&str> = checkpoints.iter().map(|checkpoint| checkpoint.id.as_str()).collect();
    assays.iter().find_map(|assay| {
        let reported = |o: &&Observation| reported.contains(law.specs.specs[o.required.spec].id.as_str());
        let mut diverging = assay.observations.iter().filter(reported).filter(|o| diverges(law, o));
        diverging.next().and_then(|observation| divergence(law, observation))
    })
}

fn divergence(law: Law<'_>, observation: &Observation) -> Option<Divergence> {
    let (_, reason) = law.finding(observation);
    Some(Divergence {
        checkpoint: law.specs.specs[observation.required.spec].id.clone(),
        activation: observation.required.name.activation.clone(),
        case: observation.case.clone(),
        step: observation.required.name.step,
        mode: observation.mode,
        reason: reason?,
    })
}

#[cfg(test)]
mod tests;
