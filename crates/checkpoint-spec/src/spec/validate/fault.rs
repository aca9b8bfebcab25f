//! What must hold of declared faults.

use std::collections::BTreeSet;

use super::{check_id, text_is_there};
use crate::reason::Reason;
use crate::spec::{FaultSpec, Spec};

/// A checkpoint that declares no fault could not be seen to fail.
pub(super) fn validate_all(spec: &Spec) -> Result<(), String> {
    if !spec.faults.iter().any(|fault| fault.fast) {
        return Err(
            "no fault of the short panel is declared: nothing would show that this checkpoint can fail"
                .to_owned(),
        );
    }
    spec.faults
        .iter()
        .try_for_each(|fault| validate(fault).map_err(|problem| format!("fault `{}`: {problem}", fault.id)))
}

fn validate(fault: &FaultSpec) -> Result<(), String> {
    check_id(&fault.id)?;
    text_is_there("what", &fault.what)?;
    if let Some(reason) = &fault.equivalent {
        text_is_there("equivalent", reason)?;
    }
    if fault.needs.iter().collect::<BTreeSet<_>>().len() != fault.needs.len() {
        return Err("a need is named twice".to_owned());
    }
    if fault.reasons.is_empty()
        || fault.reasons.iter().any(|reason| matches!(reason, Reason::Tie | Reason::Empty))
    {
        return Err("a fault has a reason, and is refused for no tie and not for being empty".to_owned());
    }
    if fault.fast && fault.equivalent.is_some() {
        return Err("what changes nothing does not belong to the short panel".to_owned());
    }
    Ok(())
}
