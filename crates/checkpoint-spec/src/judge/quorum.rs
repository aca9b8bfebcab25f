//! Whether the references may judge at all.

use std::collections::BTreeSet;

use capture::Precision;

use crate::Measured;
use crate::assay::{CaseAssay, ITSELF, QuorumObservation};
use crate::judge::RunFacts;
use crate::results::{Finding, Outcome, Quorum, Reason, Verdict};

/// Agreement of all references at f64. Fewer than two is a reservation when the user chose so.
pub(super) fn judge(facts: &RunFacts, assays: &[CaseAssay]) -> Quorum {
    let all = || assays.iter().flat_map(|assay| assay.quorum.iter().map(move |o| (assay.case.as_str(), o)));
    let mut used = Measured(0.0);
    let mut worst = None;
    for (case, observation) in all() {
        if let Some(statistics) = observation.outcome.float_statistics()
            && used.or_worse(statistics.used) != used
        {
            used = statistics.used;
            worst = Some(format!("{case}: {}", observation.name));
        }
    }
    let required = all().count() as u64;
    let compared = all().filter(|(_, o)| o.outcome.elements() > 0).count() as u64;
    let disagreement = all().find_map(|(case, observation)| disagreement(case, observation));
    let verdict = match facts.references.len() {
        _ if disagreement.is_some() => Verdict::Error,
        _ if !as_claimed(facts, assays) => Verdict::Incomplete,
        1 => Verdict::Conditional,
        _ if required == 0 || compared < required => Verdict::Incomplete,
        _ => Verdict::Pass,
    };
    Quorum { verdict, compared, required, used, worst, disagreement }
}

/// Whether each claimed case was assayed once and no other was, and whether it was judged by the claimed references,
/// all different, and by no other: what stands in for something else is not it, and nobody confirms himself.
fn as_claimed(facts: &RunFacts, assays: &[CaseAssay]) -> bool {
    let mut claimed: Vec<&str> = facts.cases.iter().map(|(case, _)| case.id.as_str()).collect();
    let mut assayed: Vec<&str> = assays.iter().map(|assay| assay.case.as_str()).collect();
    claimed.sort_unstable();
    assayed.sort_unstable();
    let names: BTreeSet<&str> = facts.references.iter().map(|reference| reference.name.as_str()).collect();
    let precisions = [facts.subject.precision.peer(), Precision::F64];
    let references: Vec<[String; 2]> =
        names.iter().map(|name| precisions.map(|p| format!("{name}@{p}"))).collect();
    let judged_by_them = |assay: &CaseAssay| {
        let judges: BTreeSet<&str> = assay.observations.iter().map(|o| o.reference.as_str()).collect();
        let is_claimed = |judge: &&str| *judge == ITSELF || references.iter().flatten().any(|r| r == judge);
        let judges_here = |reference: &[String; 2]| reference.iter().any(|r| judges.contains(r.as_str()));
        judges.iter().all(is_claimed) && references.iter().all(judges_here)
    };
    claimed == assayed && names.len() == facts.references.len() && assays.iter().all(judged_by_them)
}

pub(super) fn disagreement(case: &str, observation: &QuorumObservation) -> Option<Finding> {
    let found = match &observation.outcome {
        Outcome::Compared { statistics, .. } if statistics.violations > 0 => {
            let worst = statistics.worst.first().map_or_else(String::new, |element| {
                let (actual, expected) = (element.actual.0, element.expected.0);
                format!(
                    " at {:?}: {actual:?} against {expected:?}, apart by {:?}, allowed {:?}",
                    element.index, element.error.0, element.allowed.0
                )
            });
            format!("{} of {} elements differ{worst}", statistics.violations, statistics.elements)
        }
        Outcome::ShapeMismatch { expected, found, side } => {
            format!("{side} gave shape {found}, required is {expected}")
        }
        Outcome::DtypeMismatch { expected, found, side } => {
            format!("{side} gave dtype {found}, required is {expected}")
        }
        _ => return None,
    };
    Some(Finding {
        case: case.to_owned(),
        tensor: observation.name.to_string(),
        reason: Reason::Exact,
        message: format!("references disagree, {}: {found}", observation.between),
    })
}

#[cfg(test)]
mod tests;
