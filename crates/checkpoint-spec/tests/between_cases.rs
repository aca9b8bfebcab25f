//! Laws: what one case says of another. A breach is seen and named, and what was not compared has not passed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests look at more of a scene")]
mod support;

use std::sync::LazyLock;

use capture::{Precision, TensorName, TensorSource};
use checkpoint_spec::{
    CaseAssay, LawBound, LawId, LawNumbers, Reason, Results, RunFacts, SpecSet, Verdict, judge, measure_law,
};
use support::Scene;
use support::laws::{KEPT, LawCaptures, measured, refused, run};
use support::model::{How, architecture, changed};

/// A correct run, compared once for all tests.
static CORRECT: LazyLock<(Scene, Vec<CaseAssay>)> = LazyLock::new(|| {
    let scene = Scene::correct();
    let assays = scene.assays();
    (scene, assays)
});

/// What a lawful subject leaves.
static LAWFUL: LazyLock<LawCaptures> = LazyLock::new(|| run(How::correct(Precision::F32)));

/// What becomes of the correct run with these numbers of the laws.
fn judged(laws: Vec<LawNumbers>) -> Results {
    let (scene, assays) = &*CORRECT;
    let repeats = vec![support::repeats::of_subject(scene, |_, _| {})];
    judge(&scene.specs, &RunFacts { laws, repeats, ..scene.facts.clone() }, assays).unwrap()
}

/// The same, where this implementation left these captures.
fn judged_with(implementation: &str, captures: &LawCaptures, answer: Option<&Result<(), String>>) -> Results {
    let others = KEPT.iter().filter(|numbers| numbers.implementation != implementation).cloned();
    judged(others.chain(measured(implementation, captures, answer)).collect())
}

/// The lawful captures, with one element of one tensor off by a share of itself.
fn off_by(share: f64, case: &str, tensor: &str, element: usize) -> LawCaptures {
    let mut captures = LAWFUL.clone();
    let found = captures.get_mut(case).unwrap().tensors.get_mut(&TensorName::parse(tensor).unwrap()).unwrap();
    *found = changed(found, |values| values[element] = values[element] * (1.0 + share) + share);
    captures
}

fn numbers(results: &Results, implementation: &str, law: LawId) -> LawNumbers {
    let mut all = results.laws.numbers.iter();
    all.find(|numbers| numbers.implementation == implementation && numbers.law == law).unwrap().clone()
}

#[track_caller]
fn assert_verdict(results: &Results, expected: Verdict) {
    assert_eq!(results.laws.verdict, expected, "{:?}", results.laws.findings);
    assert_eq!(results.verdict, expected, "all else passes");
}

#[test]
fn what_is_lawful_passes_and_everything_required_was_compared() {
    let results = judged(KEPT.clone());
    assert_verdict(&results, Verdict::Pass);
    assert_eq!(results.laws.numbers.len(), 8 + 7 + 7, "{:?}", results.laws.numbers);
    for found in &results.laws.numbers {
        assert!(found.required > 0 && found.compared == found.required, "{found:?}");
    }
    assert!(numbers(&results, "subject@f32", LawId::Causality).required > 100);
    assert_eq!(numbers(&results, "first@f64", LawId::Causality).bound, LawBound::Bits);
    assert_eq!(numbers(&results, "first@f64", LawId::PrefillIsDecodes).bound, LawBound::Quorum);
    assert_eq!(numbers(&results, "subject@f32", LawId::PrefillIsDecodes).bound, LawBound::Replicas);
}

