//! One way from jobs to captures, for a run, for its repeats and for its laws: what references leave is kept by a digest of all
//! that decides it, what a subject leaves is the run's alone.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use capture::protocol::Job;
use capture::{CaptureFile, Case, Identity, Precision};
use checkpoint_spec::Incident;

use crate::events::Progress;
use crate::implementation::{Done, ImplementationName, Means, bridge};
use crate::request::Request;
use crate::{cache, digest};

/// Where jobs are handed out.
pub(super) struct Desk<'a> {
    pub(super) request: &'a Request,
    pub(super) means: &'a Means,
    pub(super) progress: &'a Progress,
    pub(super) work: &'a Path,
    /// Digests of the model, and of what the references are.
    sources: [String; 2],
}

/// Who is asked.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) who: ImplementationName,
    pub(super) is_subject: bool,
    /// Threads that it computes with, in a process of its own; none for the process and the threads of the run.
    pub(super) apart: Option<usize>,
    /// What is asked beside the run itself.
    pub(super) aside: Option<&'static str>,
}

/// What came of jobs beside their captures.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) identity: Option<Identity>,
    /// Jobs that left nothing, each with the reason.
    pub(super) failures: Vec<(Job, String)>,
    /// What stopped the whole implementation.
    pub(super) incident: Option<Incident>,
}

impl Asked {
    /// The subject, in the process of the run.
    pub(super) fn subject(request: &Request) -> Self {
        Self { who: request.subject.clone(), is_subject: true, apart: None, aside: None }
    }

    /// A reference.
    pub(super) fn reference(name: &str, precision: Precision) -> Self {
        let who = ImplementationName { name: name.to_owned(), precision };
        Self { who, is_subject: false, apart: None, aside: None }
    }
}

impl<'a> Desk<'a> {
    pub(super) fn new(
        request: &'a Request,
        means: &'a Means,
        progress: &'a Progress,
        work: &'a Path,
    ) -> Result<Self> {
        std::fs::create_dir_all(means.place.captures())?;
        // Where nobody is asked, nobody has to be there.
        let of_references =
            if request.references.is_empty() { String::new() } else { reference_source(means)? };
        let sources = [digest::of_files(&request.model.files()?)?, of_references];
        Ok(Self { request, means, progress, work, sources })
    }

    /// The cases of the run.
    pub(super) fn cases(&self) -> impl Iterator<Item = &'a Case> + use<'a> {
        self.request.cases.iter().map(|planned| &planned.case)
    }

    /// A job, with the place of its capture. The question is a word for what else decides it.
    pub(super) fn job(&self, asked: &Asked, case: &Case, question: &str) -> Result<Job> {
        let output = if asked.is_subject {
            self.work.join(format!("{}.{question}.safetensors", case.id))
        } else {
            let threads = asked.apart.unwrap_or(self.means.threads).to_string();
            let [model, source] = &self.sources;
            let ImplementationName { name, precision } = &asked.who;
            let text = serde_json::to_string(case)?;
            let parts = [model, source, name, precision.name(), &threads, &text, question];
            self.means.place.captures().join(format!("{}.safetensors", digest::of_parts(parts)))
        };
        Ok(Job { case: case.clone(), output })
    }

    /// Whether captures that are there answer a question: those of references do, unless they are to be computed anew.
    pub(super) fn reuses(&self, asked: &Asked) -> bool {
        !asked.is_subject && !self.request.fresh
    }

    /// Has jobs done; `done` is told of each that left its capture, where it is the run's alone.
    pub(super) fn ask(&self, asked: &Asked, jobs: &[Job], done: Done<'_>) -> Result<Answers> {
        let means = Means { threads: asked.apart.unwrap_or(self.means.threads), ..self.means.clone() };
        let mut implementation = match asked.apart {
            Some(_) => asked.who.start_apart(&means)?,
            None => asked.who.start(&means)?,
        };
        let aside = asked.aside.map_or_else(String::new, |aside| format!(", {aside}"));
        let part = self.progress.part(format!("{}{aside}", implementation.label()), jobs.len());
        if jobs.is_empty() {
            part.finish("cached");
            return Ok(Answers::default());
        }
        jobs.iter().try_for_each(|job| remove(&job.output))?;
        let production = if asked.is_subject {
            let model = &self.request.model_of_subject().directory;
            implementation.produce_each(model, jobs, &part, done)?
        } else {
            let model = &self.request.model.directory;
            cache::produce(implementation.as_mut(), model, jobs, &part, self.work)?
        };
        part.finish(if production.incident.is_some() { "stopped" } else { "done" });
        let failures = production.failures.into_iter();
        Ok(Answers {
            identity: production.identity,
            failures: failures.filter_map(|(job, why)| Some((jobs.get(job)?.clone(), why))).collect(),
            incident: production.incident,
        })
    }
}

/// An incident of one job that failed.
pub(super) fn failed(asked: &Asked, job: &Job, message: String) -> Result<Incident> {
    let (implementation, case) = (asked.who.label()?, Some(job.case.id.clone()));
    Ok(Incident { implementation, case, kind: "failed".to_owned(), message })
}

/// Whether a job left its capture.
pub(super) fn is_there(job: &Job) -> bool {
    CaptureFile::open(&job.output).is_ok()
}

/// Removes a file, if there is one.
pub(super) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

/// Digest of what the Python references are: their source and their locked packages.
fn reference_source(means: &Means) -> Result<String> {
    let folder = means.place.reference();
    let mut files: Vec<PathBuf> = digest::files_below(&folder.join("trialplate_reference"), &["py"])?;
    files.push(folder.join("requirements.lock"));
    files.push(bridge(&means.place)?.to_owned());
    digest::of_files(&files)
}
