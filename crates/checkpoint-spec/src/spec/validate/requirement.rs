//! Requirements: numbered, bound to a check that can look at what they name, and leaving nothing out.

use std::collections::BTreeSet;

use super::text_is_there;
use crate::spec::{ActivationSpec, Check, Kind, Requirement, Spec};

pub(super) fn validate_all(spec: &Spec) -> Result<(), String> {
    for requirement in &spec.requirements {
        validate(spec, requirement)
            .map_err(|problem| format!("requirement {}: {problem}", requirement.id))?;
    }
    spec.activations.iter().try_for_each(|activation| covered(spec, activation))
}

fn validate(spec: &Spec, requirement: &Requirement) -> Result<(), String> {
    text_is_there("text", &requirement.text)?;
    let distinct: BTreeSet<&String> = requirement.of.iter().collect();
    if distinct.len() != requirement.of.len() {
        return Err("`of` names an activation twice".to_owned());
    }
    if (requirement.check == Check::NothingUnexpected) != requirement.of.is_empty() {
        return Err("`of` must name what is looked at, unless it is the capture as a whole".to_owned());
    }
    if requirement.check == Check::Distinct && requirement.of.len() < 2 {
        return Err("nothing differs from itself: `of` needs two activations".to_owned());
    }
    for name in &requirement.of {
        let activation =
            spec.activation(name).ok_or_else(|| format!("`{name}` is no activation of this checkpoint"))?;
        requirement.check.admits(activation).map_err(|problem| format!("`{name}` {problem}"))?;
    }
    Ok(())
}

/// Every activation is compared, every float is scanned for NaN and infinity, every range is looked at.
fn covered(spec: &Spec, activation: &ActivationSpec) -> Result<(), String> {
    let by =
        |check: Check| spec.requirements.iter().any(|r| r.check == check && r.of.contains(&activation.name));
    let uncovered = |what: &str| Err(format!("no requirement has `{}` {what}", activation.name));
    if !by(Check::Agreement) {
        return uncovered("compared");
    }
    if activation.kind == Kind::Float && !by(Check::Finite) {
        return uncovered("scanned for NaN and infinity");
    }
    if activation.range.is_some() && !by(Check::PlausibleRange) {
        return uncovered("held against its range");
    }
    Ok(())
}
