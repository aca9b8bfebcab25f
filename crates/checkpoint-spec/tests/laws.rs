//! The laws of the design, each broken once: a gate that stays green here is no gate.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "laws/generation.rs"]
mod generation;
mod support;

use std::collections::{BTreeMap, BTreeSet};

use capture::{Case, DType, Tensor, TensorName};
use checkpoint_spec::{
    CheckpointResult, ComparisonVerdict, Mode, Outcome, Reason, Reservation, Results, Traits, Verdict,
};
use support::model::{self, Fault, Implementation};
use support::{Cast, Evidence, Pair, Scene, checkpoint, comparisons};

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
    let losses: [fn(&mut Evidence); 7] = [
        |evidence| evidence.subject = Pair::default(),
        |evidence| evidence.subject.run.as_mut().unwrap().capture.tensors.clear(),
        |evidence| evidence.subject.replay.as_mut().unwrap().capture.tensors.clear(),
        |evidence| evidence.references[0].f32 = Pair::default(),
        |evidence| evidence.references[1].f32.run.as_mut().unwrap().lose("step2/h.1.out"),
        |evidence| evidence.references[0].f64.replay.as_mut().unwrap().capture.tensors.clear(),
        |evidence| evidence.references.iter_mut().for_each(|r| r.f64 = Pair::default()),
    ];
    for (index, lose) in losses.into_iter().enumerate() {
        let results = edited(|scene| lose(&mut scene.evidence[0])).results();
        assert_eq!(counts(&results), counts(&good), "{index}");
        let short = |c: &CheckpointResult| c.compared < c.required;
        assert!(results.checkpoints.iter().any(short), "{index}");
        assert!(results.verdict >= Verdict::Incomplete, "{index}");
    }
}

#[test]
fn every_mismatch_is_a_value_and_none_passes() {
    let correct = Scene::correct();
    let good = correct.results();
    let all = good.checkpoints.iter().flat_map(|c| c.comparisons.iter().map(move |found| (&c.id, found)));
    let tensors: BTreeSet<(&str, String, Mode)> =
        all.map(|(id, c)| (id.as_str(), c.tensor_name().to_string(), c.mode)).collect();
    assert!(tensors.len() > 250, "{}", tensors.len());
    let decoded = |name: &str| name.starts_with("step1/") || name.starts_with("step2/");
    for (id, name, mode) in tensors.iter().filter(|(_, name, _)| !decoded(name)) {
        let mut scene = correct.clone();
        let source = if *mode == Mode::Run { scene.run() } else { scene.replay() };
        source.put(name, Tensor::from_u8(&[2], &[1, 1]).unwrap());
        // Neither assay nor judge gives an error: they unwrap it.
        let results = scene.results();
        let checkpoint = checkpoint(&results, id);
        assert_eq!(checkpoint.verdict, Verdict::Fail, "{mode:?} {name}");
        for comparison in comparisons(&results, name, *mode) {
            assert_eq!(comparison.verdict, ComparisonVerdict::Fail, "{mode:?} {name}");
            assert_eq!(comparison.outcome.statistics(), None, "{mode:?} {name}");
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
    for comparison in comparisons(&results, LOGITS, Mode::Run) {
        let (expected, found, side) = (DType::F32, DType::F64, "subject".to_owned());
        assert_eq!(comparison.outcome, Outcome::DtypeMismatch { expected, found, side });
        assert_eq!(comparison.reason, Some(Reason::DType));
    }
    // On the side of a reference it is no failure of the subject.
    let results = edited(|scene| {
        let wide = widened(scene.peer(0).get(LOGITS));
        scene.peer(0).put(LOGITS, wide);
    })
    .results();
    assert_eq!((checkpoint(&results, "08").verdict, results.exit_code), (Verdict::Error, 4));
}

#[test]
fn a_tensor_that_no_spec_asks_for_fails_the_foundation() {
    for (mode, name) in [(Mode::Run, "step0/h.0.attn.cached_K"), (Mode::Replay, "step0/h.0.attn.Q")] {
        let results = edited(|scene| {
            let source = if mode == Mode::Run { scene.run() } else { scene.replay() };
            source.put(name, Tensor::from_f32(&[1], &[0.0]).unwrap());
        })
        .results();
        let foundation = checkpoint(&results, "00");
        assert_eq!((foundation.verdict, results.exit_code), (Verdict::Fail, 1));
        let finding = &foundation.requirements.last().unwrap().findings[0];
        assert_eq!((finding.tensor.as_str(), finding.reason), (name, Reason::Unexpected));
    }
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
            assert_eq!(comparisons(&results, name, Mode::Run)[0].verdict, ComparisonVerdict::Fail, "{what}");
            assert_eq!((results.verdict, results.exit_code), (Verdict::Fail, 1), "{name}: {what}");
        }
    }
}

