//! The laws of the design, each broken once: a gate that stays green here is no gate.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use capture::{Case, DType, Tensor, TensorName};
use checkpoint_spec::{
    CheckpointResult, ComparisonVerdict, Outcome, Reason, Reservation, Results, Side, Traits, Verdict,
};
use support::model;
use support::{Cast, Scene, checkpoint, comparisons, usual_case};

const LOGITS: &str = "step0/logits";

/// What becomes of a tensor's values.
type Edit = fn(&mut Vec<f64>);
/// What becomes of a scene, its verdict and its exit code.
type Exit = (fn(&mut Scene), Verdict, u8);

fn counts(results: &Results) -> (Vec<u64>, u64) {
    (results.checkpoints.iter().map(|c| c.required).collect(), results.quorum.required)
}

fn verdicts(results: &Results) -> BTreeMap<&str, Verdict> {
    results.checkpoints.iter().map(|c| (c.id.as_str(), c.verdict)).collect()
}

/// The scene with one edit.
fn edited(edit: impl FnOnce(&mut Scene)) -> Scene {
    let mut scene = Scene::correct();
    edit(&mut scene);
    scene
}

#[test]
fn what_is_required_does_not_follow_from_what_was_found() {
    let good = Scene::correct().results();
    let losses: [fn(&mut Scene); 6] = [
        |scene| scene.evidence[0].subject = None,
        |scene| scene.run().capture.tensors.clear(),
        |scene| scene.evidence[0].references[0].f64 = None,
        |scene| scene.voice(1).lose("step2/h.1.out"),
        |scene| scene.voice(0).capture.tensors.clear(),
        |scene| scene.model = None,
    ];
    for (index, lose) in losses.into_iter().enumerate() {
        let results = edited(lose).results();
        assert_eq!(counts(&results), counts(&good), "{index}");
        let short = |c: &CheckpointResult| c.compared < c.required;
        let quorum = &results.quorum;
        assert!(results.checkpoints.iter().any(short) || quorum.compared < quorum.required, "{index}");
        assert!(results.verdict >= Verdict::Incomplete, "{index}");
    }
}

#[test]
fn what_is_only_shown_decides_nothing() {
    let good = Scene::correct().results();
    let results =
        edited(|scene| scene.evidence[0].references.iter_mut().for_each(|r| r.peer = None)).results();
    assert_eq!((results.verdict, &results.checkpoints), (Verdict::Pass, &good.checkpoints));
    assert!(results.peers.len() < good.peers.len());
}

#[test]
fn every_mismatch_is_a_value_and_none_passes() {
    let correct = Scene::correct();
    let good = correct.results();
    let all = good.checkpoints.iter().flat_map(|c| c.comparisons.iter().map(move |found| (&c.id, found)));
    let tensors: BTreeSet<(&str, String)> =
        all.map(|(id, c)| (id.as_str(), c.tensor_name().to_string())).collect();
    assert!(tensors.len() > 150, "{}", tensors.len());
    let decoded = |name: &str| name.starts_with("step1/") || name.starts_with("step2/");
    for (id, name) in tensors.iter().filter(|(_, name)| !decoded(name)) {
        let mut scene = correct.clone();
        scene.run().put(name, Tensor::from_u8(&[2], &[1, 1]).unwrap());
        // Neither assay nor judge gives an error: they unwrap it.
        let results = scene.results();
        assert_eq!(checkpoint(&results, id).verdict, Verdict::Fail, "{name}");
        for comparison in comparisons(&results, name) {
            assert_eq!(comparison.verdict, ComparisonVerdict::Fail, "{name}");
            assert_eq!(comparison.outcome.statistics(), None, "{name}");
        }
    }
}

#[test]
fn another_dtype_is_not_converted() {
    let widened = |tensor: &Tensor| {
        Tensor::from_f64(tensor.shape().dimensions(), &tensor.view().to_f64_lossy()).unwrap()
    };
    let results = edited(|scene| {
        let wide = widened(scene.run().get(LOGITS));
        scene.run().put(LOGITS, wide);
    })
    .results();
    assert_eq!(checkpoint(&results, "08").verdict, Verdict::Fail);
    for comparison in comparisons(&results, LOGITS) {
        let (expected, found, side) = (DType::F32, DType::F64, Side::Subject);
        assert_eq!(comparison.outcome, Outcome::DtypeMismatch { expected, found, side });
        assert_eq!(comparison.reason, Some(Reason::DType));
    }
    // On the side of a reference it is no failure of the subject.
    let results = edited(|scene| {
        let narrow = scene.peer(0).get(LOGITS).clone();
        scene.voice(0).put(LOGITS, narrow);
    })
    .results();
    assert_eq!((checkpoint(&results, "08").verdict, results.exit_code), (Verdict::Error, 4));
}

#[test]
fn a_tensor_that_no_spec_asks_for_fails_the_foundation() {
    let name = "step0/h.0.attn.cached_K";
    let results = edited(|scene| scene.run().put(name, Tensor::from_f32(&[1], &[0.0]).unwrap())).results();
    let foundation = checkpoint(&results, "00");
    assert_eq!((foundation.verdict, results.exit_code), (Verdict::Fail, 1));
    let finding = &foundation.requirements.last().unwrap().findings[0];
    assert_eq!((finding.tensor.as_str(), finding.reason), (name, Reason::Unexpected));
}

