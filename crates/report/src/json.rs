//! The report for programs, `--format json`. The README of this crate documents the schema.

mod of_the_run;

use std::path::Path;

use checkpoint_spec::{
    BudgetRecord, CheckpointResult, Comparison, Diagnosis, ElementRecord, Finding, Measured, Outcome,
    RequirementResult, Results, StatisticsRecord, SystematicRecord,
};
use serde_json::{Value, json};

use crate::text::lines;
use crate::{bounds, command, phrases, summary, words};
use of_the_run::{determinism, faults, growth, incident, laws, peer, quorum};

/// Version of the JSON report.
pub const SCHEMA: &str = "trialplate/report/2";

/// Renders a run for programs, in the schema [`SCHEMA`].
///
/// Measured floats are plain numbers; those that are not finite are the strings `"NaN"`, `"inf"` and `"-inf"`. Where
/// no value was compared, every statistic is `null`.
pub fn json(results: &Results, bundle: Option<&Path>, strict: bool) -> Value {
    let totals = summary::totals(results);
    json!({
        "schema": SCHEMA,
        "verdict": words::verdict(results.verdict),
        "exit_code": summary::exit_code(results, strict),
        "strict": strict,
        "bundle": bundle.map(|path| text(&path.to_string_lossy())),
        "model": text(&results.model),
        "architecture": &results.architecture,
        "subject": identity(&results.subject),
        "references": results.references.iter().map(identity).collect::<Vec<_>>(),
        "cases": &results.cases,
        "compared": totals.compared,
        "required": totals.required,
        "ties": totals.ties,
        "quorum": quorum(&results.quorum),
        "faults": faults(&results.faults),
        "determinism": determinism(&results.determinism),
        "laws": laws(&results.laws),
        "first_divergence": first_divergence(results),
        "diagnoses": results.diagnoses.iter().map(diagnosis).collect::<Vec<_>>(),
        "checkpoints": results.checkpoints.iter().map(checkpoint).collect::<Vec<_>>(),
        "peers": results.peers.iter().map(peer).collect::<Vec<_>>(),
        "growth": results.growth.iter().map(growth).collect::<Vec<_>>(),
        "incidents": results.incidents.iter().map(incident).collect::<Vec<_>>(),
        "reservations": results.reservations.iter().map(|r| json!({
            "checkpoint": r.checkpoint.as_deref().map(text),
            "message": text(&r.message),
        })).collect::<Vec<_>>(),
        "notes": results.notes.iter().map(|note| text(note)).collect::<Vec<_>>(),
        "statement": phrases::statement(results),
    })
}

fn identity(identity: &capture::Identity) -> Value {
    json!({
        "id": text(&identity.to_string()),
        "version": text(&identity.version),
        "device": text(&identity.device),
    })
}

fn first_divergence(results: &Results) -> Value {
    results.first_divergence.as_ref().map_or(Value::Null, |d| {
        json!({
            "checkpoint": text(&d.checkpoint),
            "activation": text(&d.activation),
            "case": text(&d.case),
            "step": d.step,
            "mode": words::mode(d.mode),
            "reason": words::reason(d.reason),
            "reproduce": command::reproduce(results, &d.checkpoint, Some(&d.case)),
        })
    })
}

fn diagnosis(diagnosis: &Diagnosis) -> Value {
    json!({
        "checkpoint": text(&diagnosis.checkpoint),
        "activation": text(&diagnosis.activation),
        "case": text(&diagnosis.case),
        "step": diagnosis.step,
        "tried": diagnosis.tried,
        "named": diagnosis.named.iter().map(|bug| json!({
            "id": text(&bug.id),
            "what": text(&bug.what),
            "budget_used": number(bug.used),
        })).collect::<Vec<_>>(),
    })
}

fn checkpoint(checkpoint: &CheckpointResult) -> Value {
    json!({
        "id": text(&checkpoint.id),
        "name": text(&checkpoint.name),
        "title": text(&checkpoint.title),
        "verdict": words::verdict(checkpoint.verdict),
        "compared": checkpoint.compared,
        "required": checkpoint.required,
        "ties": checkpoint.ties,
        "requirements": checkpoint.requirements.iter().map(requirement).collect::<Vec<_>>(),
        "not_applicable": checkpoint.not_applicable.iter().map(|n| json!({
            "what": text(&n.what),
            "reason": text(&n.reason),
        })).collect::<Vec<_>>(),
        "activations": checkpoint.comparisons.iter().map(activation).collect::<Vec<_>>(),
    })
}

