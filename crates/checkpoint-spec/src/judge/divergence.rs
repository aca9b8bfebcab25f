//! Cause and consequence: which divergence came first.

use std::collections::{BTreeMap, BTreeSet};

use capture::TensorName;

use crate::assay::{CaseAssay, Observation};
use crate::judge::finding::Law;
use crate::results::{CheckpointResult, ComparisonVerdict, Divergence, Mode};

/// How the names of composites begin.
const COMPOSITE: &str = "whole/";

/// For each observation of a case, whether one of its inputs, however far up, diverged in the chained run. A
/// replayed activation had the reference's inputs, so nothing is upstream of it; but a composite is a consequence of
/// its parts, which are replayed by themselves as well.
pub(super) fn downstream(law: Law<'_>, assay: &CaseAssay) -> Vec<bool> {
    let mut tainted: BTreeSet<&TensorName> = BTreeSet::new();
    let mut flags = Vec::with_capacity(assay.observations.len());
    let parts = Parts::of(law, assay);
    for observation in &assay.observations {
        let upstream = match observation.mode {
            Mode::Run => observation.inputs.iter().any(|input| tainted.contains(input)),
            Mode::Replay => parts.diverge_in(observation),
        };
        flags.push(upstream);
        if observation.mode == Mode::Run && (upstream || diverges(law, observation)) {
            tainted.insert(&observation.required.name);
        }
    }
    flags
}

/// What composites consist of.
struct Parts<'a> {
    inputs: BTreeMap<&'a TensorName, &'a [TensorName]>,
    diverging: BTreeSet<&'a TensorName>,
}

impl<'a> Parts<'a> {
    fn of(law: Law<'_>, assay: &'a CaseAssay) -> Self {
        let replayed = || assay.observations.iter().filter(|observation| observation.mode == Mode::Replay);
        let diverging = replayed().filter(|observation| diverges(law, observation));
        Self {
            inputs: replayed().map(|o| (&o.required.name, o.inputs.as_slice())).collect(),
            diverging: diverging.map(|observation| &observation.required.name).collect(),
        }
    }

    /// Whether a part of a composite diverges by itself: what lies between its inputs and its result.
    fn diverge_in(&self, observation: &Observation) -> bool {
        let TensorName { step, activation } = &observation.required.name;
        let Some(result) = activation.strip_prefix(COMPOSITE) else { return false };
        let mut known: BTreeSet<&TensorName> = observation.inputs.iter().collect();
        let result = TensorName { step: *step, activation: result.to_owned() };
        let mut pending = vec![&result];
        while let Some(part) = pending.pop() {
            if self.diverging.contains(part) {
                return true;
            }
            let inputs = self.inputs.get(part).copied().unwrap_or_default();
            pending.extend(inputs.iter().filter(|input| known.insert(*input)));
        }
        false
    }
}

fn diverges(law: Law<'_>, observation: &Observation) -> bool {
    let (verdict, _) = law.finding(observation);
    matches!(verdict, ComparisonVerdict::Fail | ComparisonVerdict::Missing)
}

/// The first divergence in execution order, of the first case that has one. An isolated divergence precedes the
/// chained one at the same activation: it is the surer sign that the fault sits there.
pub(super) fn first(
    law: Law<'_>,
    assays: &[CaseAssay],
    checkpoints: &[CheckpointResult],
) -> Option<Divergence> {
    let reported: BTreeSet<&str> = checkpoints.iter().map(|checkpoint| checkpoint.id.as_str()).collect();
    assays.iter().find_map(|assay| {
        let order = execution_order(assay);
        let position = |o: &Observation| {
            let name = o.required.name.to_string().replacen(COMPOSITE, "", 1);
            (order.get(&name).copied().unwrap_or(usize::MAX), o.mode == Mode::Run)
        };
        assay
            .observations
            .iter()
            .filter(|observation| reported.contains(law.specs.specs[observation.required.spec].id.as_str()))
            .filter(|observation| diverges(law, observation))
            .min_by_key(|observation| position(observation))
            .and_then(|observation| divergence(law, observation))
    })
}

fn execution_order(assay: &CaseAssay) -> BTreeMap<String, usize> {
    let run = assay.observations.iter().filter(|observation| observation.mode == Mode::Run);
    let mut order = BTreeMap::new();
    for (position, observation) in run.enumerate() {
        order.entry(observation.required.name.to_string()).or_insert(position);
    }
    order
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
