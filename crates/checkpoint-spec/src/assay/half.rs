//! A subject that stores in half precision: its own unit in place of f32's, and no ceilings of f32.
//!
//! A replay is held to the rounding budget, whose bounds the oracle derives for that storage. A chained run is held to
//! what the references make at the same precision: the root mean square error is at most three times the worst of
//! theirs, and what the activation's own operation may be off in isolation. Classic ceilings are not applied: the one
//! recorded is what the bound implies, so that it is never the stricter.

use std::collections::BTreeMap;

use capture::{Precision, Tensor, TensorName};
use tensor_compare::Tolerance;

use super::measure::{IntoOutcome, Side, against_oracle, fetch, fetch_f64, fetch_magnitude, same_bits};
use super::peers::CHAINED_FACTOR;
use super::{CaseEvidence, Setting, ties};
use crate::Measured;
use crate::plan::Required;
use crate::results::Outcome;
use crate::spec::{ActivationSpec, Rule};

/// The numbers of a chained float against the oracle, and what its root mean square error may be.
pub(super) fn chained(
    setting: &Setting<'_>,
    evidence: &CaseEvidence<'_>,
    required: &Required,
    worst: &BTreeMap<&TensorName, f64>,
) -> (Outcome, Option<Measured>) {
    let mut bound = None;
    let mut measure = || {
        let precision = setting.precision();
        let oracle = evidence.oracle().ok_or(Outcome::Missing { side: "oracle".to_owned() })?;
        let side = oracle.at(Precision::F64);
        let actual = fetch(evidence.subject.run, "subject", required)?;
        let expected = fetch_f64(oracle.f64.run, &side, required)?;
        let other = || Outcome::Missing { side: format!("a reference at {precision} beside the subject") };
        let peers = worst.get(&required.name).copied().ok_or_else(other)?;
        let alone = match setting.specs.specs[required.spec].activations[required.activation].budget {
            Some(_) => {
                root_mean_square(&fetch_magnitude(Side { source: oracle.f64.replay, name: &side }, required)?)
            }
            None => 0.0,
        };
        let unit = precision.unit();
        let allowed = CHAINED_FACTOR * peers + unit * (largest(&expected) + alone);
        bound = Some(Measured(allowed));
        let ceiling = implied(allowed * elements(required).sqrt())?;
        against_oracle(&actual, &expected, ceiling, None, &side)
    };
    let outcome = measure().into_outcome();
    (outcome, bound)
}

/// The numbers of one replayed activation against the oracle's replay of the same inputs.
pub(super) fn replayed(
    activation: &ActivationSpec,
    required: &Required,
    (confidence, precision): (f64, Precision),
    subject: Side<'_>,
    oracle: Side<'_>,
) -> Outcome {
    let measure = || {
        let actual = fetch(subject.source, subject.name, required)?;
        let expected = fetch_f64(oracle.source, oracle.name, required)?;
        if matches!(activation.rule, Rule::Tie { .. }) {
            let logits = fetch_logits(oracle, required)?;
            return ties::compare_stored(required, &actual, &expected, &logits, precision);
        }
        if !required.dtype.is_float() {
            return Ok(same_bits(&actual, &expected));
        }
        match activation.rounding_budget(confidence, precision) {
            Some(budget) => {
                let magnitude = fetch_magnitude(oracle, required)?;
                let ceiling = implied(precision.unit() * largest(&magnitude))?;
                against_oracle(&actual, &expected, ceiling, Some((&magnitude, &budget)), oracle.name)
            }
            // What is moved is stored once: within one unit in the last place.
            None => {
                let stored = Tolerance::new(precision.smallest_normal(), 2.0 * precision.unit());
                let stored = stored.map_err(|error| Outcome::Unreadable { problem: error.to_string() })?;
                against_oracle(&actual, &expected, stored, None, oracle.name)
            }
        }
    };
    measure().into_outcome()
}

/// The logits from which tokens are taken, as the oracle has them.
fn fetch_logits(oracle: Side<'_>, required: &Required) -> Result<Tensor, Outcome> {
    let name = TensorName { activation: "logits.last".to_owned(), ..required.name.clone() };
    let missing = || Outcome::Missing { side: format!("{} (`{name}`)", oracle.name) };
    let found = oracle.source.ok_or_else(missing)?.tensor(&name);
    found.map_err(|error| Outcome::Unreadable { problem: error.to_string() })?.ok_or_else(missing)
}

/// A ceiling that another bound implies; not finite where that is not.
fn implied(ceiling: f64) -> Result<Tolerance, Outcome> {
    let problem = |error: tensor_compare::ToleranceError| Outcome::Unreadable { problem: error.to_string() };
    Tolerance::new(ceiling, 0.0).map_err(problem)
}

/// Of the finite values, by size.
fn largest(tensor: &Tensor) -> f64 {
    tensor.view().to_f64_lossy().into_iter().filter(|x| x.is_finite()).map(f64::abs).fold(0.0, f64::max)
}

fn root_mean_square(tensor: &Tensor) -> f64 {
    let values = tensor.view().to_f64_lossy();
    let mean = values.iter().map(|x| x * x).sum::<f64>() / count(values.len().max(1));
    mean.sqrt()
}

fn elements(required: &Required) -> f64 {
    count(required.shape.elements())
}

#[expect(clippy::cast_precision_loss, reason = "counts of elements in memory are far below 2⁵³")]
fn count(elements: usize) -> f64 {
    elements as f64
}