fn faulty(fault: Fault) -> Results {
    let mut cast = Cast::correct();
    cast.subject.fault = fault;
    Scene::of(cast, &[model::case(2, &[5, 1, 1], 3)]).results()
}

#[test]
fn a_fault_fails_where_it_sits_and_blocks_what_follows() {
    let results = faulty(|name, values| {
        if name == "h.0.mlp.act" {
            values.iter_mut().for_each(|x| *x *= 1.001);
        }
    });
    let verdicts = verdicts(&results);
    let failed: Vec<&&str> =
        verdicts.iter().filter(|(_, v)| **v == Verdict::Fail).map(|(id, _)| id).collect();
    assert_eq!(failed, [&"06"], "{verdicts:?}");
    for blocked in ["01", "02", "05", "07", "08", "11", "12"] {
        assert_eq!(verdicts[blocked], Verdict::Blocked, "{verdicts:?}");
    }
    assert_eq!(verdicts["00"], Verdict::Pass);
    let first = results.first_divergence.as_ref().unwrap();
    assert_eq!((first.checkpoint.as_str(), first.activation.as_str()), ("06", "h.0.mlp.act"));
    assert_eq!((first.step, first.mode), (Some(0), Mode::Replay));
    assert_eq!((results.verdict, results.exit_code), (Verdict::Fail, 1));
    let consequence = comparisons(&results, "step0/h.1.out", Mode::Run)[0];
    assert!(consequence.downstream && consequence.verdict == ComparisonVerdict::Fail);
    let origin = comparisons(&results, "step0/h.0.mlp.act", Mode::Replay)[0];
    assert!(!origin.downstream && origin.verdict == ComparisonVerdict::Fail);
    // A composite that holds the fault follows from it; one that does not is sound.
    let whole = |name| comparisons(&results, name, Mode::Replay)[0];
    assert!(whole("step0/whole/h.0.out").downstream);
    assert_eq!(whole("step0/whole/h.1.out").verdict, ComparisonVerdict::Pass);
}

#[test]
fn a_second_fault_is_not_hidden_by_the_first() {
    let results = faulty(|name, values| {
        if name == "h.0.mlp.act" || name == "logits" {
            values.iter_mut().for_each(|x| *x *= 1.001);
        }
    });
    let verdicts = verdicts(&results);
    assert_eq!((verdicts["06"], verdicts["08"]), (Verdict::Fail, Verdict::Fail), "{verdicts:?}");
    assert_eq!(verdicts["07"], Verdict::Blocked, "{verdicts:?}");
    assert_eq!(results.first_divergence.unwrap().checkpoint, "06");
}

#[test]
fn a_fault_of_a_composite_alone_fails_it() {
    let results =
        edited(|scene| scene.replay().change("step0/whole/h.1.out", |values| values[0] += 0.5)).results();
    assert_eq!(checkpoint(&results, "07").verdict, Verdict::Fail);
    assert!(!comparisons(&results, "step0/whole/h.1.out", Mode::Replay)[0].downstream);
    assert_eq!(results.first_divergence.unwrap().activation, "whole/h.1.out");
}

/// Everyone's logits of token 3 are the largest and those of token 7 next to them, `gap` below; the subject has them
/// the other way round in every other row, because it is off by `error` there, and the f32 references by `peers`.
fn near_tie(everyone: Fault, subject: Fault, peers: Fault) -> Scene {
    let mut cast = Cast::correct();
    cast.subject.fault = subject;
    for [f32, f64] in &mut cast.references {
        (f32.fault, f64.fault) = (peers, everyone);
    }
    let case = model::case(2, &[5, 1, 1], 3);
    Scene::of(cast, &[Case { forced: Some(vec![vec![3; 3]; 2]), ..case }])
}

fn set(values: &mut [f64], three: f64, seven: f64) {
    for (row, logits) in values.chunks_exact_mut(11).enumerate() {
        // Errors of both signs: a bias would be found as one.
        let sign = if row % 2 == 0 { -1.0 } else { 1.0 };
        (logits[3], logits[7]) = (16.0 + sign * three, 16.0 - seven);
    }
}

fn close() -> Scene {
    near_tie(
        |name, values| {
            if name == "logits" {
                set(values, 0.0, 1.5e-5)
            }
        },
        |name, values| {
            if name == "logits" {
                set(values, 2e-5, 1.5e-5)
            }
        },
        |name, values| {
            if name == "logits" {
                set(values, 1e-5, 1.5e-5)
            }
        },
    )
}

