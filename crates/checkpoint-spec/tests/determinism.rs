//! The same question again: what differs fails and is named, what was not asked again has not passed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests look at more of a scene")]
mod support;

use std::sync::LazyLock;

use checkpoint_spec::{CaseAssay, Determinism, Reason, Repeated, Results, RunFacts, Verdict, judge};
use support::Scene;
use support::repeats::{activations, of_subject};

/// A correct run, compared once for all tests.
static CORRECT: LazyLock<(Scene, Vec<CaseAssay>)> = LazyLock::new(|| {
    let scene = Scene::correct();
    let assays = scene.assays();
    (scene, assays)
});

/// What becomes of the correct run with these repeats.
fn judged(repeats: Vec<Repeated>) -> Results {
    let (scene, assays) = &*CORRECT;
    let facts = RunFacts { repeats, ..scene.facts.clone() };
    judge(&scene.specs, &facts, assays).unwrap()
}

/// The correct run's repeats after a change to their record.
fn recorded(change: impl FnOnce(&mut Repeated)) -> Results {
    let mut repeated = of_subject(&CORRECT.0, |_, _| {});
    change(&mut repeated);
    judged(vec![repeated])
}

#[track_caller]
fn assert_verdict(results: &Results, expected: Verdict) {
    assert_eq!(results.determinism.verdict, expected);
    assert_eq!(results.verdict, expected, "all else passes");
}

#[test]
fn the_same_bits_in_every_repeat_pass() {
    let results = recorded(|_| {});
    assert_verdict(&results, Verdict::Pass);
    let Determinism { finding, implementations, .. } = &results.determinism;
    assert_eq!((finding, implementations.len()), (&None, 1));
    let repeated = &implementations[0];
    assert!(repeated.required > 150 && repeated.compared == repeated.required, "{repeated:?}");
    let of: Vec<_> = repeated.repeats.iter().map(|r| (r.process, r.threads)).collect();
    assert_eq!(of, [(0, 2), (1, 2), (1, 2), (1, 2), (2, 1)]);
}

#[test]
fn one_activation_that_differs_in_one_repeat_fails_and_is_named() {
    let scene = &CORRECT.0;
    for (index, activation) in activations(scene).into_iter().enumerate() {
        let repeat = 1 + index % 4;
        for other in [Some([0; 32]), None] {
            let repeated = of_subject(scene, |number, digests| {
                if number == repeat {
                    digests[index] = other;
                }
            });
            let results = judged(vec![repeated]);
            assert_verdict(&results, Verdict::Fail);
            let finding = results.determinism.finding.unwrap();
            assert_eq!(
                (finding.case.as_str(), finding.reason),
                (activation.case.as_str(), Reason::Determinism)
            );
            assert_eq!(finding.tensor, activation.name.to_string());
            assert!(
                finding.message.contains(&format!("and repeat {repeat} (process")),
                "{}",
                finding.message
            );
        }
    }
}

#[test]
fn the_first_difference_in_execution_order_is_named() {
    let repeated = of_subject(&CORRECT.0, |number, digests| {
        digests[40..].iter_mut().filter(|_| number == 4).for_each(|digest| *digest = Some([1; 32]));
        digests[50..].iter_mut().filter(|_| number == 1).for_each(|digest| *digest = Some([2; 32]));
    });
    let difference = repeated.first_difference.unwrap();
    assert_eq!(difference.activation, activations(&CORRECT.0)[40].name.activation);
    assert_eq!(difference.between, [0, 4]);
}

#[test]
fn a_record_cannot_talk_a_difference_away() {
    assert_verdict(&recorded(|repeated| repeated.repeats[3].sha256 = "0".repeat(64)), Verdict::Fail);
    let differs = of_subject(&CORRECT.0, |number, digests| {
        if number == 2 {
            digests[7] = Some([0; 32]);
        }
    });
    let named = recorded(|repeated| repeated.first_difference = differs.first_difference);
    assert_verdict(&named, Verdict::Fail);
}

#[test]
fn too_few_repeats_have_not_passed() {
    for dropped in 0..5 {
        let results = recorded(|repeated| drop(repeated.repeats.remove(dropped)));
        assert_verdict(&results, Verdict::Incomplete);
    }
    assert_verdict(&recorded(|repeated| repeated.repeats.clear()), Verdict::Incomplete);
    assert_verdict(&recorded(|repeated| repeated.cases.clear()), Verdict::Incomplete);
    // The same process three times more is no fresh one, and one thread is not two.
    assert_verdict(&recorded(|repeated| repeated.repeats[4].process = 1), Verdict::Incomplete);
    assert_verdict(&recorded(|repeated| repeated.repeats[4].threads = 2), Verdict::Incomplete);
    assert_verdict(&recorded(|repeated| repeated.repeats[2].threads = 1), Verdict::Incomplete);
    assert_verdict(&judged(Vec::new()), Verdict::Incomplete);
}

#[test]
fn nothing_compared_has_not_passed() {
    let lost = of_subject(&CORRECT.0, |_, digests| digests.fill(None));
    assert_eq!((lost.compared, &lost.first_difference), (0, &None));
    assert_verdict(&judged(vec![lost]), Verdict::Incomplete);
    let one = of_subject(&CORRECT.0, |_, digests| digests[12] = None);
    assert_eq!(one.compared + 1, one.required);
    assert_verdict(&judged(vec![one]), Verdict::Incomplete);
    // What is required does not follow from the record.
    let fewer = recorded(|repeated| (repeated.compared, repeated.required) = (1, 1));
    assert!(fewer.determinism.implementations[0].required > 150);
    assert_verdict(&fewer, Verdict::Incomplete);
}

#[test]
fn repeats_of_others_are_information() {
    let subject = of_subject(&CORRECT.0, |_, _| {});
    let differs = of_subject(&CORRECT.0, |number, digests| digests[0] = Some([u8::from(number > 0); 32]));
    let other = Repeated { implementation: "first@f32".to_owned(), ..differs };
    let results = judged(vec![subject, other.clone()]);
    assert_verdict(&results, Verdict::Pass);
    assert!(results.determinism.implementations[1].first_difference.is_some());
    // And nobody else's repeats stand in for the subject's.
    assert_verdict(&judged(vec![other]), Verdict::Incomplete);
}