#[test]
fn activations_that_changed_places_fail() {
    for (id, a, b) in [
        ("00", "step1/embd", "step2/embd"),
        ("01", "step0/h.0.ln_1", "step0/h.1.ln_1"),
        ("02", "step0/h.0.attn.q", "step0/h.0.attn.k"),
        ("03", "step2/h.0.attn.cached_k", "step2/h.0.attn.cached_v"),
        ("05", "step0/h.0.attn.context", "step0/h.0.attn.out"),
        ("07", "step0/h.1.mid", "step0/h.1.out"),
        ("09", "step1/logits.last", "step2/logits.last"),
        ("11", "step0/probs.t1", "step0/probs.t2"),
    ] {
        let results = edited(|scene| {
            let source = scene.run();
            let (of_a, of_b) = (source.get(a).clone(), source.get(b).clone());
            source.put(a, of_b);
            source.put(b, of_a);
        })
        .results();
        assert_eq!(checkpoint(&results, id).verdict, Verdict::Fail, "{a} and {b}");
    }
}

/// What lets the comparators of peers pass: see the list in the design.
#[test]
fn values_that_have_fooled_others_fail() {
    let fools: [(&str, Edit); 6] = [
        ("twelve zeros", |values| values[..12].fill(0.0)),
        ("4 % of scale", |values| values.iter_mut().for_each(|x| *x *= 1.04)),
        ("the same mean, shuffled", |values| values.reverse()),
        ("one element, in the last place of all", |values| *values.last_mut().unwrap() += 0.01),
        ("an offset of all", |values| values.iter_mut().for_each(|x| *x += 0.002)),
        ("all zeros", |values| values.fill(0.0)),
    ];
    for name in [LOGITS, "step0/h.1.mlp.fc", "step0/h.0.attn.out"] {
        for (what, fool) in fools {
            let results = edited(|scene| scene.run().change(name, fool)).results();
            assert_eq!(comparisons(&results, name)[0].verdict, ComparisonVerdict::Fail, "{what}");
            assert_eq!((results.verdict, results.exit_code), (Verdict::Fail, 1), "{name}: {what}");
        }
    }
}

#[test]
fn a_reference_is_no_judge_of_itself() {
    let mut scene = Scene::correct();
    name_subject(&mut scene, "first");
    scene.evidence[0].subject = scene.evidence[0].references[0].peer.clone();
    // HF's cache grows, so it has no buffer to look at: nor has the reference, which is the same.
    scene.facts.traits = Traits { preallocated_cache: false, ..scene.facts.traits };
    let buffer = |name: &TensorName| name.activation.ends_with(".attn.cache");
    scene.run().capture.tensors.retain(|name, _| !buffer(name));
    let results = scene.results();
    assert_eq!(results.verdict, Verdict::Pass, "{:?}", verdicts(&results));
    for checkpoint in &results.checkpoints {
        assert_eq!(checkpoint.compared, checkpoint.required, "{}", checkpoint.id);
        for comparison in &checkpoint.comparisons {
            assert_ne!(comparison.reference, "first@f32", "{comparison:?}");
        }
    }
    // It does not vouch for itself: a fault that both of its copies have is seen.
    scene.run().change(LOGITS, |values| values[5] += 0.1);
    scene.peer(0).change(LOGITS, |values| values[5] += 0.1);
    assert_eq!(checkpoint(&scene.results(), "08").verdict, Verdict::Fail);
}

/// The subject under another name, with its laws.
fn name_subject(scene: &mut Scene, name: &str) {
    let before = scene.facts.subject.to_string();
    scene.facts.subject.name = name.to_owned();
    let after = scene.facts.subject.to_string();
    let its_own = scene.facts.laws.iter_mut().filter(|numbers| numbers.implementation == before);
    its_own.for_each(|numbers| numbers.implementation.clone_from(&after));
}

#[test]
fn minus_infinity_stands_exactly_where_the_law_says() {
    let name = "step0/h.0.attn.mask";
    let edits: [(&str, Edit); 4] = [
        ("one too many", |values| values[0] = f64::NEG_INFINITY),
        ("one too few", |values| values[1] = 0.0),
        ("a very small number", |values| values[1] = f64::from(f32::MIN)),
        ("the other infinity", |values| values[1] = f64::INFINITY),
    ];
    for (what, edit) in edits {
        let results = edited(|scene| scene.run().change(name, edit)).results();
        assert_eq!(checkpoint(&results, "04").verdict, Verdict::Fail, "{what}");
    }
}