#[test]
fn a_flip_within_the_error_of_f32_is_a_tie_counted_and_shown() {
    let results = close().results();
    for (id, name) in [("10", "step0/token"), ("10", "step2/token"), ("12", "generated")] {
        let checkpoint = checkpoint(&results, id);
        assert_eq!(checkpoint.verdict, Verdict::Pass, "{id}");
        assert!(checkpoint.ties > 0, "{id}");
        for comparison in comparisons(&results, name, Mode::Run) {
            assert_eq!(comparison.verdict, ComparisonVerdict::Pass);
            assert_eq!(comparison.reason, Some(Reason::Tie));
            assert!(comparison.outcome.ties() > 0);
        }
    }
    assert_eq!(results.verdict, Verdict::Pass);
}

#[test]
fn a_flip_beyond_it_is_a_bug() {
    let scene = near_tie(
        |name, values| {
            if name == "logits" {
                set(values, 0.0, 9e-4)
            }
        },
        |name, values| {
            if name == "logits" {
                set(values, 9.5e-4, 9e-4)
            }
        },
        |name, values| {
            if name == "logits" {
                set(values, 1e-5, 9e-4)
            }
        },
    );
    let results = scene.results();
    for (id, name) in [("10", "step0/token"), ("12", "generated")] {
        let checkpoint = checkpoint(&results, id);
        assert!(checkpoint.verdict > Verdict::Conditional, "{id}");
        assert_eq!(checkpoint.ties, 0, "{id}");
        for comparison in comparisons(&results, name, Mode::Run) {
            let found = (comparison.verdict, comparison.reason);
            assert_eq!(found, (ComparisonVerdict::Fail, Some(Reason::Exact)));
        }
    }
    assert_eq!(results.exit_code, 1);
}

#[test]
fn no_tie_is_granted_on_no_evidence_or_by_the_subject_itself() {
    let mut scene = close();
    scene.evidence[0].references.iter_mut().for_each(|reference| reference.f32 = Pair::default());
    let results = scene.results();
    assert_eq!(checkpoint(&results, "10").ties, 0);
    assert!(checkpoint(&results, "10").verdict > Verdict::Conditional);

    // The subject is the first reference, and is off where the other is not.
    let mut scene = near_tie(
        |name, values| {
            if name == "logits" {
                set(values, 0.0, 1.5e-4)
            }
        },
        |name, values| {
            if name == "logits" {
                set(values, 2e-4, 1.5e-4)
            }
        },
        |name, values| {
            if name == "logits" {
                set(values, 0.0, 1.5e-4)
            }
        },
    );
    scene.facts.subject.name = "first".to_owned();
    scene.evidence[0].references[0].f32 = scene.evidence[0].subject.clone();
    let results = scene.results();
    assert_eq!(checkpoint(&results, "10").ties, 0);
    assert!(checkpoint(&results, "10").verdict > Verdict::Conditional);
}

#[test]
fn a_reference_is_no_judge_of_itself() {
    let mut scene = Scene::correct();
    generation::name_subject(&mut scene, "first");
    scene.evidence[0].subject = scene.evidence[0].references[0].f32.clone();
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
    assert!(checkpoint(&results, "08").required < checkpoint(&Scene::correct().results(), "08").required);
    // It does not vouch for itself: a fault that both of its copies have is seen.
    scene.run().change(LOGITS, |values| values[5] += 0.1);
    scene.peer(0).change(LOGITS, |values| values[5] += 0.1);
    assert_eq!(checkpoint(&scene.results(), "08").verdict, Verdict::Fail);
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
        for mode in [Mode::Run, Mode::Replay] {
            let results = edited(|scene| match mode {
                Mode::Run => scene.run().change(name, edit),
                Mode::Replay => scene.replay().change(name, edit),
            })
            .results();
            assert_eq!(checkpoint(&results, "04").verdict, Verdict::Fail, "{what} in {mode:?}");
        }
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
        (|scene| scene.peer(1).put("step0/logits", Tensor::from_u8(&[1], &[1]).unwrap()), Verdict::Error, 4),
        (|scene| scene.oracle(1).change("step0/logits", |values| values[0] += 1e-6), Verdict::Error, 4),
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
}

#[test]
fn an_implausible_value_that_everyone_has_is_a_named_reservation() {
    let faulty: Fault = |name, values| {
        if name == "h.1.attn.q" {
            values.iter_mut().for_each(|x| *x *= 20_000.0);
        }
    };
    let every = |how: Implementation| Implementation { fault: faulty, ..how };
    let Cast { subject, references } = Cast::correct();
    // One order of summation for all: at 20,000 times the size the ceilings are not the point.
    let references = references.map(|pair| pair.map(|how| Implementation { backward: false, ..every(how) }));
    let scene = Scene::of(Cast { subject: every(subject), references }, &[model::case(1, &[1], 0)]);
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
    let cases = [
        Case { id: "a".to_owned(), ..model::case(2, &[5, 1, 1], 3) },
        Case { id: "b".to_owned(), ..model::case(1, &[3], 0) },
    ];
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