#[test]
fn a_breach_of_each_law_fails_and_is_named() {
    // Activations of the second layer, too.
    for (law, case, tensor, element, share, position) in [
        (LawId::PrefillIsDecodes, "law-decodes", "step2/h.0.attn.v", 0, 0.5, Some(2)),
        (LawId::PrefillSplits, "law-split-4", "step1/h.1.attn.probs", 0, 0.5, Some(4)),
        (LawId::RowsAreIndependent, "law-beside-row-0", "step0/h.1.attn.q", 0, 1e-6, Some(0)),
        (LawId::BatchIsSingles, "law-row-1", "step0/h.0.out", 0, 0.5, Some(0)),
        (LawId::Causality, "law-changed-3", "step0/h.1.attn.scores", 6, 1e-6, Some(1)),
        (LawId::GenerationTwice, "law-again", "generated", 0, 1.0, None),
        (LawId::GrowthToTheLimit, "law-to-the-limit", "generated.logits", 0, 0.5, None),
    ] {
        let results = judged_with("subject@f32", &off_by(share, case, tensor, element), Some(&refused()));
        assert_verdict(&results, Verdict::Fail);
        let found = numbers(&results, "subject@f32", law);
        let first = found.first.unwrap();
        assert_eq!((first.case.as_str(), first.tensor.as_str(), first.position), (case, tensor, position));
        let finding = &results.laws.findings[0];
        assert_eq!((finding.reason, finding.tensor.as_str()), (Reason::Invariant, tensor));
        assert!(finding.message.contains(law.name()), "{finding:?}");
    }
}

#[test]
fn what_a_law_does_not_speak_of_may_differ() {
    // Position 3 and the masked key 4 of `law-changed-3`; row 1 of a batch whose row 1 was changed.
    for (case, tensor, element) in [
        ("law-changed-3", "step0/h.1.attn.scores", 18),
        ("law-changed-3", "step0/h.1.attn.scores", 10),
        ("law-beside-row-0", "step0/logits", 6 * 11),
    ] {
        let captures = off_by(0.5, case, tensor, element);
        assert_verdict(&judged_with("subject@f32", &captures, Some(&refused())), Verdict::Pass);
    }
}

#[test]
fn one_order_of_summation_owes_the_bits_and_others_a_bound() {
    let captures = off_by(1e-7, "law-decodes", "step2/h.0.attn.v", 0);
    let violations = |who: &str| {
        let all = measured(who, &captures, Some(&refused()));
        all.iter().find(|found| found.law == LawId::PrefillIsDecodes).unwrap().violations
    };
    assert_eq!((violations("rust@f32"), violations("subject@f32")), (1, 0));
}

#[test]
fn another_order_of_summation_in_other_shapes_is_lawful_and_more_than_that_is_not() {
    let other_shapes =
        |case: &str| ["decodes", "split", "row"].iter().any(|name| case.starts_with(&format!("law-{name}")));
    let shuffled = run(How::shuffled(3));
    let captures: LawCaptures = LAWFUL
        .iter()
        .map(|(case, own)| (case.clone(), if other_shapes(case) { &shuffled[case] } else { own }.clone()))
        .collect();
    let results = judged_with("subject@f32", &captures, Some(&refused()));
    assert_verdict(&results, Verdict::Pass);
    for law in [LawId::PrefillIsDecodes, LawId::PrefillSplits, LawId::BatchIsSingles] {
        assert!(numbers(&results, "subject@f32", law).max_abs.0 > 0.0, "{law:?}");
        let of_one_order = measured("rust@f32", &captures, Some(&refused()));
        assert!(of_one_order.iter().find(|found| found.law == law).unwrap().violations > 0, "{law:?}");
    }
    // What has the same shapes owes the bits.
    let mixed: LawCaptures = LAWFUL
        .iter()
        .map(|(case, own)| {
            (case.clone(), if case == "law-changed-3" { &shuffled[case] } else { own }.clone())
        })
        .collect();
    assert_verdict(&judged_with("subject@f32", &mixed, Some(&refused())), Verdict::Fail);
    for (law, case, tensor) in [
        (LawId::PrefillIsDecodes, "law-decodes", "step2/h.0.attn.v"),
        (LawId::PrefillSplits, "law-split-4", "step1/h.1.attn.probs"),
        (LawId::BatchIsSingles, "law-row-1", "step0/h.0.out"),
    ] {
        let results = judged_with("subject@f32", &off_by(1e-4, case, tensor, 0), Some(&refused()));
        assert_eq!(numbers(&results, "subject@f32", law).verdict, Verdict::Fail, "{law:?}");
    }
}

