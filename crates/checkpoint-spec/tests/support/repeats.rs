//! The subject, asked the same again.

use checkpoint_spec::{
    ActivationDigest, REPEATS, RepeatDigests, Repeated, RepeatedActivation, activation_digest,
    compare_repeats, repeated_activations,
};

use super::{Scene, view};

/// What every run of the scene's cases must leave.
pub(crate) fn activations(scene: &Scene) -> Vec<RepeatedActivation> {
    let facts = &scene.facts;
    let cases = facts.cases.iter().map(|(case, _)| case);
    repeated_activations(&scene.specs, &facts.architecture, facts.traits, cases).unwrap()
}

/// The repeats of a subject that computes as before, but for what `change` does to the digests of the repeat at an
/// index.
pub(crate) fn of_subject(scene: &Scene, change: impl Fn(usize, &mut Vec<ActivationDigest>)) -> Repeated {
    let activations = activations(scene);
    let run = |case: &str| view(&scene.evidence.iter().find(|e| e.case.id == case)?.subject);
    let digests: Vec<_> = activations.iter().map(|a| activation_digest(&a.name, run(&a.case))).collect();
    let processes = [(0, 2)].into_iter().chain(
        REPEATS.iter().enumerate().flat_map(|(index, &(threads, times))| vec![(index + 1, threads); times]),
    );
    let mut repeats = Vec::new();
    for (index, (process, threads)) in processes.enumerate() {
        let mut digests = digests.clone();
        change(index, &mut digests);
        repeats.push(RepeatDigests { process, threads, digests });
    }
    let cases = scene.evidence.iter().map(|evidence| evidence.case.id.clone()).collect();
    compare_repeats(&scene.facts.subject.to_string(), cases, &activations, &repeats)
}