fn requirement(requirement: &RequirementResult) -> Value {
    json!({
        "id": text(&requirement.id),
        "text": text(&requirement.text),
        "verdict": words::comparison(requirement.verdict),
        "checked": requirement.checked,
        "required": requirement.required,
        "findings": requirement.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "case": text(&finding.case),
        "tensor": text(&finding.tensor),
        "reason": words::reason(finding.reason),
        "message": text(&finding.message),
    })
}

fn activation(comparison: &Comparison) -> Value {
    let mut activation = json!({
        "name": text(&comparison.name),
        "layer": comparison.layer,
        "step": comparison.step,
        "case": text(&comparison.case),
        "mode": words::mode(comparison.mode),
        "reference": text(&comparison.reference),
        "verdict": words::comparison(comparison.verdict),
        "reason": comparison.reason.map(words::reason),
        "downstream": comparison.downstream,
        "chained_allowed": comparison.chained_allowed.map(number),
    });
    let parts = [layout(&comparison.outcome), statistics(comparison)];
    if let Value::Object(fields) = &mut activation {
        for part in parts {
            if let Value::Object(part) = part {
                fields.extend(part);
            }
        }
    }
    activation
}

/// What was required and, where it differs, what was found; whose it is, and what is wrong with it.
fn layout(outcome: &Outcome) -> Value {
    let (mut shape, mut found_shape, mut dtype, mut found_dtype) = (None, None, None, None);
    let (mut whose, mut problem) = (None, None);
    match outcome {
        Outcome::Compared { shape: common, .. } => shape = Some(common),
        Outcome::ShapeMismatch { expected, found, side } => {
            (shape, found_shape, whose) = (Some(expected), Some(found), Some(side));
        }
        Outcome::DtypeMismatch { expected, found, side } => {
            (dtype, found_dtype, whose) = (Some(expected), Some(found), Some(side));
        }
        Outcome::Missing { side } => whose = Some(side),
        Outcome::Unreadable { problem: found } => problem = Some(found),
    }
    json!({
        "shape": shape,
        "found_shape": found_shape,
        "dtype": dtype,
        "found_dtype": found_dtype,
        "side": whose.map(|side| text(&side.to_string())),
        "problem": problem.map(|problem| text(problem)),
    })
}

/// Every field is there always: `null` says that no value was compared.
fn statistics(comparison: &Comparison) -> Value {
    let s = comparison.outcome.statistics();
    let measured = |of: fn(&StatisticsRecord) -> Measured| s.map(|s| number(of(s)));
    json!({
        "elements": s.map(|s| s.elements),
        "violations": s.map(bounds::violations),
        "ties": s.map(|s| s.ties),
        "non_finite": s.map(|s| s.non_finite),
        "max_abs": measured(|s| s.max_abs),
        "mean_abs": measured(|s| s.mean_abs),
        "max_rel": measured(|s| s.max_rel),
        "rmse": measured(|s| s.rmse),
        "cosine": s.and_then(|s| s.cosine).map(number),
        "max_ulp": s.and_then(|s| s.max_ulp),
        "used": s.map(|s| number(Measured(bounds::used(comparison, s)))),
        "range": s.and_then(|s| s.range).map(|(low, high)| [number(low), number(high)]),
        "buckets": s.map(|s| &s.buckets),
        "worst": s.map(|s| s.worst.iter().map(|e| worst(e, s.budget.is_some())).collect::<Vec<_>>()),
        "budget": s.and_then(|s| s.budget.as_ref()).map(budget),
    })
}

fn budget(budget: &BudgetRecord) -> Value {
    json!({
        "used": number(budget.used),
        "violations": budget.violations,
        "worst": budget.worst.as_ref().map(element),
        "systematic": budget.systematic.iter().map(systematic).collect::<Vec<_>>(),
    })
}

fn systematic(found: &SystematicRecord) -> Value {
    json!({
        "axis": found.axis,
        "paired": found.paired,
        "index": found.index,
        "scale": number(found.scale),
        "scale_allowed": number(found.scale_allowed),
        "offset": number(found.offset),
        "offset_allowed": number(found.offset_allowed),
        "used": number(found.used),
    })
}

/// Under a budget nothing else bounds an element.
fn worst(found: &ElementRecord, under_budget: bool) -> Value {
    let mut element = element(found);
    if under_budget {
        element["allowed"] = Value::Null;
    }
    element
}

