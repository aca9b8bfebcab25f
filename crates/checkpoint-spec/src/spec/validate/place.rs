//! What must hold where mutations are put in.

use std::collections::BTreeMap;

use graph::{Architecture, Computation, Graph, Node};

use crate::spec::{FaultSpec, Spec, SpecSet};

/// Every fault that has places changes something that there is, into something of the same shape that can be computed where
/// it stands.
pub(super) fn validate_all(set: &SpecSet, spec: &Spec, trial: &Architecture) -> Result<(), String> {
    let graph = set.graph();
    let order = graph.order(trial.layers).map_err(|circle| circle.to_string())?;
    let order: BTreeMap<&str, (usize, &Node)> =
        order.iter().enumerate().map(|(index, node)| (node.name.as_str(), (index, node))).collect();
    let with_places = spec.faults.iter().filter(|fault| !fault.places.is_empty());
    with_places.into_iter().try_for_each(|fault| {
        validate(set, fault, &graph, trial, &order)
            .map_err(|problem| format!("fault `{}`: {problem}", fault.id))
    })
}

fn validate(
    set: &SpecSet,
    fault: &FaultSpec,
    graph: &Graph,
    trial: &Architecture,
    order: &BTreeMap<&str, (usize, &Node)>,
) -> Result<(), String> {
    let mutated = set.mutated(&fault.places, graph, trial)?;
    if mutated.is_empty() {
        return Err("its places name no activation".to_owned());
    }
    for (name, computation) in &mutated {
        let Some((index, node)) = order.get(name.as_str()) else { continue };
        graph.check_computation(trial, node, computation).map_err(|error| error.to_string())?;
        let later = |input: &&String| order.get(input.as_str()).is_some_and(|(at, _)| at >= index);
        if let Some(input) = computation.inputs_in(node.layer, trial.layers).iter().find(later) {
            return Err(format!("`{name}` reads `{input}`, which is computed after it"));
        }
        check_wrong(computation).map_err(|problem| format!("`{name}`: {problem}"))?;
    }
    Ok(())
}

fn check_wrong(computation: &Computation) -> Result<(), String> {
    match &computation.wrong {
        Some(wrong) if !oracle::wrong_ways(&computation.op).contains(&wrong.as_str()) => {
            Err(format!("`{}` has no wrong way `{wrong}`", computation.op.name()))
        }
        _ => Ok(()),
    }
}
