//! Cause and consequence: which divergence came first.

use std::collections::{BTreeMap, BTreeSet};

use capture::TensorName;

use crate::assay::{CaseAssay, Observation};
use crate::judge::finding::finding;
use crate::results::{CheckpointResult, ComparisonVerdict, Divergence, Mode};
use crate::{SpecSet, spec::ActivationSpec};

/// For each observation of a case, whether one of its inputs, however far up, diverged in the chained run. A
/// replayed activation had the reference's inputs, so nothing is upstream of it.
pub(super) fn downstream(specs: &SpecSet, assay: &CaseAssay) -> Vec<bool> {
    let mut tainted: BTreeSet<&TensorName> = BTreeSet::new();
    let mut flags = Vec::with_capacity(assay.observations.len());
    for observation in &assay.observations {
        let upstream =
            observation.mode == Mode::Run && observation.inputs.iter().any(|input| tainted.contains(input));
        flags.push(upstream);
        if observation.mode == Mode::Run && (upstream || diverges(specs, observation)) {
            tainted.insert(&observation.required.name);
        }
    }
    flags
}

fn diverges(specs: &SpecSet, observation: &Observation) -> bool {
    let (verdict, _) = finding(activation(specs, observation), observation.mode, &observation.outcome);
    matches!(verdict, ComparisonVerdict::Fail | ComparisonVerdict::Missing)
}

fn activation<'a>(specs: &'a SpecSet, observation: &Observation) -> &'a ActivationSpec {
    &specs.specs[observation.required.spec].activations[observation.required.activation]
}

/// The first divergence in execution order, of the first case that has one. An isolated divergence precedes the
/// chained one at the same activation: it is the surer sign that the fault sits there.
pub(super) fn first(
    specs: &SpecSet,
    assays: &[CaseAssay],
    checkpoints: &[CheckpointResult],
) -> Option<Divergence> {
    let reported: BTreeSet<&str> = checkpoints.iter().map(|checkpoint| checkpoint.id.as_str()).collect();
    assays.iter().find_map(|assay| {
        let order = execution_order(assay);
        let position = |o: &Observation| {
            let name = o.required.name.to_string().replacen("whole/", "", 1);
            (order.get(&name).copied().unwrap_or(usize::MAX), o.mode == Mode::Run)
        };
        assay
            .observations
            .iter()
            .filter(|observation| reported.contains(specs.specs[observation.required.spec].id.as_str()))
            .filter(|observation| diverges(specs, observation))
            .min_by_key(|observation| position(observation))
            .and_then(|observation| divergence(specs, observation))
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

fn divergence(specs: &SpecSet, observation: &Observation) -> Option<Divergence> {
    let (_, reason) = finding(activation(specs, observation), observation.mode, &observation.outcome);
    Some(Divergence {
        checkpoint: specs.specs[observation.required.spec].id.clone(),
        activation: observation.required.name.activation.clone(),
        case: observation.case.clone(),
        step: observation.required.name.step,
        mode: observation.mode,
        reason: reason?,
    })
}
