//! Whose tensors must be kept.

use super::finding::Law;
use super::{RunFacts, quorum};
use crate::assay::CaseAssay;
use crate::results::{ComparisonVerdict, Keep, StoredTensors};

/// The cases of which digests are enough for what was asked.
pub(super) fn judge(law: Law<'_>, facts: &RunFacts, assays: &[CaseAssay]) -> StoredTensors {
    let digest_only = |assay: &&CaseAssay| match facts.keep {
        Keep::Full => false,
        Keep::Failing => !fails(law, facts, assay),
        Keep::Digest => true,
    };
    let digest_only = assays.iter().filter(digest_only).map(|assay| assay.case.clone()).collect();
    StoredTensors { keep: facts.keep, digest_only }
}

/// Whether anything in a case is not a plain pass, in any checkpoint.
fn fails(law: Law<'_>, facts: &RunFacts, assay: &CaseAssay) -> bool {
    let incident = |case: &Option<String>| case.as_ref().is_none_or(|case| *case == assay.case);
    assay.observations.iter().any(|observation| law.finding(observation).0 != ComparisonVerdict::Pass)
        || assay.requirements.iter().any(|examined| !examined.examination.findings.is_empty())
        || !assay.unexpected.is_empty()
        || assay.quorum.iter().any(|observation| quorum::disagreement(&assay.case, observation).is_some())
        || facts.incidents.iter().any(|found| incident(&found.case))
}

#[cfg(test)]
mod tests;
