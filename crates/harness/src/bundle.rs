//! The bundle of a run.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use capture::Case;
use checkpoint_spec::SpecSet;
use proof_bundle::{BundleContents, Diff, Git, Known, MaterialFile, Materials, RecordKind, spec_digest};

use crate::digest::files_below;
use crate::events::Progress;
use crate::implementation::{ImplementationName, Means};
use crate::materials::{
    Written, build, cpu, digest, digest_of_all, material_name, model_files, operating_system,
    repository_state, toolchain, write_diff,
};
use crate::place::Place;
use crate::request::Request;
use crate::run::Outcome;

/// Writes the bundle of a run and gives its directory.
pub fn write_bundle(
    folder: &Path,
    request: &Request,
    means: &Means,
    outcome: &Outcome,
    progress: &Progress,
) -> Result<PathBuf> {
    let part = progress.part("bundle", 1);
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let family = &request.model.architecture.family;
    let specs: Vec<(String, String)> = SpecSet::sources(family)?
        .into_iter()
        .map(|(file, text)| (file.to_string(), text.to_string()))
        .collect();
    let cases: Vec<Case> = request.cases.iter().map(|planned| planned.case.clone()).collect();
    let git = repository_state(&means.place.root);
    let is_dirty = git.as_ref().is_some_and(|git| git.dirty);
    let Written { diff, file } = match &git {
        Some(_) => write_diff(&means.place.root, is_dirty, outcome.work.path()),
        None => Written { diff: Known::Unknown("not in a git repository".to_owned()), file: None },
    };
    let materials = materials(request, means, &specs, git, diff)?;
    let contents = BundleContents {
        results: &outcome.results,
        materials: &materials,
        diff: file.as_deref(),
        model: materials.weights_in_bundle.then_some(request.model.directory.as_path()),
        specs: &specs,
        cases: &cases,
        captures: &outcome.captures,
        assays: &outcome.assays,
        day: SystemTime::now(),
    };
    let bundle = proof_bundle::write(folder, &contents)?;
    part.step();
    part.finish("written");
    Ok(bundle)
}

fn materials(
    request: &Request,
    means: &Means,
    specs: &[(String, String)],
    git: Option<Git>,
    diff: Known<Diff>,
) -> Result<Materials> {
    let Place { root, .. } = &means.place;
    let reference = means.place.reference();
    let (weights, tokenizer) = model_files(&request.model)?;
    let materials = Materials {
        schema: RecordKind::Materials.schema(),
        git,
        diff,
        cargo_lock: digest(&root.join("Cargo.lock"))?.0,
        python_lock: digest(&reference.join("requirements.lock"))?.0,
        reference_source: digest_of_all(&files_below(&reference.join("trialplate_reference"), &["py"])?)?,
        specs: spec_digest(specs),
        weights,
        tokenizer,
        weights_in_bundle: false,
        subject_weights: request
            .subject_model
            .as_ref()
            .map(|m| model_files(m).map(|(w, _)| w))
            .transpose()?,
        subject_executable: executable(&request.subject, means),
        subject_build: built(&request.subject, means),
        toolchain: toolchain(),
        cpu: cpu(),
        os: operating_system(),
        threads: request.threads,
    };
    Ok(Materials { weights_in_bundle: materials.model_fits_in_bundle(), ..materials })
}

/// The file that was started as the subject.
fn executable(subject: &ImplementationName, means: &Means) -> Known<MaterialFile> {
    let found = subject.executable(means).and_then(|path| {
        let name = material_name(&path);
        // Of this program what runs, even where another build has taken its place since.
        let running = Path::new("/proc/self/exe");
        let is_running = means.local(&subject.name).is_some() && running.exists();
        let (sha256, bytes) = digest(if is_running { running } else { &path })?;
        Ok(MaterialFile { name, bytes, sha256 })
    });
    found.map_or_else(|error| Known::Unknown(format!("{error:#}")), Known::Value)
}

/// How it was compiled.
fn built(subject: &ImplementationName, means: &Means) -> Known<proof_bundle::Build> {
    if means.local(&subject.name).is_some() {
        Known::Value(build())
    } else if subject.is_command() {
        Known::Unknown("built elsewhere; its file is all that is known".to_owned())
    } else {
        Known::Unknown("runs in Python; python_lock and reference_source say what it is made of".to_owned())
    }
}