#[test]
fn exit_codes_follow_from_verdicts() {
    let cases: [Exit; 6] = [
        (|_| {}, Verdict::Pass, 0),
        (
            |scene| scene.facts.reservations.push(reservation("the work tree is dirty")),
            Verdict::Conditional,
            0,
        ),
        (|scene| scene.run().change("step0/logits", |values| values[0] = 1e6), Verdict::Fail, 1),
        (|scene| scene.run().lose("step0/logits"), Verdict::Incomplete, 4),
        (|scene| scene.voice(1).put("step0/logits", Tensor::from_u8(&[1], &[1]).unwrap()), Verdict::Error, 4),
        (|scene| scene.voice(1).change("step0/logits", |values| values[0] += 1e-6), Verdict::Error, 4),
    ];
    for (edit, verdict, code) in cases {
        let results = edited(edit).results();
        assert_eq!((results.verdict, results.exit_code), (verdict, code));
    }
    assert_eq!(Verdict::Blocked.exit_code(), 4);
}

fn reservation(message: &str) -> Reservation {
    Reservation { checkpoint: None, message: message.to_owned() }
}

#[test]
fn one_reference_by_choice_is_conditional_and_says_so() {
    let mut scene = Scene::correct();
    scene.facts.references.truncate(1);
    scene.evidence[0].references.truncate(1);
    scene.facts.reservations.push(reservation("one reference judges alone"));
    let results = scene.results();
    assert_eq!((results.quorum.verdict, results.verdict), (Verdict::Conditional, Verdict::Conditional));
    assert_eq!(results.reservations, scene.facts.reservations);
    scene.run().change("step0/logits", |values| values[0] += 1.0);
    assert_eq!(scene.results().verdict, Verdict::Fail);
    // Alone is not unheld: it must agree with the graph, on everything.
    scene.voice(0).lose("step0/logits");
    assert_eq!(scene.results().quorum.verdict, Verdict::Incomplete);
    scene.evidence[0].references[0].f64 = None;
    assert_eq!(scene.results().quorum.verdict, Verdict::Incomplete);
}

#[test]
fn an_implausible_value_that_everyone_has_is_a_named_reservation() {
    let mut large = Cast::correct().subject;
    // The first 8 columns of 24 give q.
    let of_q = |values: &mut Vec<f32>| {
        values.iter_mut().enumerate().filter(|(index, _)| index % 24 < 8).for_each(|(_, x)| *x *= 20_000.0);
    };
    large.change("h.1.attn.c_attn.weight", of_q);
    let scene = Scene::of(Cast::of(large.model), &[model::case(1, &[1], 0)]);
    let results = scene.results();
    let qkv = checkpoint(&results, "02");
    assert_eq!((qkv.verdict, qkv.compared), (Verdict::Conditional, qkv.required));
    assert!(results.reservations.iter().any(|r| r.checkpoint.as_deref() == Some("02")));
}

#[test]
fn what_was_not_selected_is_not_reported_and_what_was_is() {
    let mut scene = Scene::correct();
    scene.run().change("step0/logits", |values| values[0] += 1.0);
    scene.facts.selected = vec!["01".to_owned(), "02".to_owned()];
    let results = scene.results();
    let reported: Vec<&str> = results.checkpoints.iter().map(|c| c.id.as_str()).collect();
    assert_eq!((reported, results.verdict), (vec!["01", "02"], Verdict::Pass));
    assert_eq!(results.first_divergence, None);
    scene.facts.selected = vec!["08".to_owned()];
    assert_eq!(scene.results().verdict, Verdict::Fail);
}

#[test]
fn weights_of_its_own_excuse_their_digests_and_nothing_else() {
    let mut scene = edited(|scene| scene.run().change("weights.wte.weight", |bytes| bytes[0] = 8.0));
    assert_eq!(checkpoint(&scene.results(), "00").verdict, Verdict::Fail);
    scene.facts.subject_weights = true;
    let results = scene.results();
    assert_eq!((results.verdict, results.first_divergence), (Verdict::Pass, None));
    scene.run().lose("weights.wpe.weight");
    assert_eq!(checkpoint(&scene.results(), "00").verdict, Verdict::Incomplete);
    let mut scene = edited(|scene| scene.run().change("head.tied", |flag| flag[0] = 0.0));
    scene.facts.subject_weights = true;
    assert_eq!(checkpoint(&scene.results(), "00").verdict, Verdict::Fail);
}

#[test]
fn no_order_of_cases_or_references_changes_a_verdict() {
    let cases =
        [Case { id: "a".to_owned(), ..usual_case() }, Case { id: "b".to_owned(), ..model::case(1, &[3], 0) }];
    for bad in [false, true] {
        let mut scene = Scene::of(Cast::correct(), &cases);
        if bad {
            scene.run().change("step0/h.1.mlp.out", |values| values[3] += 0.1);
        }
        let straight = scene.results();
        let mut turned = scene.clone();
        turned.evidence.reverse();
        let results = turned.results();
        assert_eq!(verdicts(&results), verdicts(&straight));
        assert_eq!(counts(&results), counts(&straight));
        turned.facts.cases.reverse();
        turned.facts.references.reverse();
        turned.evidence.iter_mut().for_each(|evidence| evidence.references.reverse());
        let results = turned.results();
        assert_eq!(verdicts(&results), verdicts(&straight));
        assert_eq!((results.verdict, results.exit_code), (straight.verdict, straight.exit_code));
        // And the same evidence gives the same record.
        assert!(scene.results() == straight);
    }
}
