//! The recorded digest of the run that is judged, against the tensors of the bundle. The other repeats left no tensors.

use std::path::Path;

use capture::{CaptureFile, Case, Precision, TensorSource};
use checkpoint_spec::{
    Repeated, RepeatedActivation, SpecSet, Traits, activation_digest, repeat_digest, repeated_activations,
};

use rayon::iter::{IntoParallelRefIterator, ParallelExtend, ParallelIterator};

use super::bag::SoundBag;
use super::records::{Law, Records};
use super::{Problem, Room, sound_if_none};
use crate::layout::{self, Role, capture_path};

/// Computes the first repeat's digest again for everyone whose repeats are recorded and whose tensors are here.
pub(super) fn check(directory: &Path, bag: &SoundBag, records: &Records, law: &Law) -> Room<()> {
    let mut problems = Vec::new();
    let digest_only = &records.results.tensors.digest_only;
    let stored = |repeated: &&Repeated| !repeated.cases.iter().any(|case| digest_only.contains(case));
    for repeated in records.results.determinism.implementations.iter().filter(stored) {
        match first_digest(directory, bag, records, &law.set, repeated) {
            Ok(digest) if Some(&digest) == repeated.repeats.first().map(|first| &first.sha256) => {}
            Ok(digest) => problems.push(Problem::at(
                layout::RESULTS,
                format!(
                    "determinism of {}: the digest of the judged run is recorded as {}; the tensors give {digest}",
                    repeated.implementation,
                    repeated.repeats.first().map_or("none", |first| &first.sha256)
                ),
            )),
            Err(problem) => problems.push(problem),
        }
    }
    sound_if_none(problems, ())
}

fn first_digest(
    directory: &Path,
    bag: &SoundBag,
    records: &Records,
    specs: &SpecSet,
    repeated: &Repeated,
) -> Result<String, Problem> {
    let results = &records.results;
    let unlawful = |error: checkpoint_spec::SpecError| Problem::at(layout::RESULTS, error.to_string());
    let (role, name) = role(records, repeated)?;
    let traits = Traits::of(name, !records.materials.tokenizer.is_empty());
    let cases: Vec<&Case> = records.cases.iter().filter(|case| repeated.cases.contains(&case.id)).collect();
    let activations = repeated_activations(specs, &results.architecture, traits, cases).map_err(unlawful)?;
    let folder = role.folder(results);
    let mut digests = Vec::with_capacity(activations.len());
    for of_case in activations.chunk_by(|a: &RepeatedActivation, b| a.case == b.case) {
        let path = capture_path(&folder, &of_case[0].case);
        let open = || {
            CaptureFile::open(&directory.join(&path)).map_err(|error| Problem::at(&path, error.to_string()))
        };
        let capture = bag.payload.contains_key(&path).then(open).transpose()?;
        let source = capture.as_ref().map(|capture| capture as &dyn TensorSource);
        let digest = |activation: &RepeatedActivation| activation_digest(&activation.name, source);
        digests.par_extend(of_case.par_iter().map(digest));
    }
    Ok(repeat_digest(&activations, &digests))
}

/// Whose captures of the bundle the repeats begin with.
fn role<'a>(records: &'a Records, repeated: &Repeated) -> Result<(Role, &'a str), Problem> {
    let results = &records.results;
    if repeated.implementation == results.subject.to_string() {
        return Ok((Role::Subject, &results.subject.name));
    }
    let is_of = |name: &str| repeated.implementation == format!("{name}@{}", Precision::F32);
    let reference = results.references.iter().find(|reference| is_of(&reference.name));
    let reference = reference.ok_or_else(|| {
        let message = format!("repeats of {} are recorded, which took no part", repeated.implementation);
        Problem::at(layout::RESULTS, message)
    })?;
    Ok((Role::Reference { name: reference.name.clone(), precision: Precision::F32 }, &reference.name))
}
