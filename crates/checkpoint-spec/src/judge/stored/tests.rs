use capture::TensorName;

use super::*;
use crate::assay::{ExaminedRequirement, QuorumObservation};
use crate::checks::Examination;
use crate::judge::fixtures::{
    CASE, assay, compared, facts, failed, finding, missing, observation, specs, statistics,
};
use crate::results::{Incident, Mode, Reason};

/// Whether digests are enough of this case, by what is kept.
fn digest_only(keep: Keep, assay: &CaseAssay, incident: Option<Option<&str>>) -> bool {
    let specs = specs();
    let law = Law { specs: &specs, subject_weights: false };
    let incidents = incident.map(|case| Incident {
        implementation: "first@f32".to_owned(),
        case: case.map(str::to_owned),
        kind: "crashed".to_owned(),
        message: String::new(),
    });
    let facts = RunFacts { keep, incidents: incidents.into_iter().collect(), ..facts() };
    let stored = judge(law, &facts, std::slice::from_ref(assay));
    assert_eq!(stored.keep, keep);
    !stored.holds(CASE)
}

fn clean() -> CaseAssay {
    assay(vec![observation(&specs(), "ln_f", Mode::Isolated, compared(statistics()))])
}

#[test]
fn everything_or_nothing_is_kept_as_asked() {
    let failing = assay(vec![observation(&specs(), "ln_f", Mode::Isolated, failed())]);
    for assay in [clean(), failing] {
        assert!(!digest_only(Keep::Full, &assay, None));
        assert!(digest_only(Keep::Digest, &assay, None));
    }
}

#[test]
fn of_a_case_that_is_not_plainly_right_the_tensors_are_kept() {
    let kept = |assay: &CaseAssay| !digest_only(Keep::Failing, assay, None);
    assert!(!kept(&clean()));
    for outcome in [failed(), missing("subject"), missing("first@f64")] {
        assert!(kept(&assay(vec![observation(&specs(), "ln_f", Mode::Isolated, outcome)])));
    }
    let examined = |findings| ExaminedRequirement {
        spec: 0,
        requirement: 0,
        required: 1,
        examination: Examination { checked: 1, findings },
    };
    assert!(kept(&CaseAssay { requirements: vec![examined(vec![finding(Reason::Invariant)])], ..clean() }));
    assert!(!kept(&CaseAssay { requirements: vec![examined(vec![])], ..clean() }));
    assert!(kept(&CaseAssay { unexpected: vec![TensorName::of_step(0, "more")], ..clean() }));
    let quorum = |outcome| QuorumObservation {
        name: TensorName::of_step(0, "ln_f"),
        between: "second@f64 against first@f64".to_owned(),
        outcome,
    };
    assert!(kept(&CaseAssay { quorum: vec![quorum(failed())], ..clean() }));
    assert!(!kept(&CaseAssay { quorum: vec![quorum(compared(statistics()))], ..clean() }));
}

#[test]
fn an_incident_keeps_its_case_and_one_of_no_case_keeps_all() {
    assert!(!digest_only(Keep::Failing, &clean(), Some(Some(CASE))));
    assert!(!digest_only(Keep::Failing, &clean(), Some(None)));
    assert!(digest_only(Keep::Failing, &clean(), Some(Some("other"))));
}
