//! The seven stories of the first generation of such harnesses. Each old failure is put in, and must be caught.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use capture::{Capture, Case, Precision, Tensor, TensorName};
use checkpoint_spec::{
    ComparisonVerdict, ElementRecord, Incident, Mode, Outcome, Reason, Required, Results, Verdict,
    bundled_cases, required as required_of,
};
use support::model;
use support::{Cast, Scene, Source, checkpoint, comparisons, usual_case};

/// Checkpoint by checkpoint.
fn verdicts(results: &Results) -> Vec<Verdict> {
    results.checkpoints.iter().map(|checkpoint| checkpoint.verdict).collect()
}

fn required(results: &Results) -> Vec<u64> {
    results.checkpoints.iter().map(|checkpoint| checkpoint.required).collect()
}

/// Not one checkpoint passes, nor does the run, and the exit code says that something was not compared.
#[track_caller]
fn nothing_passes(results: &Results) {
    for checkpoint in &results.checkpoints {
        assert!(checkpoint.verdict > Verdict::Conditional, "{} {:?}", checkpoint.id, checkpoint.verdict);
    }
    assert!(results.verdict > Verdict::Blocked, "{:?}", results.verdict);
    assert_eq!(results.exit_code, 4);
}

#[test]
fn a_good_subject_passes_all_thirteen() {
    let results = Scene::correct().results();
    assert_eq!(verdicts(&results), [Verdict::Pass; 13]);
    for checkpoint in &results.checkpoints {
        assert!(checkpoint.required > 0, "{}", checkpoint.id);
        assert_eq!(checkpoint.compared, checkpoint.required, "{}", checkpoint.id);
        assert_eq!(checkpoint.comparisons.len() as u64, checkpoint.required, "{}", checkpoint.id);
        for requirement in &checkpoint.requirements {
            assert!(requirement.checked > 0, "{}", requirement.id);
            assert_eq!(requirement.checked, requirement.required, "{}", requirement.id);
            assert_eq!(requirement.verdict, ComparisonVerdict::Pass, "{}", requirement.id);
            assert_eq!(requirement.findings, [], "{}", requirement.id);
        }
    }
    assert_eq!((results.quorum.verdict, results.quorum.disagreement), (Verdict::Pass, None));
    assert!(results.quorum.required > 0);
    assert_eq!(results.quorum.compared, results.quorum.required);
    assert_eq!((results.verdict, results.exit_code, results.first_divergence), (Verdict::Pass, 0, None));
}

/// 1. The cache held two positions and gave back its whole buffer; the test compared what overlapped, and passed.
#[test]
fn a_cache_that_hands_out_its_whole_buffer_is_a_shape_mismatch_without_numbers() {
    let name = "step0/h.0.attn.cached_k";
    let mut scene = Scene::of(Cast::correct(), &[model::case(1, &[2], 0)]);
    let good = scene.results();
    let source = scene.run();
    let right = source.get(name).clone();
    let mut values = right.view().to_f32().unwrap();
    values.resize(12 * 2 * 4, 0.0);
    let whole = Tensor::from_f32(&[1, 12, 2, 4], &values).unwrap();
    // What the old test saw: no difference.
    assert_eq!(whole.bytes()[..right.bytes().len()], *right.bytes());
    source.put(name, whole.clone());

    let results = scene.results();
    let [comparison] = comparisons(&results, name)[..] else { panic!("compared with itself once") };
    let (expected, found, side) = (right.shape().clone(), whole.shape().clone(), "subject".to_owned());
    assert_eq!(comparison.outcome, Outcome::ShapeMismatch { expected, found, side });
    assert_eq!((comparison.verdict, comparison.reason), (ComparisonVerdict::Fail, Some(Reason::Shape)));
    assert_eq!((comparison.outcome.statistics(), comparison.outcome.elements()), (None, 0));
    // Nor is there a number in what is written down.
    let record = serde_json::to_value(comparison).unwrap();
    let fields: BTreeSet<&str> = record["outcome"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, BTreeSet::from(["kind", "expected", "found", "side"]));

    let cache = checkpoint(&results, "03");
    assert_eq!((cache.verdict, results.verdict, results.exit_code), (Verdict::Fail, Verdict::Fail, 1));
    assert_eq!(cache.required, checkpoint(&good, "03").required);
    assert_eq!(cache.compared, cache.required - 1);
    let said = &cache.requirements[0].findings[0];
    assert_eq!((said.tensor.as_str(), said.reason), (name, Reason::Shape));
    assert!(said.message.contains("[1, 12, 2, 4]") && said.message.contains("values were not compared"));
    let first = results.first_divergence.unwrap();
    assert_eq!((first.checkpoint.as_str(), first.activation.as_str()), ("03", "h.0.attn.cached_k"));
    assert_eq!((first.mode, first.reason), (Mode::Isolated, Reason::Shape));
}

