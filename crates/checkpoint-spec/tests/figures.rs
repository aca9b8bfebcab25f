//! The worst figures of every implementation, side by side: what they are the worst of, and whose they are.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests look at more of a scene")]
mod support;

use std::collections::BTreeSet;

use checkpoint_spec::{CaseAssay, Measured, Mode, Outcome, StatisticsRecord, judge};
use support::Scene;

/// What is worst in the outcomes of one implementation at a checkpoint in one mode.
fn worst(
    assays: &[CaseAssay],
    (implementation, spec, mode): (&str, usize, Mode),
    figure: impl Fn(&StatisticsRecord) -> Option<Measured>,
) -> Option<Measured> {
    let observed = assays.iter().flat_map(|assay| &assay.observations).filter(|o| o.mode == Mode::Isolated);
    let observed = observed.map(|o| ("subject@f32", o.required.spec, o.mode, &o.outcome));
    let measured = assays.iter().flat_map(|assay| &assay.measured);
    let measured = measured.map(|o| (o.implementation.as_str(), o.required.spec, o.mode, &o.outcome));
    let all = observed.chain(measured);
    let of = all.filter(|&(who, at, how, _)| (who, at, how) == (implementation, spec, mode));
    let found = of.filter_map(|(_, _, _, outcome): (_, _, _, &Outcome)| outcome.float_statistics());
    found.filter_map(figure).reduce(Measured::or_worse)
}

#[test]
fn figures_are_the_worst_of_each_implementation_the_subjects_first() {
    let scene = Scene::correct();
    let assays = scene.assays();
    let results = judge(&scene.specs, &scene.facts, &assays).unwrap();
    let mut expected = Vec::new();
    for (spec, checkpoint) in scene.specs.specs.iter().map(|spec| spec.id.clone()).enumerate() {
        for implementation in ["subject@f32", "first@f32", "second@f32"] {
            let of = |mode| worst(&assays, (implementation, spec, mode), |found| Some(found.max_abs));
            let [chained, isolated] = [Mode::Chained, Mode::Isolated].map(of);
            if chained.or(isolated).is_some() {
                let budget = |found: &StatisticsRecord| Some(found.budget.as_ref()?.used);
                let used = worst(&assays, (implementation, spec, Mode::Isolated), budget);
                let [chained, isolated] = [chained, isolated].map(|error| error.unwrap_or(Measured(0.0)));
                expected.push((checkpoint.clone(), implementation.to_owned(), chained, isolated, used));
            }
        }
    }
    let peers = results.peers.into_iter();
    let found: Vec<_> = peers
        .map(|f| (f.checkpoint, f.implementation, f.chained_max_abs, f.isolated_max_abs, f.budget_used))
        .collect();
    assert!(found.len() > 20 && found.iter().any(|(_, _, chained, ..)| chained.0 > 0.0), "{found:?}");
    assert_eq!(found, expected);
}

#[test]
fn the_chained_error_grows_along_the_stream_and_is_told_of_everyone() {
    let results = Scene::correct().results();
    let names: BTreeSet<&str> = results.growth.iter().map(|row| row.name.as_str()).collect();
    let expected = ["embd", "generated.logits", "h.0.mid", "h.0.out", "h.1.mid", "h.1.out", "logits"]
        .into_iter()
        .collect();
    assert_eq!(names, expected);
    for row in &results.growth {
        let who: Vec<&str> = row.errors.iter().map(|error| error.implementation.as_str()).collect();
        assert_eq!(who, ["subject@f32", "first@f32", "second@f32"], "{}", row.name);
    }
    let of = |name: &str| results.growth.iter().find(|row| row.name == name).unwrap().errors[0].rmse.0;
    assert!(of("h.1.out") > of("embd"));
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
