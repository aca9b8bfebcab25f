//! Whether the references may judge at all.

use crate::Measured;
use crate::assay::{CaseAssay, QuorumObservation};
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
        0 => Verdict::Incomplete,
        1 => Verdict::Conditional,
        _ if disagreement.is_some() => Verdict::Error,
        _ if required == 0 || compared < required => Verdict::Incomplete,
        _ => Verdict::Pass,
    };
    Quorum { verdict, compared, required, used, worst, disagreement }
}

fn disagreement(case: &str, observation: &QuorumObservation) -> Option<Finding> {
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