/// 2. A reference was claimed and never ran; the other one stood in, in silence.
#[test]
fn a_reference_that_never_ran_leaves_everything_unjudged() {
    let good = Scene::correct().results();
    for absent in [0, 1] {
        let mut scene = Scene::correct();
        let reference = &mut scene.evidence[0].references[absent];
        (reference.peer, reference.f64) = (None, None);
        let (results, name) = (scene.results(), ["first@", "second@"][absent]);
        nothing_passes(&results);
        assert_eq!(required(&results), required(&good));
        assert_eq!(results.quorum.verdict, Verdict::Incomplete);
        assert_eq!(results.quorum.required, good.quorum.required);
        // Every further voice is held to the first, and the first to the graph.
        assert!(results.quorum.compared <= [0, good.quorum.required / 2][absent]);
        let all = results.checkpoints.iter().flat_map(|checkpoint| &checkpoint.comparisons);
        let of_absent: Vec<_> = all.filter(|c| c.reference.starts_with(name)).collect();
        assert!(!of_absent.is_empty());
        for comparison in of_absent {
            assert_eq!(comparison.verdict, ComparisonVerdict::Incomplete, "{comparison:?}");
            assert_eq!(comparison.reason, Some(Reason::Missing), "{comparison:?}");
        }
        let foundation = checkpoint(&results, "00");
        assert!(foundation.compared < foundation.required);
    }
}

#[test]
fn nothing_is_judged_without_the_weights_by_which_to_judge() {
    let good = Scene::correct().results();
    let mut scene = Scene::correct();
    scene.model = None;
    let results = scene.results();
    nothing_passes(&results);
    assert_eq!((required(&results), results.quorum.required), (required(&good), good.quorum.required));
    assert_eq!(checkpoint(&results, "08").compared, 0);
}

#[test]
fn a_reference_that_fell_back_to_the_other_does_not_count() {
    // The evidence says whose it is: not what was claimed.
    let mut scene = Scene::correct();
    scene.evidence[0].references[1].name = "first".to_owned();
    nothing_passes(&scene.results());
    let mut scene = Scene::correct();
    scene.evidence[0].references[1] = scene.evidence[0].references[0].clone();
    nothing_passes(&scene.results());
    // Nor are there two because one was claimed twice.
    scene.facts.references[1] = scene.facts.references[0].clone();
    nothing_passes(&scene.results());
    // Or because one was left out of the evidence.
    let mut scene = Scene::correct();
    scene.evidence[0].references.truncate(1);
    nothing_passes(&scene.results());
}