fn element(element: &ElementRecord) -> Value {
    json!({
        "index": &element.index,
        "actual": number(element.actual),
        "expected": number(element.expected),
        "error": number(element.error),
        "allowed": number(element.allowed),
    })
}

/// A number, or the name of what JSON has no number for.
fn number(measured: Measured) -> Value {
    let value = measured.0;
    if value.is_finite() { Value::from(value) } else { Value::from(value.to_string()) }
}

/// JSON escapes control characters only below U+0020, and people print reports: the others are made visible here.
fn text(text: &str) -> String {
    lines(text).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    /// Sorted, as another crate of the build may make maps keep their order.
    macro_rules! assert_snapshot {
        ($($what:expr),+) => {
            insta::with_settings!({ sort_maps => true }, { insta::assert_json_snapshot!($($what),+) })
        };
    }

    fn first_activation(results: &Results, checkpoint: usize) -> Value {
        json(results, None, false)["checkpoints"][checkpoint]["activations"][0].clone()
    }

    #[test]
    fn a_shape_mismatch_has_both_shapes_and_no_statistics() {
        let activation = first_activation(&fixtures::failing_on_shape(), 0);
        assert_eq!(activation["shape"], json!([2, 12, 64]));
        assert_eq!(activation["found_shape"], json!([12, 12, 64]));
        for statistic in statistics(&fixtures::shape_mismatch("attn.q")).as_object().unwrap().keys() {
            assert_eq!(activation[statistic], Value::Null, "{statistic}");
        }
        assert_snapshot!(activation);
    }

    #[test]
    fn floats_that_are_not_finite_are_named() {
        let names =
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0].map(|v| number(Measured(v)).to_string());
        assert_eq!(names, ["\"NaN\"", "\"inf\"", "\"-inf\"", "-0.0"]);
    }

    #[test]
    fn a_pass() {
        let bundle = Path::new("proof-bundles/0123456789ab-01234567-89abcdef");
        let mut results = fixtures::passing();
        results.checkpoints.drain(1..);
        assert_snapshot!(json(&results, Some(bundle), true));
    }

    #[test]
    fn a_divergence_and_an_incident() {
        let failing = json(&fixtures::failing_on_values(), None, false);
        assert_snapshot!("first_divergence", failing["first_divergence"]);
        let incomplete = json(&fixtures::incomplete(), None, false);
        assert_snapshot!(
            "incomplete",
            [
                &incomplete["incidents"],
                &incomplete["reservations"],
                &incomplete["notes"],
                &incomplete["quorum"],
                &incomplete["checkpoints"][0]["activations"][1],
            ]
        );
    }

    #[test]
    fn budgets_and_what_breaks_them() {
        let failing = |results: &Results, checkpoint: usize| {
            let report = json(results, None, false);
            let activations = report["checkpoints"][checkpoint]["activations"].as_array().unwrap().clone();
            let activation = activations.iter().find(|found| found["verdict"] == "fail").unwrap();
            [
                activation["budget"].clone(),
                activation["chained_allowed"].clone(),
                activation["reason"].clone(),
            ]
        };
        assert_snapshot!("systematic", failing(&fixtures::failing_on_systematic(), 1));
        assert_snapshot!("chained", failing(&fixtures::failing_on_chain(), 2));
        assert_snapshot!("growth", json(&fixtures::growing(), None, false)["growth"][1]);
        assert_snapshot!("peer", json(&fixtures::passing(), None, false)["peers"][0]);
    }

    fn keys(value: &Value, found: &mut std::collections::BTreeSet<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| {
                found.insert(key.clone());
                // Symbols and names of constants are the model's, not the schema's.
                if !["sizes", "constants"].contains(&key.as_str()) {
                    keys(value, found);
                }
            }),
            Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_field_is_documented() {
        let mut found = std::collections::BTreeSet::new();
        for results in [
            fixtures::failing_on_values(),
            fixtures::failing_on_systematic(),
            fixtures::incomplete(),
            fixtures::acausal(),
            fixtures::growing(),
        ] {
            keys(&json(&results, None, false), &mut found);
        }
        let documentation = include_str!("../README.md");
        let undocumented: Vec<_> =
            found.iter().filter(|key| !documentation.contains(&format!("`{key}`"))).collect();
        assert!(undocumented.is_empty(), "{undocumented:?}");
    }
}
