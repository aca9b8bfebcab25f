//! What must hold of declared laws.

use super::text_is_there;
use crate::spec::{LawId, LawSpec, SpecSet};

/// Every law that there is code for is declared once. One that is declared without code does not load.
pub(super) fn validate_all(specs: &SpecSet) -> Result<(), String> {
    for law in LawId::ALL {
        let declared = specs.laws().filter(|declared| declared.id == law).count();
        if declared != 1 {
            return Err(format!("the law `{}` is declared {declared} times; expected once", law.name()));
        }
    }
    specs
        .laws()
        .try_for_each(|law| validate(law).map_err(|problem| format!("law `{}`: {problem}", law.id.name())))
}

fn validate(law: &LawSpec) -> Result<(), String> {
    text_is_there("text", &law.text)?;
    text_is_there("why", &law.why)?;
    text_is_there("validated", &law.validated)
}
