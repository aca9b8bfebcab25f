//! What numbers alone would not have told.

use super::*;

/// 4. A relative error of 1.39e-4 beside a tolerance of 1e-4: was that a bug?
#[test]
fn a_relative_error_on_a_small_value_is_explained_by_what_is_allowed() {
    let (name, value, error) = ("step0/h.0.attn.q", 4.3165e-4, 1.2e-7);
    // What is left of terms that cancel: the bias takes away all but a small value.
    let mut first = Cast::correct().subject;
    let before = model::How::Exact.run(&first.model, &usual_case());
    let before = before.require(&TensorName::parse(name).unwrap()).unwrap().view().to_f64_lossy()[0];
    first.change("h.0.attn.c_attn.bias", |bias| bias[0] -= (before - value) as f32);
    let mut scene = Scene::of(Cast::of(first.model), &[usual_case()]);
    let exact = scene.voice(0).get(name).view().to_f64_lossy()[0];
    scene.run().change(name, |values| values[0] = exact + error);
    let results = scene.results();
    assert_eq!(checkpoint(&results, "02").verdict, Verdict::Pass);
    let statistics = comparisons(&results, name)[0].outcome.statistics().unwrap();
    assert!(statistics.max_rel.0 > 1.39e-4, "{statistics:?}");
    assert!(statistics.max_abs.0 < 1e-6, "{statistics:?}");
    assert!(statistics.budget.as_ref().unwrap().used.0 <= 0.5, "{statistics:?}");
    // The same share of a value that nothing cancels in is beyond what rounding can do.
    let largest = largest(scene.run(), name);
    scene.run().change(name, |values| values[largest] *= 1.0 + 1.39e-4);
    let results = scene.results();
    assert_eq!(checkpoint(&results, "02").verdict, Verdict::Fail);
    assert_eq!(comparisons(&results, name)[0].reason, Some(Reason::Budget));
}

/// 5. NaN and infinities were never looked for.
#[test]
fn what_is_not_finite_fails_wherever_it_stands() {
    let correct = Scene::correct();
    let good = correct.results();
    let all = good.checkpoints.iter().flat_map(|c| c.comparisons.iter().map(move |found| (&c.id, found)));
    let floats = all.filter(|(_, c)| c.outcome.float_statistics().is_some());
    let tensors: BTreeSet<(String, String)> = floats
        .map(|(id, c)| (id.clone(), c.tensor_name().to_string()))
        .filter(|(_, name)| !name.starts_with("step1/") && !name.starts_with("step2/"))
        .collect();
    assert!(tensors.len() > 40, "{}", tensors.len());
    for (id, name) in &tensors {
        for bad in [if name.len() % 2 == 0 { f64::NAN } else { f64::INFINITY }, f64::NEG_INFINITY] {
            let mut scene = correct.clone();
            scene.run().change(name, |values| values[0] = bad);
            let results = scene.results();
            assert_eq!(checkpoint(&results, id).verdict, Verdict::Fail, "{name}");
            assert_eq!(results.exit_code, 1, "{name}");
            let [comparison] = comparisons(&results, name)[..] else { panic!("{name} is compared once") };
            let found = (comparison.verdict, comparison.reason, comparison.downstream);
            assert_eq!(found, (ComparisonVerdict::Fail, Some(Reason::NonFinite), false), "{name}");
        }
    }
}

#[test]
fn nan_at_the_same_place_in_everyone_agrees_with_nothing() {
    let mut scene = Scene::correct();
    let name = "step0/h.1.attn.scores";
    scene.run().change(name, |values| values[0] = f64::NAN);
    for index in [0, 1] {
        scene.peer(index).change(name, |values| values[0] = f64::NAN);
        scene.voice(index).change(name, |values| values[0] = f64::NAN);
    }
    let results = scene.results();
    assert_eq!(results.quorum.disagreement.as_ref().unwrap().tensor, name);
    nothing_passes(&results);
    for comparison in comparisons(&results, name) {
        assert_eq!(comparison.reason, Some(Reason::NonFinite));
    }
}

type Covers = fn(&Case) -> bool;

fn decodes(case: &Case) -> bool {
    case.schedule.len() > 1 && case.schedule[1..].iter().all(|&step| step == 1)
}

