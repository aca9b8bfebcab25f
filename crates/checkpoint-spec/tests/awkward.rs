//! Story 7: tolerances that were chosen for one model accused correct implementations of others. What rounding may do follows
//! from the numbers: no correct implementation of an awkward model is accused, and the classic ceilings show only.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests look at more of a scene")]
mod support;

use std::collections::BTreeSet;

use checkpoint_spec::{ComparisonVerdict, SpecSet, Verdict};
use oracle::Model;
use support::model::{How, Sizes, is_scale, ordinary, uniform};
use support::{Cast, Scene, usual_case};

const SIZES: Sizes = Sizes { context: 12, width: 32, heads: 4, vocabulary: 61 };

fn model(sizes: Sizes, value: fn(&str, usize) -> f64) -> Model {
    sizes.model(SpecSet::bundled("gpt2").unwrap().graph(), value)
}

/// Models for which tolerances that fit others do not.
fn awkward() -> [(&'static str, Model); 7] {
    let outlier: fn(&str, usize) -> f64 = |name, index| match name {
        "wpe.weight" if index % SIZES.width == 3 => 3000.0 + uniform(name, index),
        _ => ordinary(name, index),
    };
    // Below ε: what a norm divides by is mostly that.
    let tiny: fn(&str, usize) -> f64 = |name, index| match name {
        "wte.weight" | "wpe.weight" => 1e-4 * uniform(name, index),
        _ if is_scale(name) => ordinary(name, index),
        _ => 1e-2 * uniform(name, index),
    };
    let scales: fn(&str, usize) -> f64 = |name, index| {
        if is_scale(name) { 0.01 * 1200f64.powf(uniform(name, index) + 0.5) } else { ordinary(name, index) }
    };
    // Of a standard deviation of 0.3, so that scores are in the tens and hundreds.
    let saturated: fn(&str, usize) -> f64 = |name, index| match name {
        _ if is_scale(name) => 4.0 * ordinary(name, index),
        _ => 12f64.sqrt() * 0.3 * uniform(name, index),
    };
    [
        ("a width of 40", model(Sizes { width: 40, ..SIZES }, ordinary)),
        ("one head", model(Sizes { heads: 1, ..SIZES }, ordinary)),
        ("a head for every channel", model(Sizes { heads: 32, ..SIZES }, ordinary)),
        ("saturated attention", model(Sizes { width: 64, ..SIZES }, saturated)),
        ("an outlier channel", model(SIZES, outlier)),
        ("a tiny variance", model(SIZES, tiny)),
        ("scales from 0.01 to 12", model(SIZES, scales)),
    ]
}

#[test]
fn no_correct_implementation_of_an_awkward_model_is_accused_whatever_classic_ceilings_say() {
    let mut exceeded = BTreeSet::new();
    for (what, model) in awkward() {
        for seed in 0..24 {
            let mut cast = Cast::of(model.clone());
            cast.subject.how = How::shuffled(seed);
            let results = Scene::of(cast, &[usual_case()]).results();
            assert_eq!(results.quorum.verdict, Verdict::Pass, "{what}: {:?}", results.quorum.disagreement);
            for comparison in results.checkpoints.iter().flat_map(|found| &found.comparisons) {
                let said = (comparison.name.as_str(), comparison.reason, &comparison.outcome);
                assert_eq!(comparison.verdict, ComparisonVerdict::Pass, "{what}, seed {seed}: {said:?}");
            }
            let of_subject = results.peers.iter().filter(|figure| figure.implementation == "subject@f32");
            let above = of_subject.filter(|figure| figure.ceiling_used.is_some_and(|used| used.0 > 1.0));
            exceeded.extend(above.map(|figure| (what, figure.checkpoint.clone())));
        }
    }
    // A gate that decided by them would have accused these.
    assert!(exceeded.len() >= 8, "{exceeded:?}");
}

#[test]
fn a_ceiling_decides_nothing_where_it_is_exceeded_and_nothing_where_it_is_not() {
    // Ten thousand times as strict, and ten thousand times as loose.
    let scene = |by: &str| {
        let mut sources = SpecSet::sources("gpt2").unwrap();
        let texts = sources.iter_mut().map(|(_, text)| text);
        texts.for_each(|text| {
            *text = text.replace("ceiling = { atol = 1e-", &format!("ceiling = {{ atol = {by}e-"))
        });
        let mut scene = Scene::correct();
        scene.specs = SpecSet::parse(sources).unwrap();
        scene
    };
    for by in ["0.0001", "10000"] {
        let mut scene = scene(by);
        assert_eq!(scene.results().verdict, Verdict::Pass, "{by}");
        scene.run().change("step0/h.0.attn.out", |values| values[3] *= 1.0 + 1e-4);
        assert_eq!(scene.results().verdict, Verdict::Fail, "{by}");
    }
    let used = |by: &str| {
        let peers = scene(by).results().peers;
        peers.into_iter().filter_map(|figure| Some(figure.ceiling_used?.0)).fold(0.0, f64::max)
    };
    assert!(used("0.0001") > 1.0 && used("10000") < 1.0);
}

/// The awkward models' own faults are seen all the same.
#[test]
fn a_wrong_implementation_of_an_awkward_model_is_refused() {
    for (what, model) in awkward() {
        let mut cast = Cast::of(model);
        cast.subject.change("h.1.ln_2.weight", |scale| scale.iter_mut().for_each(|x| *x *= 1.0 + 1e-5));
        let results = Scene::of(cast, &[usual_case()]).results();
        let first = results.first_divergence.map(|found| found.activation);
        assert_eq!(first.as_deref(), Some("h.1.ln_2"), "{what}");
    }
}
