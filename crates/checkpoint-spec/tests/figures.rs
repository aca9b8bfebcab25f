//! The worst figures of every implementation, side by side: what they are the worst of, and whose they are.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests look at more of a scene")]
mod support;

use checkpoint_spec::{CaseAssay, Measured, Mode, Outcome, judge};
use support::Scene;

/// The largest error at a checkpoint in one mode, of the comparisons of one implementation with the oracle.
fn worst(assays: &[CaseAssay], implementation: &str, spec: usize, mode: Mode) -> Option<Measured> {
    let observed =
        assays.iter().flat_map(|assay| &assay.observations).filter(|o| o.reference.ends_with("@f64"));
    let observed = observed.map(|o| ("subject@f32", o.required.spec, o.mode, &o.outcome));
    let peers = assays.iter().flat_map(|assay| &assay.peers);
    let peers = peers.map(|o| (o.implementation.as_str(), o.required.spec, o.mode, &o.outcome));
    let of =
        observed.chain(peers).filter(|&(who, at, how, _)| (who, at, how) == (implementation, spec, mode));
    let errors = of.filter_map(|(_, _, _, outcome): (_, _, _, &Outcome)| outcome.float_statistics());
    errors.map(|statistics| statistics.max_abs).reduce(Measured::or_worse)
}

#[test]
fn figures_are_the_worst_of_each_implementation_the_subjects_first() {
    let scene = Scene::correct();
    let assays = scene.assays();
    let results = judge(&scene.specs, &scene.facts, &assays).unwrap();
    let mut expected = Vec::new();
    for (spec, checkpoint) in scene.specs.specs.iter().map(|spec| spec.id.clone()).enumerate() {
        for implementation in ["subject@f32", "first@f32", "second@f32"] {
            let of = [Mode::Run, Mode::Replay].map(|mode| worst(&assays, implementation, spec, mode));
            if of.iter().any(Option::is_some) {
                let [run, replay] = of.map(|error| error.unwrap_or(Measured(0.0)));
                expected.push((checkpoint.clone(), implementation.to_owned(), run, replay));
            }
        }
    }
    let peers = results.peers.into_iter();
    let found: Vec<_> =
        peers.map(|f| (f.checkpoint, f.implementation, f.run_max_abs, f.replay_max_abs)).collect();
    assert!(found.len() > 20 && found.iter().any(|(_, _, run, _)| run.0 > 0.0), "{found:?}");
    assert_eq!(found, expected);
}

#[test]
fn a_subject_that_is_a_peer_as_well_has_its_own_figures_once() {
    let mut scene = Scene::correct();
    scene.facts.subject.name = "first".to_owned();
    let results = judge(&scene.specs, &scene.facts, &scene.assays()).unwrap();
    let at = |who: &str| results.peers.iter().filter(|figure| figure.implementation == who).count();
    assert_eq!((at("first@f32"), at("subject@f32")), (at("second@f32"), 0));
    let mut places: Vec<_> = results.peers.iter().map(|f| (&f.checkpoint, &f.implementation)).collect();
    places.dedup();
    assert_eq!(places.len(), results.peers.len());
}
