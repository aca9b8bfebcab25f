//! The laws' numbers → one word.

use super::RunFacts;
use crate::laws::{context, law_bound, names_limit, refused_case, required_parts};
use crate::results::{Finding, LawNumbers, Laws, Reason, Verdict};
use crate::spec::{LawSpec, SpecError, SpecSet};

/// Judges the laws. Who must keep which, how closely and in how many parts follows from specs, architecture and the
/// implementations asked for; what was found has no part in it. A law for which the context has no room asks nothing.
pub(super) fn judge(specs: &SpecSet, facts: &RunFacts) -> Result<Laws, SpecError> {
    let subject = facts.subject.to_string();
    let references = facts.references.iter().map(|reference| format!("{}@f64", reference.name));
    let mut everyone = vec![subject.clone()];
    everyone.extend(references.filter(|reference| *reference != subject));
    let mut numbers = Vec::new();
    for implementation in &everyone {
        let is_subject = *implementation == subject;
        for law in specs.laws().filter(|law| is_subject || !law.subject_only) {
            let required = required_parts(specs, &facts.architecture, law, implementation)?;
            if required > 0 {
                numbers.push(judged(facts, law, implementation, is_subject, required));
            }
        }
    }
    let verdict = numbers.iter().map(|found| found.verdict).max().unwrap_or(Verdict::Incomplete);
    let findings = numbers.iter().filter_map(finding).collect();
    Ok(Laws { verdict, findings, numbers })
}

fn judged(
    facts: &RunFacts,
    law: &LawSpec,
    implementation: &str,
    is_subject: bool,
    required: u64,
) -> LawNumbers {
    let bound = law_bound(law, implementation);
    let mut found =
        facts.laws.iter().filter(|found| found.law == law.id && found.implementation == implementation);
    let (Some(found), None) = (found.next(), found.next()) else {
        return LawNumbers::none(law.id, implementation, bound, required);
    };
    let refusal_is_missing = found.compared > 0
        && refused_case(law.id, &facts.architecture).is_some()
        && !found.refusal.as_ref().is_some_and(|text| names_limit(text, context(&facts.architecture)));
    let verdict = if found.violations > 0 || found.first.is_some() || refusal_is_missing {
        if is_subject { Verdict::Fail } else { Verdict::Error }
    } else if found.compared != required || found.bound != bound {
        Verdict::Incomplete
    } else {
        Verdict::Pass
    };
    LawNumbers { required, bound, verdict, ..found.clone() }
}

fn finding(numbers: &LawNumbers) -> Option<Finding> {
    let place = numbers.first.as_ref().filter(|_| numbers.verdict >= Verdict::Error)?;
    let position = place.position.map(|position| format!(", position {position}")).unwrap_or_default();
    Some(Finding {
        case: place.case.clone(),
        tensor: place.tensor.clone(),
        reason: Reason::Invariant,
        message: format!(
            "{} breaks the law `{}`{position}: {}",
            numbers.implementation,
            numbers.law.name(),
            place.message
        ),
    })
}

#[cfg(test)]
mod tests;
