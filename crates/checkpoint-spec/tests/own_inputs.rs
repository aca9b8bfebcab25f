//! Every activation is judged from what its implementation itself observed: a fault is refused where it sits, and what follows
//! from it is judged all the same.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests look at more of a scene")]
mod support;

use std::collections::BTreeMap;

use checkpoint_spec::{ComparisonVerdict, Mode, Reason, Results, Verdict};
use support::{Cast, Scene, checkpoint, comparisons, usual_case};

fn verdicts(results: &Results) -> BTreeMap<&str, Verdict> {
    results.checkpoints.iter().map(|c| (c.id.as_str(), c.verdict)).collect()
}

/// What becomes of a subject that computes with other weights than those that were handed to it.
fn faulty(weights: &[&str]) -> Results {
    let mut cast = Cast::correct();
    for weight in weights {
        cast.subject.change(weight, |values| values.iter_mut().for_each(|x| *x *= 1.001));
    }
    Scene::of(cast, &[usual_case()]).results()
}

#[test]
fn a_fault_fails_where_it_sits_and_nowhere_else() {
    let results = faulty(&["h.0.mlp.c_fc.weight"]);
    let verdicts = verdicts(&results);
    let others = verdicts.iter().filter(|(id, _)| !["06", "12"].contains(*id));
    assert!(others.clone().all(|(_, verdict)| *verdict == Verdict::Pass), "{verdicts:?}");
    // What only a chain can judge follows from everything before it.
    assert_eq!((verdicts["06"], verdicts["12"]), (Verdict::Fail, Verdict::Blocked), "{verdicts:?}");
    let first = results.first_divergence.as_ref().unwrap();
    assert_eq!((first.checkpoint.as_str(), first.activation.as_str()), ("06", "h.0.mlp.fc"));
    assert_eq!((first.step, first.mode), (Some(0), Mode::Isolated));
    assert_eq!((results.verdict, results.exit_code), (Verdict::Fail, 1));
    let consequence = comparisons(&results, "generated.logits")[0];
    let found = (consequence.downstream, consequence.verdict, consequence.reason);
    assert_eq!(found, (true, ComparisonVerdict::Fail, Some(Reason::Chained)));
    let origin = comparisons(&results, "step0/h.0.mlp.fc")[0];
    assert!(!origin.downstream && origin.verdict == ComparisonVerdict::Fail);
    // The second layer is given a wrong stream, and is right about it.
    for sound in ["step0/h.1.mlp.fc", "step0/h.0.mlp.act", "step0/h.1.out"] {
        assert_eq!(comparisons(&results, sound)[0].verdict, ComparisonVerdict::Pass, "{sound}");
    }
}

#[test]
fn a_second_fault_is_not_hidden_by_the_first() {
    let results = faulty(&["h.0.mlp.c_fc.weight", "ln_f.weight"]);
    let failed: Vec<&str> =
        verdicts(&results).into_iter().filter(|(_, v)| *v == Verdict::Fail).map(|(id, _)| id).collect();
    assert_eq!(failed, ["01", "06"]);
    assert_eq!(results.first_divergence.unwrap().checkpoint, "06");
}

#[test]
fn a_wrong_query_is_refused_and_scores_that_follow_from_it_are_not() {
    let weight = "h.0.attn.c_attn.weight";
    let mut cast = Cast::correct();
    // The first column of 24 gives the first channel of q.
    cast.subject.change(weight, |values| values.iter_mut().step_by(24).for_each(|x| *x *= 1.01));
    let right = Scene::correct();
    let mut scene = Scene::of(cast, &[usual_case()]);
    let results = scene.results();
    for (name, expected) in [
        ("step0/h.0.attn.q", ComparisonVerdict::Fail),
        ("step0/h.0.attn.k", ComparisonVerdict::Pass),
        ("step0/h.0.attn.scores", ComparisonVerdict::Pass),
        ("step2/h.1.out", ComparisonVerdict::Pass),
    ] {
        assert_eq!(comparisons(&results, name)[0].verdict, expected, "{name}");
    }
    // The right scores do not follow from the wrong query.
    let scores = right.evidence[0].subject.as_ref().unwrap().get("step0/h.0.attn.scores").clone();
    scene.run().put("step0/h.0.attn.scores", scores);
    let scores = comparisons(&scene.results(), "step0/h.0.attn.scores")[0].clone();
    assert_eq!((scores.verdict, scores.reason), (ComparisonVerdict::Fail, Some(Reason::Budget)));
}

#[test]
fn without_an_input_a_result_is_judged_through_the_inputs_of_that_input() {
    let (lost, name) = ("step0/h.0.mlp.fc", "step0/h.0.mlp.act");
    let compared = |scene: &Scene| comparisons(&scene.results(), name)[0].clone();
    // What is allowed at an element that is far off, and hence the worst.
    let allowed = |scene: &Scene| {
        let mut scene = scene.clone();
        scene.run().change(name, |values| values[7] += 1e-3);
        let comparison = compared(&scene);
        assert_eq!(comparison.reason, Some(Reason::Budget));
        let worst = comparison.outcome.statistics().unwrap().budget.as_ref().unwrap().worst.clone().unwrap();
        assert_eq!(worst.index, [0, 0, 7]);
        worst.allowed.0
    };
    let whole = Scene::correct();
    let cut = {
        let mut scene = whole.clone();
        scene.run().lose(lost);
        scene
    };
    assert_eq!(compared(&cut).verdict, ComparisonVerdict::Pass);
    let (own, composite) = (allowed(&whole), allowed(&cut));
    assert!(own > 0.0 && composite > 1.2 * own, "{composite:e} {own:e}");
    // What is not there is still asked for.
    let results = cut.results();
    assert_eq!(comparisons(&results, lost)[0].verdict, ComparisonVerdict::Missing);
    assert_eq!(checkpoint(&results, "06").verdict, Verdict::Incomplete);
}

#[test]
fn what_follows_from_what_is_not_finite_is_marked_as_a_consequence() {
    let mut scene = Scene::correct();
    scene.run().change("step0/h.0.attn.q", |values| values[0] = f64::NAN);
    let results = scene.results();
    assert_eq!(checkpoint(&results, "02").verdict, Verdict::Fail);
    // The scores are those of a q without NaN: they do not follow from what the subject shows.
    let [scores] = comparisons(&results, "step0/h.0.attn.scores")[..] else { panic!("compared once") };
    assert_ne!(scores.verdict, ComparisonVerdict::Pass);
    assert!(scores.downstream);
    assert_eq!(checkpoint(&results, "04").verdict, Verdict::Blocked);
    // What does not follow from it is judged as ever.
    for id in ["01", "03", "05", "06", "07", "08"] {
        assert_eq!(checkpoint(&results, id).verdict, Verdict::Pass, "{id}");
    }
    assert_eq!(results.first_divergence.unwrap().activation, "h.0.attn.q");
}
