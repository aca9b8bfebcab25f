//! The numbers of a case whose tensors are not at hand.

use std::collections::BTreeSet;

use capture::Case;

use super::{AssayError, CaseAssay, CaseEvidence, Observation, ReferenceCaptures, Setting, assay};
use crate::plan::Required;
use crate::results::Outcome;

/// An assay from its record. What had to be compared, and with whom, is derived again and must be what is recorded; the
/// numbers themselves, and what is allowed where replicas say it, are the record's word. `references` are names in order of
/// precedence.
///
/// # Errors
/// The outer one when the specs cannot be applied; the inner one says what is recorded and what is required.
pub fn recorded(
    setting: &Setting<'_>,
    case: &Case,
    references: &[String],
    mut record: CaseAssay,
) -> Result<Result<CaseAssay, String>, AssayError> {
    let without_captures = |name: &String| ReferenceCaptures { name: name.clone(), peer: None, f64: None };
    let references: Vec<ReferenceCaptures<'_>> = references.iter().map(without_captures).collect();
    let evidence =
        CaseEvidence { case, subject: None, not_contiguous: &BTreeSet::new(), references: &references };
    let plan = assay(&Setting { model: None, ..*setting }, &evidence)?;
    Ok(follows(&plan, &mut record).map(|()| record))
}

fn follows(plan: &CaseAssay, record: &mut CaseAssay) -> Result<(), String> {
    if record.case != plan.case {
        return Err(format!("the record is of the case `{}`, not of `{}`", record.case, plan.case));
    }
    let key = |o: &Observation| (o.required.clone(), o.case.clone(), o.mode, o.reference.clone());
    same("comparisons", plan.observations.iter().map(key), record.observations.iter().map(key))?;
    same(
        "quorum comparisons",
        plan.quorum.iter().map(|o| (o.name.clone(), o.between.clone())),
        record.quorum.iter().map(|o| (o.name.clone(), o.between.clone())),
    )?;
    same(
        "measurements",
        plan.measured.iter().map(|o| (o.implementation.clone(), o.required.clone(), o.mode)),
        record.measured.iter().map(|o| (o.implementation.clone(), o.required.clone(), o.mode)),
    )?;
    same(
        "requirements",
        plan.requirements.iter().map(|r| (r.spec, r.requirement, r.required)),
        record.requirements.iter().map(|r| (r.spec, r.requirement, r.required)),
    )?;
    let observed = record.observations.iter().map(|o| (&o.required, &o.outcome));
    for (required, outcome) in observed.chain(record.measured.iter().map(|o| (&o.required, &o.outcome))) {
        possible(required, outcome)?;
    }
    for (planned, recorded) in plan.observations.iter().zip(&mut record.observations) {
        recorded.inputs.clone_from(&planned.inputs);
    }
    Ok(())
}

fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    required: impl ExactSizeIterator<Item = T>,
    recorded: impl ExactSizeIterator<Item = T>,
) -> Result<(), String> {
    let (needed, found) = (required.len(), recorded.len());
    for (position, (required, recorded)) in required.zip(recorded).enumerate() {
        if required != recorded {
            return Err(format!("{what}: number {position} is {recorded:?}, required is {required:?}"));
        }
    }
    if found != needed {
        return Err(format!("{what}: {found} are recorded, {needed} are required"));
    }
    Ok(())
}

/// Whether numbers can be those of a comparison of what is required.
fn possible(required: &Required, outcome: &Outcome) -> Result<(), String> {
    let Outcome::Compared { shape, statistics } = outcome else { return Ok(()) };
    let elements = required.shape.elements() as u64;
    if *shape != required.shape || statistics.elements != elements || statistics.violations > elements {
        return Err(format!(
            "{}: {} of {} elements of shape {shape} out of bounds, required is the shape {}",
            required.name, statistics.violations, statistics.elements, required.shape
        ));
    }
    Ok(())
}
