//! The numbers of a case, taken over from a record: the record of an honest run is taken as it is, whatever its subject
//! stores in, and what follows from other numbers is derived again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests look at more of a scene")]
mod support;

use capture::Precision;
use checkpoint_spec::{CaseAssay, Measured, assay, recorded};
use support::Scene;

/// What becomes of a record after a change to it, in every case of the correct run.
fn taken_over(
    precision: Precision,
    change: impl Fn(&mut CaseAssay),
) -> Vec<(CaseAssay, Result<CaseAssay, String>)> {
    let mut scene = Scene::correct();
    scene.facts.subject.precision = precision;
    scene.each_case(|setting, evidence| {
        let mut record = assay(setting, evidence).unwrap();
        change(&mut record);
        let references: Vec<String> = evidence.references.iter().map(|r| r.name.clone()).collect();
        let again = recorded(setting, evidence.case, &references, record.clone()).unwrap();
        (record, again)
    })
}

#[test]
fn an_honest_record_is_taken_as_it_is() {
    for precision in [Precision::F32, Precision::F16, Precision::Bf16] {
        for (record, again) in taken_over(precision, |_| {}) {
            let bounds = record.observations.iter().filter(|o| o.chained_allowed.is_some()).count();
            assert!(bounds > 0, "{precision}");
            assert_eq!(again.as_ref(), Ok(&record), "{precision}");
        }
    }
}

#[test]
fn a_bound_that_is_not_that_of_the_peers_is_refused() {
    let wider = |record: &mut CaseAssay| {
        let bounds = record.observations.iter_mut().filter_map(|o| o.chained_allowed.as_mut());
        bounds.for_each(|allowed| *allowed = Measured(2.0 * allowed.0));
    };
    for (_, again) in taken_over(Precision::F32, wider) {
        assert!(again.unwrap_err().contains("chained"));
    }
}

#[test]
fn what_had_to_be_compared_is_derived() {
    for precision in [Precision::F32, Precision::Bf16] {
        for (_, again) in taken_over(precision, |record| drop(record.observations.remove(0))) {
            assert!(again.unwrap_err().starts_with("comparisons"), "{precision}");
        }
    }
}