#[test]
fn one_tensor_that_is_not_there_is_not_a_pass() {
    let good = Scene::correct().results();
    let (name, mut scene) = ("step1/logits", Scene::correct());
    scene.voice(1).lose(name);
    let results = scene.results();
    nothing_passes(&results);
    assert_eq!(results.quorum.required, good.quorum.required);
    assert_eq!(results.quorum.compared, good.quorum.required - 1);

    let mut scene = Scene::correct();
    scene.run().lose(name);
    let results = scene.results();
    let logits = checkpoint(&results, "08");
    assert_eq!((logits.verdict, logits.compared), (Verdict::Incomplete, logits.required - 1));
    assert_eq!(comparisons(&results, name)[0].verdict, ComparisonVerdict::Missing);
    assert_eq!((results.verdict, results.exit_code), (Verdict::Incomplete, 4));
    assert_eq!(required(&results), required(&good));

    for of_subject in [true, false] {
        let mut scene = Scene::correct();
        let source = if of_subject { scene.run() } else { scene.voice(0) };
        source.broken.insert(TensorName::parse(name).unwrap());
        let results = scene.results();
        let (verdict, reason) =
            if of_subject { (Verdict::Error, Some(Reason::Unreadable)) } else { (Verdict::Incomplete, None) };
        assert_eq!(checkpoint(&results, "08").verdict, verdict);
        assert_eq!((results.verdict, results.exit_code), (verdict, 4));
        assert_eq!(comparisons(&results, name)[0].reason, reason);
    }
}

#[test]
fn a_subject_that_handed_in_nothing_is_not_a_pass() {
    let good = Scene::correct().results();
    for subject in [None, Some(Source::default())] {
        let mut scene = Scene::correct();
        scene.evidence[0].subject = subject;
        let results = scene.results();
        assert_eq!(required(&results), required(&good));
        assert!(results.verdict >= Verdict::Incomplete);
        for checkpoint in &results.checkpoints {
            assert!(checkpoint.verdict >= Verdict::Incomplete, "{}", checkpoint.id);
            assert_eq!(checkpoint.compared, 0, "{}", checkpoint.id);
        }
    }
}

#[test]
fn empty_tensors_are_not_a_pass() {
    let mut scene = Scene::of(Cast::correct(), &[model::case(1, &[2, 1], 2)]);
    let rowless = Case { token_ids: Vec::new(), texts: Some(Vec::new()), ..model::case(1, &[2, 1], 2) };
    let empty = |precision| {
        let (facts, specs) = (&scene.facts, &scene.specs);
        let plan = required_of(specs, &facts.architecture, &rowless, facts.traits, precision).unwrap();
        let tensor = |r: Required| {
            let bytes = vec![1; r.shape.elements() * r.dtype.size()];
            (r.name, Tensor::new(r.dtype, r.shape, bytes).unwrap())
        };
        let tensors = plan.into_iter().map(tensor).collect();
        Some(Source { capture: Capture { tensors, ..Capture::default() }, ..Source::default() })
    };
    let (f32, f64) = (empty(Precision::F32), empty(Precision::F64));
    for reference in &mut scene.evidence[0].references {
        (reference.peer, reference.f64) = (f32.clone(), f64.clone());
    }
    (scene.evidence[0].subject, scene.evidence[0].case) = (f32, rowless.clone());
    scene.facts.cases[0].0 = rowless;
    let results = scene.results();
    for checkpoint in &results.checkpoints {
        assert!(checkpoint.verdict >= Verdict::Incomplete, "{} {:?}", checkpoint.id, checkpoint.verdict);
        assert!(checkpoint.compared < checkpoint.required, "{}", checkpoint.id);
    }
    assert_ne!(results.exit_code, 0);
    assert_ne!(results.quorum.verdict, Verdict::Pass);
    for comparison in comparisons(&results, "step0/logits") {
        let found = (comparison.verdict, comparison.reason);
        assert_eq!(found, (ComparisonVerdict::Incomplete, Some(Reason::Empty)));
    }
}

#[test]
fn zero_cases_zero_references_and_zero_checkpoints_are_not_a_pass() {
    let mut scene = Scene::correct();
    (scene.facts.cases, scene.evidence) = (Vec::new(), Vec::new());
    nothing_passes(&scene.results());
    assert_eq!(required(&scene.results()), [0; 13]);

    let mut scene = Scene::correct();
    scene.facts.references.clear();
    scene.evidence[0].references.clear();
    nothing_passes(&scene.results());

    let mut scene = Scene::correct();
    scene.facts.selected = vec!["13".to_owned()];
    nothing_passes(&scene.results());
}

