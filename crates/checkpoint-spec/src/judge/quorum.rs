//! Whether the references may judge at all.

use std::collections::BTreeSet;

use capture::Precision;

use crate::Measured;
use crate::assay::{CaseAssay, ITSELF, ORACLE, QuorumObservation};
use crate::judge::RunFacts;
use crate::plan::GRAPH;
use crate::registry::lineage;
use crate::results::{Finding, Outcome, Quorum, Reason, Verdict, Voice};

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
        _ if required == 0 || compared < required => Verdict::Incomplete,
        1 => Verdict::Conditional,
        _ => Verdict::Pass,
    };
    Quorum { voices: voices(facts), verdict, compared, required, used, worst, disagreement }
}

/// Whether each claimed case was assayed once and no other was, and whether it was judged by the claimed references,
/// all different, and by no other: what stands in for something else is not it, and nobody confirms himself.
fn as_claimed(facts: &RunFacts, assays: &[CaseAssay]) -> bool {
    let mut claimed: Vec<&str> = facts.cases.iter().map(|(case, _)| case.id.as_str()).collect();
    let mut assayed: Vec<&str> = assays.iter().map(|assay| assay.case.as_str()).collect();
    claimed.sort_unstable();
    assayed.sort_unstable();
    let names: BTreeSet<&str> = facts.references.iter().map(|reference| reference.name.as_str()).collect();
    let voices: Vec<String> =
        facts.references.iter().map(|r| format!("{}@{}", r.name, Precision::F64)).collect();
    let judged_by_them = |assay: &CaseAssay| {
        let judges = assay.observations.iter().map(|o| o.reference.as_str());
        let is_claimed =
            |judge: &str| judge == ITSELF || judge == ORACLE || voices.iter().any(|v| v == judge);
        let found: BTreeSet<&str> = assay.quorum.iter().map(|o| o.between.as_str()).collect();
        let claimed = pairs(&voices);
        judges.into_iter().all(is_claimed) && found == claimed.iter().map(String::as_str).collect()
    };
    claimed == assayed && names.len() == facts.references.len() && assays.iter().all(judged_by_them)
}

/// Who is held to whom: every further reference to the first, and the first to the graph.
fn pairs(voices: &[String]) -> BTreeSet<String> {
    let Some((first, others)) = voices.split_first() else { return BTreeSet::new() };
    let to_first = others.iter().map(|other| format!("{other} against {first}"));
    to_first.chain([format!("{first} against {ORACLE}")]).collect()
}

/// The voices with where each comes from: those of one lineage count once.
fn voices(facts: &RunFacts) -> Vec<Voice> {
    let of =
        |name: &str| Voice { name: format!("{name}@{}", Precision::F64), lineage: lineage(name).to_owned() };
    let references = facts.references.iter().map(|reference| of(&reference.name));
    references.chain([Voice { name: ORACLE.to_owned(), lineage: GRAPH.to_owned() }]).collect()
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