/// 5. Batches, long sequences, growing caches and the context limit were never tried.
#[test]
fn the_bundled_cases_try_what_was_never_tried() {
    const CONTEXT: usize = 256;
    let cases: Vec<Case> = bundled_cases()
        .unwrap()
        .iter()
        .map(|template| template.instantiate(None, 1024, CONTEXT, 0).unwrap())
        .collect();
    let covered: [(&str, Covers); 8] = [
        ("a batch of different rows", |c| c.batch() > 1 && c.token_ids[0] != c.token_ids[1]),
        ("a full context", |c| c.tokens() == CONTEXT),
        ("generation up to the limit", |c| c.generate > 0 && c.tokens() + c.generate - 1 == CONTEXT),
        ("prefill, then a growing cache", |c| c.schedule[0] > 1 && decodes(c) && c.schedule.len() > 16),
        ("a cache that grows from the first token", |c| c.schedule[0] == 1 && decodes(c)),
        ("a batch that decodes", |c| c.batch() > 1 && decodes(c)),
        ("a single token", |c| c.tokens() == 1),
        ("generation of many tokens", |c| c.generate >= 16),
    ];
    for (what, covers) in covered {
        assert!(cases.iter().any(covers), "no bundled case has {what}");
    }
}

/// 5. A tolerance of 1e-4 could not see an epsilon of 1e-6 in place of 1e-5.
#[test]
fn an_epsilon_that_allclose_lets_pass_is_seen() {
    let mut cast = Cast::correct();
    cast.subject.model.architecture.constants.insert("epsilon".to_owned(), 1e-6);
    let results = Scene::of(cast, &[usual_case()]).results();
    let norm = checkpoint(&results, "01");
    assert_eq!(norm.verdict, Verdict::Fail);
    let found = comparisons(&results, "step0/h.0.ln_1.normalized");
    let statistics = found[0].outcome.statistics().unwrap();
    let allclose = |e: &ElementRecord| e.error.0 <= 1e-4 + 1e-4 * e.expected.0.abs();
    assert!(statistics.worst.iter().all(allclose), "{statistics:?}");
    let seen: Vec<&str> = norm
        .requirements
        .iter()
        .filter(|r| r.verdict == ComparisonVerdict::Fail)
        .map(|r| r.id.as_str())
        .collect();
    assert!(seen.contains(&"01.1") && seen.contains(&"01.4"), "{seen:?}");
    assert_eq!(results.first_divergence.unwrap().activation, "h.0.ln_1.normalized");
}

/// 6. All references came from one script.
#[test]
fn references_that_disagree_judge_nothing() {
    for (wrong, said) in [
        (&[0][..], "second@f64 against first@f64"),
        (&[1], "second@f64 against first@f64"),
        // Who agree on something else than what the specs say are no judges either.
        (&[0, 1], "first@f64 against graph@f64"),
    ] {
        let mut cast = Cast::correct();
        for &index in wrong {
            for implementation in &mut cast.references[index] {
                implementation.model.architecture.constants.insert("epsilon".to_owned(), 1e-6);
            }
        }
        let results = Scene::of(cast, &[usual_case()]).results();
        assert_eq!(results.quorum.verdict, Verdict::Error, "{wrong:?}");
        assert_eq!(verdicts(&results), [Verdict::Error; 13], "{wrong:?}");
        nothing_passes(&results);
        let disagreement = results.quorum.disagreement.unwrap();
        assert_eq!(disagreement.tensor, "step0/h.0.ln_1.normalized");
        assert!(disagreement.message.contains(&format!("references disagree, {said}")), "{disagreement:?}");
        assert!(disagreement.message.contains("apart by"), "{}", disagreement.message);
    }
}

#[test]
fn references_that_differ_by_rounding_alone_agree() {
    let mut scene = Scene::correct();
    let logits = [0, 1].map(|index| scene.voice(index).get("step0/logits").clone());
    assert_ne!(logits[0], logits[1]);
    let quorum = scene.results().quorum;
    assert_eq!(quorum.verdict, Verdict::Pass);
    assert!(quorum.used.0 > 0.0 && quorum.used.0 < 0.1, "{:?}", quorum.used);
}