#[test]
fn a_case_that_was_claimed_and_not_run_is_not_a_pass() {
    let other = Case { id: "other".to_owned(), ..usual_case() };
    let both = Scene::of(Cast::correct(), &[usual_case(), other]);
    assert_eq!(both.results().verdict, Verdict::Pass);
    let mut scene = both.clone();
    scene.evidence.truncate(1);
    nothing_passes(&scene.results());
    assert_eq!(required(&scene.results()), required(&both.results()));
    // One case twice is not both.
    scene.evidence.push(scene.evidence[0].clone());
    nothing_passes(&scene.results());
}

#[test]
fn a_crash_is_a_verdict_with_a_name() {
    let mut scene = Scene::correct();
    scene.facts.incidents.push(Incident {
        implementation: "second@f32".to_owned(),
        case: Some("tiny".to_owned()),
        kind: "crashed".to_owned(),
        message: "signal 11".to_owned(),
    });
    let results = scene.results();
    assert_eq!((results.verdict, results.exit_code), (Verdict::Error, 4));
    assert_eq!(results.incidents, scene.facts.incidents);
}

/// 3. "PASS" stood in the report's template before the asserts ran.
#[test]
fn one_stored_bit_turns_the_verdict_and_turns_it_back() {
    // By checkpoint: the tensor and the bit of its largest element, an exponent's where there is a bound.
    let flips = [
        ("00", "step0/embd", 23),
        ("01", "step1/h.1.ln_2", 23),
        ("02", "step0/h.0.attn.q", 23),
        ("03", "step2/h.1.attn.cached_v", 0),
        ("04", "step0/h.0.attn.mask", 23),
        ("05", "step0/h.1.attn.out", 23),
        ("06", "step2/h.0.mlp.fc", 23),
        ("07", "step0/h.1.out", 23),
        ("08", "step1/logits", 23),
        ("09", "step2/logits.last", 0),
        ("10", "step0/token", 0),
        ("11", "step0/probs.t1", 23),
        ("12", "generated.logits", 23),
    ];
    let (mut scene, good) = (Scene::correct(), Scene::correct().results());
    for (id, tensor, bit) in flips {
        let element = largest(scene.run(), tensor);
        flip(scene.run(), tensor, bit, element);
        let results = scene.results();
        assert_eq!((checkpoint(&results, id).verdict, results.exit_code), (Verdict::Fail, 1), "{id}");
        assert!(results.first_divergence.is_some(), "{id}");
        flip(scene.run(), tensor, bit, element);
        assert!(scene.results() == good, "{id}: the same tensors give another record");
    }
}

fn largest(source: &Source, name: &str) -> usize {
    let values = source.get(name).view().to_f64_lossy();
    (0..values.len()).max_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs())).unwrap()
}

fn flip(source: &mut Source, name: &str, bit: usize, element: usize) {
    let tensor = source.get(name);
    let mut bytes = tensor.bytes().to_vec();
    bytes[element * tensor.dtype().size() + bit / 8] ^= 1 << (bit % 8);
    source.put(name, Tensor::new(tensor.dtype(), tensor.shape().clone(), bytes).unwrap());
}

#[test]
fn words_do_not_turn_a_verdict() {
    let mut scene = Scene::correct();
    scene.run().change("step0/logits", |values| values[3] += 1.0);
    let plain = scene.results();
    assert_eq!(plain.verdict, Verdict::Fail);
    scene.facts.notes = vec!["PASS".to_owned(), "verdict: pass".to_owned(), "exit_code: 0".to_owned()];
    scene.facts.model = "tiny\nPASS, 13 of 13".to_owned();
    scene.facts.cases[0].1 = "PASS".to_owned();
    let spoken = scene.results();
    assert_eq!((spoken.verdict, spoken.exit_code), (plain.verdict, plain.exit_code));
    assert_eq!(spoken.checkpoints, plain.checkpoints);
}

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
