//! What only a chain can judge: the logits of generated positions, by the errors of replicas; and tokens whose logits are as
//! good as equal.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests look at more of a scene")]
mod support;

use checkpoint_spec::{ComparisonVerdict, Reason, SpecSet, Verdict};
use support::model::{self, Sizes};
use support::{Cast, Scene, checkpoint, comparisons, usual_case};

#[test]
fn kappa_decides_what_a_chain_may_be_off() {
    let mut scene = Scene::correct();
    let allowed = |scene: &Scene| {
        let comparison = comparisons(&scene.results(), "generated.logits")[0].clone();
        (comparison.chained_allowed.unwrap().0, comparison.verdict)
    };
    let (of_four, _) = allowed(&scene);
    // Every logit off by one and the same amount, which a third of what is allowed would not cover.
    let off = of_four / 1.5;
    scene.run().change("generated.logits", |logits| logits.iter_mut().for_each(|x| *x += off));
    assert_eq!(allowed(&scene), (of_four, ComparisonVerdict::Pass));
    let mut sources = SpecSet::sources("gpt2").unwrap();
    let (_, judging) = sources.iter_mut().find(|(file, _)| file == "judging.toml").unwrap();
    assert!(judging.contains("kappa = 4.0"));
    *judging = judging.replace("kappa = 4.0", "kappa = 1.01");
    scene.specs = SpecSet::parse(sources).unwrap();
    let (less, verdict) = allowed(&scene);
    assert!(less < off, "{less:e} {off:e}");
    assert_eq!(verdict, ComparisonVerdict::Fail);
}

#[test]
fn a_generated_position_that_is_another_is_refused() {
    let mut scene = Scene::correct();
    // The second and the third position of the first row, tokens and logits: each token is still that of its logits.
    scene.run().change("generated", |tokens| tokens.swap(1, 2));
    scene.run().change("generated.logits", |logits| {
        for channel in 0..11 {
            logits.swap(11 + channel, 22 + channel);
        }
    });
    let results = scene.results();
    assert_eq!(comparisons(&results, "generated")[0].verdict, ComparisonVerdict::Pass);
    let logits = comparisons(&results, "generated.logits")[0];
    assert_eq!((logits.verdict, logits.reason), (ComparisonVerdict::Fail, Some(Reason::Chained)));
    assert_eq!(checkpoint(&results, "12").verdict, Verdict::Fail);
}

/// Tokens whose embeddings are a rounding apart: which logit is the largest is decided by the order of summation.
fn near_ties() -> Scene {
    let flat = |name: &str, index: usize| match name {
        "wte.weight" => {
            let common = model::uniform("row", index % 16) + 1.0;
            common * (1.0 + model::uniform(name, index) * 2f64.powi(-22))
        }
        _ => model::ordinary(name, index),
    };
    let sizes = Sizes { context: 12, width: 16, heads: 2, vocabulary: 11 };
    Scene::of(Cast::of(sizes.model(SpecSet::bundled("gpt2").unwrap().graph(), flat)), &[usual_case()])
}

#[test]
fn a_flip_of_tokens_whose_logits_are_as_good_as_equal_is_a_tie_counted_and_shown() {
    let results = near_ties().results();
    for id in ["10", "12"] {
        let checkpoint = checkpoint(&results, id);
        assert_eq!(checkpoint.verdict, Verdict::Pass, "{id}");
        assert!(checkpoint.ties > 0, "{id}");
        let tied = checkpoint.comparisons.iter().filter(|c| c.outcome.ties() > 0);
        assert_eq!(tied.clone().map(|c| c.outcome.ties()).sum::<u64>(), checkpoint.ties);
        for comparison in tied {
            assert_eq!(comparison.verdict, ComparisonVerdict::Pass);
            assert_eq!(comparison.reason, Some(Reason::Tie));
        }
    }
    assert_eq!(results.verdict, Verdict::Pass);
    assert_eq!(checkpoint(&Scene::correct().results(), "10").ties, 0);
}

#[test]
fn a_token_that_is_not_that_of_its_own_logits_is_no_tie() {
    for (id, name) in [("10", "step0/token"), ("12", "generated")] {
        let mut scene = near_ties();
        scene.run().change(name, |tokens| tokens.iter_mut().for_each(|token| *token = (*token + 1.0) % 11.0));
        let results = scene.results();
        assert_eq!(checkpoint(&results, id).verdict, Verdict::Fail, "{id}");
        let [comparison] = comparisons(&results, name)[..] else { panic!("compared once") };
        let found = (comparison.verdict, comparison.reason, comparison.outcome.ties());
        assert_eq!(found, (ComparisonVerdict::Fail, Some(Reason::Exact), 0));
        assert_eq!(results.exit_code, 1);
    }
}

#[test]
fn no_tie_is_granted_without_a_chain_to_flip_against() {
    let mut scene = near_ties();
    scene.model = None;
    let results = scene.results();
    assert_eq!(checkpoint(&results, "10").ties, 0);
    assert!(checkpoint(&results, "10").verdict > Verdict::Conditional);
}
