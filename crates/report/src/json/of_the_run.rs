//! What belongs to a run and to no checkpoint: faults, quorum, repeats, laws, figures of peers, incidents.

use checkpoint_spec::{
    Determinism, FaultPanel, FaultResult, GrowthRow, Incident, LawNumbers, LawPlace, Laws, PeerFigure,
    Quorum, Repeated,
};
use serde_json::{Value, json};

use super::{finding, number, text};
use crate::words;

pub(super) fn faults(panel: &FaultPanel) -> Value {
    json!({
        "extent": panel.extent,
        "verdict": words::verdict(panel.verdict),
        "case": panel.case.as_deref().map(text),
        "declared": panel.declared,
        "required": panel.required,
        "killed": panel.killed,
        "equivalent": panel.equivalent,
        "not_exercised": panel.not_exercised,
        "problem": panel.problem.as_deref().map(text),
        "matrix": panel.faults.iter().map(fault).collect::<Vec<_>>(),
    })
}

fn fault(fault: &FaultResult) -> Value {
    let observation = fault.observation.as_ref();
    let killer = observation.and_then(|observation| observation.killer.as_ref());
    json!({
        "id": text(&fault.id),
        "what": text(&fault.what),
        "checkpoint": text(&fault.checkpoint),
        "by": text(&fault.by),
        "reasons": fault.reasons.iter().map(|reason| words::reason(*reason)).collect::<Vec<_>>(),
        "word": fault.word,
        "note": fault.note.as_deref().map(text),
        "killer": killer.map(|killer| json!({
            "by": text(&killer.by),
            "reason": words::reason(killer.reason),
            "tensor": killer.tensor.as_deref().map(text),
            "mode": killer.mode.map(words::mode),
            "margin": killer.margin.map(number),
            "message": text(&killer.message),
        })),
        "refusals": observation.map(|observation| {
            let refusals = observation.refusals.iter();
            refusals.map(|(id, verdict)| json!({ "checkpoint": text(id), "verdict": words::verdict(*verdict) })).collect::<Vec<_>>()
        }),
    })
}

pub(super) fn quorum(quorum: &Quorum) -> Value {
    json!({
        "verdict": words::verdict(quorum.verdict),
        "voices": quorum.voices.iter().map(|voice| json!({
            "name": text(&voice.name),
            "lineage": text(&voice.lineage),
        })).collect::<Vec<_>>(),
        "compared": quorum.compared,
        "required": quorum.required,
        "used": number(quorum.used),
        "worst": quorum.worst.as_deref().map(text),
        "disagreement": quorum.disagreement.as_ref().map(finding),
    })
}

pub(super) fn determinism(found: &Determinism) -> Value {
    let repeated = |r: &Repeated| {
        json!({
            "implementation": text(&r.implementation),
            "cases": r.cases.iter().map(|case| text(case)).collect::<Vec<_>>(),
            "repeats": r.repeats.iter().map(|repeat| json!({
                "process": repeat.process,
                "threads": repeat.threads,
                "sha256": text(&repeat.sha256),
            })).collect::<Vec<_>>(),
            "compared": r.compared,
            "required": r.required,
            "first_difference": r.first_difference.as_ref().map(|difference| json!({
                "case": text(&difference.case),
                "step": difference.step,
                "activation": text(&difference.activation),
                "between": difference.between,
            })),
        })
    };
    json!({
        "verdict": words::verdict(found.verdict),
        "finding": found.finding.as_ref().map(finding),
        "implementations": found.implementations.iter().map(repeated).collect::<Vec<_>>(),
    })
}

pub(super) fn laws(found: &Laws) -> Value {
    let place = |place: &LawPlace| {
        json!({
            "case": text(&place.case),
            "tensor": text(&place.tensor),
            "position": place.position,
            "message": text(&place.message),
        })
    };
    let held = |numbers: &LawNumbers| {
        json!({
            "law": numbers.law,
            "implementation": text(&numbers.implementation),
            "bound": numbers.bound,
            "compared": numbers.compared,
            "required": numbers.required,
            "violations": numbers.violations,
            "max_abs": number(numbers.max_abs),
            "worst": numbers.worst.as_ref().map(place),
            "first": numbers.first.as_ref().map(place),
            "refusal": numbers.refusal.as_deref().map(text),
            "problem": numbers.problem.as_deref().map(text),
            "verdict": words::verdict(numbers.verdict),
        })
    };
    json!({
        "verdict": words::verdict(found.verdict),
        "findings": found.findings.iter().map(finding).collect::<Vec<_>>(),
        "numbers": found.numbers.iter().map(held).collect::<Vec<_>>(),
    })
}

pub(super) fn peer(peer: &PeerFigure) -> Value {
    json!({
        "checkpoint": text(&peer.checkpoint),
        "implementation": text(&peer.implementation),
        "chained_max_abs": number(peer.chained_max_abs),
        "isolated_max_abs": number(peer.isolated_max_abs),
        "budget_used": peer.budget_used.map(number),
        "ceiling_used": peer.ceiling_used.map(number),
    })
}

pub(super) fn growth(row: &GrowthRow) -> Value {
    json!({
        "case": text(&row.case),
        "step": row.step,
        "name": text(&row.name),
        "layer": row.layer,
        "errors": row.errors.iter().map(|error| json!({
            "implementation": text(&error.implementation),
            "rmse": number(error.rmse),
            "max_abs": number(error.max_abs),
        })).collect::<Vec<_>>(),
    })
}

pub(super) fn incident(incident: &Incident) -> Value {
    json!({
        "implementation": text(&incident.implementation),
        "case": incident.case.as_deref().map(text),
        "kind": text(&incident.kind),
        "message": text(&incident.message),
    })
}
