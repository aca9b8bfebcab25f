//! The numbers of a case, taken over from a record: the record of an honest run is taken as it is, whatever its subject
//! stores in, and what follows from other numbers is derived again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests look at more of a scene")]
mod support;

use capture::Precision;
use checkpoint_spec::{CaseAssay, Outcome, assay, recorded};
use support::Scene;

type Change = fn(&mut CaseAssay);

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
fn what_cannot_be_numbers_of_what_is_required_is_refused() {
    let more_than_all = |outcome: &mut Outcome| {
        if let Outcome::Compared { statistics, .. } = outcome {
            statistics.violations = statistics.elements + 1;
        }
    };
    let fewer = |outcome: &mut Outcome| {
        if let Outcome::Compared { statistics, .. } = outcome {
            statistics.elements -= 1;
        }
    };
    for (_, again) in taken_over(Precision::F32, |record| more_than_all(&mut record.observations[40].outcome))
    {
        assert!(again.unwrap_err().contains("out of bounds"));
    }
    for (_, again) in taken_over(Precision::F32, |record| fewer(&mut record.observations[40].outcome)) {
        assert!(again.unwrap_err().contains("required is the shape"));
    }
    for (_, again) in taken_over(Precision::F32, |record| fewer(&mut record.measured[3].outcome)) {
        assert!(again.unwrap_err().contains("required is the shape"));
    }
}

#[test]
fn what_had_to_be_compared_and_with_whom_is_derived() {
    let drops: [(&str, Change); 5] = [
        ("comparisons", |record| drop(record.observations.remove(0))),
        ("comparisons", |record| record.observations[30].reference = "first@f64".to_owned()),
        ("quorum comparisons", |record| drop(record.quorum.pop())),
        ("measurements", |record| drop(record.measured.pop())),
        ("requirements", |record| record.requirements[0].required += 1),
    ];
    for (what, change) in drops {
        for precision in [Precision::F32, Precision::Bf16] {
            for (_, again) in taken_over(precision, change) {
                assert!(again.unwrap_err().starts_with(what), "{precision}");
            }
        }
    }
}