#[test]
fn without_the_model_nothing_says_how_far_apart_two_orders_may_be() {
    let specs = SpecSet::bundled("gpt2").unwrap();
    let law = specs.laws().find(|law| law.id == LawId::PrefillIsDecodes).unwrap();
    let captures = off_by(1e-7, "law-decodes", "step2/h.0.attn.v", 0);
    let capture = |case: &str| captures.get(case).map(|capture| capture as &dyn TensorSource);
    let of = (&specs, &architecture(), None);
    let found = measure_law(of, law, "subject@f32", capture, None).unwrap();
    assert_eq!((found.bound, found.violations), (LawBound::Replicas, 1));
}

#[test]
fn a_reference_that_breaks_a_law_is_an_error() {
    let mut captures = run(How::correct(Precision::F64));
    let name = TensorName::parse("step1/h.0.attn.k").unwrap();
    let tensor = captures.get_mut("law-decodes").unwrap().tensors.get_mut(&name).unwrap();
    *tensor = changed(tensor, |values| values[0] += 1e-6);
    assert_verdict(&judged_with("second@f64", &captures, Some(&refused())), Verdict::Error);
}

#[test]
fn one_token_past_the_limit_is_refused_by_name() {
    for (answer, said) in [
        (Ok(()), "accepted"),
        (Err("no".to_owned()), "does not name the limit"),
        (Err("position 10000 is too much".to_owned()), "does not name the limit"),
    ] {
        let results = judged_with("subject@f32", &LAWFUL, Some(&answer));
        assert_verdict(&results, Verdict::Fail);
        assert!(results.laws.findings[0].message.contains(said), "{:?}", results.laws.findings);
    }
    assert_verdict(&judged_with("subject@f32", &LAWFUL, None), Verdict::Incomplete);
    // A record that lost the refusal does not pass either.
    let mut numbers = KEPT.clone();
    numbers.iter_mut().for_each(|found| found.refusal = None);
    assert_verdict(&judged(numbers), Verdict::Fail);
}

#[test]
fn what_was_not_compared_has_not_passed() {
    assert_verdict(&judged(Vec::new()), Verdict::Incomplete);
    assert_verdict(&judged_with("subject@f32", &LawCaptures::new(), Some(&refused())), Verdict::Incomplete);
    for case in LAWFUL.keys() {
        let mut captures = LAWFUL.clone();
        captures.remove(case);
        assert_verdict(&judged_with("subject@f32", &captures, Some(&refused())), Verdict::Incomplete);
    }
    for index in 0..KEPT.len() {
        let (mut fewer, mut twice, mut looser) = (KEPT.clone(), KEPT.clone(), KEPT.clone());
        if numbers_asked(&fewer[index]) {
            twice.push(fewer.remove(index));
            looser[index].compared -= 1;
            for numbers in [fewer, twice, looser] {
                assert_verdict(&judged(numbers), Verdict::Incomplete);
            }
        }
    }
}

/// References are not asked for what only the subject owes.
fn numbers_asked(numbers: &LawNumbers) -> bool {
    numbers.law != LawId::GrowthToTheLimit || numbers.implementation == "subject@f32"
}

#[test]
fn a_generation_that_ends_early_is_seen() {
    let mut captures = LAWFUL.clone();
    let name = TensorName::of_case("generated.logits");
    let shorter = captures["law-again"].tensors[&name].clone();
    captures.get_mut("law-to-the-limit").unwrap().tensors.insert(name, shorter);
    assert_verdict(&judged_with("subject@f32", &captures, Some(&refused())), Verdict::Fail);
}

#[test]
fn laws_are_bound_to_code_and_code_to_laws() {
    let with = |change: fn(&str) -> String| {
        let mut sources = SpecSet::sources("gpt2").unwrap();
        let last = &mut sources.iter_mut().find(|(file, _)| file.starts_with("12-")).unwrap().1;
        *last = change(last);
        SpecSet::parse(sources).map(|_| ()).unwrap_err().to_string()
    };
    let undeclared = with(|text| text[..text.rfind("[[law]]").unwrap()].to_owned());
    assert!(undeclared.contains("`past-the-limit` is declared 0 times"), "{undeclared}");
    let unknown = with(|text| text.replace("\"causality\"", "\"clairvoyance\""));
    assert!(unknown.contains("unknown variant `clairvoyance`"), "{unknown}");
    let unreasoned = with(|text| text.replace("why = \"As for decodes: another", "why = \"\" #"));
    assert!(unreasoned.contains("`why` is empty"), "{unreasoned}");
}
