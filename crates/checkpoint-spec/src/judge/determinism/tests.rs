use super::*;
use crate::judge::fixtures::{CASE, facts, specs};
use crate::results::Repeat;

/// Repeats as there must be, all alike.
fn repeated(implementation: &str) -> Repeated {
    let repeat = |(process, threads): (usize, usize)| Repeat { process, threads, sha256: "00".to_owned() };
    let again = REPEATS.iter().enumerate();
    let again = again.flat_map(|(index, &(threads, times))| vec![(index + 1, threads); times]);
    let facts = facts();
    let cases = facts.cases.iter().map(|(case, _)| case);
    let traits = if implementation == "subject@f32" { facts.traits } else { Traits::of("first", false) };
    let activations = repeated_activations(&specs(), &facts.architecture, traits, cases).unwrap();
    Repeated {
        implementation: implementation.to_owned(),
        cases: vec![CASE.to_owned()],
        repeats: std::iter::once((0, 2)).chain(again).map(repeat).collect(),
        compared: activations.len() as u64,
        required: 0,
        first_difference: None,
    }
}

fn of(repeats: Vec<Repeated>) -> Determinism {
    judge(&specs(), &RunFacts { repeats, ..facts() }).unwrap()
}

/// The verdict after something was done to the subject's repeats.
fn after(change: impl FnOnce(&mut Repeated)) -> Verdict {
    let mut repeated = repeated("subject@f32");
    change(&mut repeated);
    of(vec![repeated]).verdict
}

#[test]
fn repeats_that_are_alike_and_all_there_pass() {
    let found = of(vec![repeated("subject@f32"), repeated("first@f32")]);
    assert_eq!((found.verdict, found.finding), (Verdict::Pass, None));
    // What is required is derived, whatever was written.
    let [subject, first] = &found.implementations[..] else { panic!("{:?}", found.implementations) };
    assert!(subject.required > 50);
    assert_eq!((subject.required, first.required), (subject.compared, first.compared));
}

#[test]
fn references_have_what_was_repeated_of_them_and_their_differences_are_no_verdict() {
    let mut other = repeated("first@f32");
    other.repeats[2].sha256 = "01".to_owned();
    other.cases.clear();
    let found = of(vec![other, repeated("subject@f32")]);
    assert_eq!((found.verdict, found.implementations[0].required), (Verdict::Pass, 0));
}

#[test]
fn without_repeats_of_the_subject_nothing_is_known() {
    assert_eq!(of(vec![]).verdict, Verdict::Incomplete);
    assert_eq!(of(vec![repeated("first@f32")]).verdict, Verdict::Incomplete);
    assert_eq!(of(vec![repeated("subject@f32"), repeated("subject@f32")]).verdict, Verdict::Incomplete);
}

#[test]
fn any_difference_fails_and_is_named() {
    for index in 1..repeated("subject@f32").repeats.len() {
        assert_eq!(after(|repeated| repeated.repeats[index].sha256 = "01".to_owned()), Verdict::Fail);
    }
    let difference =
        Difference { case: CASE.to_owned(), step: Some(1), activation: "ln_f".to_owned(), between: [0, 4] };
    let mut other = repeated("subject@f32");
    other.first_difference = Some(difference.clone());
    let found = of(vec![other.clone()]);
    assert_eq!(found.verdict, Verdict::Fail);
    let finding = found.finding.unwrap();
    assert_eq!((finding.tensor.as_str(), finding.reason), ("step1/ln_f", Reason::Determinism));
    let told = "not the same bits in repeat 0 (process 0, 2 threads) and repeat 4 (process 2, 1 threads)";
    assert!(finding.message.starts_with(told), "{}", finding.message);
    other.first_difference = Some(Difference { between: [0, 99], ..difference });
    assert!(of(vec![other]).finding.unwrap().message.contains("and repeat 99:"));
}

#[test]
fn every_repeat_that_must_be_made_is_made() {
    assert_eq!(after(|repeated| repeated.repeats.clear()), Verdict::Incomplete);
    for index in 0..repeated("subject@f32").repeats.len() {
        assert_eq!(after(|repeated| drop(repeated.repeats.remove(index))), Verdict::Incomplete, "{index}");
        let threads = |repeated: &mut Repeated| repeated.repeats[index].threads = 7;
        let expected = if index == 0 { Verdict::Pass } else { Verdict::Incomplete };
        assert_eq!(after(threads), expected, "{index}");
    }
    assert_eq!(after(|repeated| repeated.repeats[1].process = 0), Verdict::Incomplete);
    let again = |repeated: &mut Repeated| repeated.repeats.insert(0, repeated.repeats[0].clone());
    assert_eq!(after(again), Verdict::Incomplete);
    assert_eq!(after(|repeated| repeated.repeats.swap(0, 1)), Verdict::Incomplete);
    let more = |repeated: &mut Repeated| repeated.repeats.push(repeated.repeats[1].clone());
    assert_eq!(after(more), Verdict::Pass);
}

#[test]
fn every_activation_of_every_case_is_compared() {
    assert_eq!(after(|repeated| repeated.compared -= 1), Verdict::Incomplete);
    assert_eq!(after(|repeated| repeated.compared += 1), Verdict::Incomplete);
    assert_eq!(after(|repeated| repeated.cases.clear()), Verdict::Incomplete);
    assert_eq!(after(|repeated| repeated.cases.push("other".to_owned())), Verdict::Incomplete);
    let mut nothing = repeated("subject@f32");
    (nothing.compared, nothing.required) = (0, 0);
    assert_eq!(verdict(&nothing, true), Verdict::Incomplete);
}
