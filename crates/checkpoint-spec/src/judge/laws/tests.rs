use super::*;
use crate::Measured;
use crate::judge::fixtures::{CASE, facts, specs};
use crate::results::{LawBound, LawPlace};
use crate::spec::LawId;

/// What a run that keeps every law leaves: by the subject, and by the references at f64.
fn kept() -> Vec<LawNumbers> {
    let (specs, facts) = (specs(), facts());
    let mut numbers = Vec::new();
    for implementation in ["subject@f32", "first@f64", "second@f64"] {
        for law in specs.laws().filter(|law| implementation == "subject@f32" || !law.subject_only) {
            let required = required_parts(&specs, &facts.architecture, law, implementation).unwrap();
            let bound = law_bound(law, implementation);
            let mut found = LawNumbers::none(law.id, implementation, bound, required);
            found.compared = required;
            found.refusal = refused_case(law.id, &facts.architecture).map(|_| "the limit is 8".to_owned());
            numbers.push(found);
        }
    }
    numbers
}

fn of(laws: Vec<LawNumbers>) -> Laws {
    judge(&specs(), &RunFacts { laws, ..facts() }).unwrap()
}

/// The verdict on one law of an implementation, after something was done to its numbers, and that on all.
fn after(implementation: &str, law: LawId, change: impl FnOnce(&mut LawNumbers)) -> (Verdict, Verdict) {
    let is_it = |found: &LawNumbers| found.law == law && found.implementation == implementation;
    let mut numbers = kept();
    change(numbers.iter_mut().find(|found| is_it(found)).unwrap());
    let found = of(numbers);
    (found.numbers.iter().find(|found| is_it(found)).unwrap().verdict, found.verdict)
}

const SUBJECT: &str = "subject@f32";
const CAUSALITY: LawId = LawId::Causality;

#[test]
fn every_law_is_asked_of_the_subject_and_of_the_references_at_f64() {
    let found = of(kept());
    assert_eq!((found.verdict, found.findings.len(), found.numbers.len()), (Verdict::Pass, 0, kept().len()));
    assert!(found.numbers.iter().all(|numbers| numbers.verdict == Verdict::Pass && numbers.required > 0));
    let by = |who: &str| found.numbers.iter().filter(|numbers| numbers.implementation == who).count();
    assert_eq!(by(SUBJECT), LawId::ALL.len());
    assert!(by("first@f64") < by(SUBJECT) && by("first@f64") == by("second@f64"));
}

#[test]
fn a_subject_at_f64_that_is_a_reference_as_well_is_asked_once() {
    let mut facts = facts();
    facts.subject.name = "first".to_owned();
    facts.subject.precision = capture::Precision::F64;
    let found = judge(&specs(), &facts).unwrap();
    let count = |who: &str| found.numbers.iter().filter(|numbers| numbers.implementation == who).count();
    assert_eq!(count("first@f64"), LawId::ALL.len());
}

#[test]
fn a_law_that_has_no_room_asks_nothing_and_none_at_all_show_nothing() {
    let mut facts = facts();
    facts.architecture.sizes.insert("C".to_owned(), 1);
    let found = judge(&specs(), &facts).unwrap();
    assert!(found.numbers.len() < kept().len() && found.numbers.iter().all(|numbers| numbers.required > 0));
    let mut specs = specs();
    specs.specs.iter_mut().for_each(|spec| spec.laws.clear());
    assert_eq!(judge(&specs, &facts).unwrap().verdict, Verdict::Incomplete);
}

#[test]
fn a_breach_fails_the_subject_and_is_an_error_of_a_reference() {
    let breach = |numbers: &mut LawNumbers| numbers.violations = 1;
    assert_eq!(after(SUBJECT, CAUSALITY, breach), (Verdict::Fail, Verdict::Fail));
    assert_eq!(after("first@f64", CAUSALITY, breach), (Verdict::Error, Verdict::Error));
    let place = || LawPlace {
        case: CASE.to_owned(),
        tensor: "step0/ln_f".to_owned(),
        position: Some(2),
        message: "apart".to_owned(),
    };
    assert_eq!(after(SUBJECT, CAUSALITY, |numbers| numbers.first = Some(place())).0, Verdict::Fail);

    let mut numbers = kept();
    numbers.iter_mut().for_each(|numbers| numbers.first = Some(place()));
    let found = of(numbers);
    assert_eq!(found.findings.len(), found.numbers.len());
    assert_eq!(found.findings[0].reason, Reason::Invariant);
    let law = found.numbers[0].law.name();
    let told = format!("subject@f32 breaks the law `{law}`, position 2: apart");
    assert_eq!(found.findings[0].message, told);
}

#[test]
fn what_was_not_compared_or_not_as_closely_is_not_kept() {
    let incomplete = (Verdict::Incomplete, Verdict::Incomplete);
    assert_eq!(after(SUBJECT, CAUSALITY, |numbers| numbers.compared -= 1), incomplete);
    assert_eq!(after(SUBJECT, CAUSALITY, |numbers| numbers.compared += 1), incomplete);
    assert_eq!(after(SUBJECT, CAUSALITY, |numbers| numbers.bound = LawBound::Replicas), incomplete);
    assert_eq!(of(vec![]).verdict, Verdict::Incomplete);
    // Numbers that are there twice are of neither.
    let mut twice = kept();
    twice.push(twice[0].clone());
    assert_eq!(of(twice).numbers[0].verdict, Verdict::Incomplete);
    // What is required and how closely is derived, whatever was written.
    let (found, _) = after(SUBJECT, CAUSALITY, |numbers| (numbers.required, numbers.compared) = (1, 1));
    assert_eq!(found, Verdict::Incomplete);
    let mut written = kept();
    written.iter_mut().for_each(|numbers| (numbers.required, numbers.bound) = (1, LawBound::Replicas));
    for (found, kept) in of(written).numbers.iter().zip(kept()) {
        assert_eq!((found.required, found.bound), (kept.required, kept.bound));
    }
}

#[test]
fn one_position_too_many_is_refused_by_the_name_of_the_limit() {
    let limit = LawId::PastTheLimit;
    let says = |refusal: Option<&str>| {
        let refusal = refusal.map(str::to_owned);
        after(SUBJECT, limit, |numbers| numbers.refusal = refusal).0
    };
    assert_eq!(says(Some("at most 8 positions")), Verdict::Pass);
    assert_eq!(says(Some("at most 18 positions")), Verdict::Fail);
    assert_eq!(says(None), Verdict::Fail);
    // Where it was not asked, nothing was found.
    let unasked = |numbers: &mut LawNumbers| (numbers.compared, numbers.refusal) = (0, None);
    assert_eq!(after(SUBJECT, limit, unasked).0, Verdict::Incomplete);
    assert_eq!(after(SUBJECT, CAUSALITY, |numbers| numbers.max_abs = Measured(1.0)).0, Verdict::Pass);
}
