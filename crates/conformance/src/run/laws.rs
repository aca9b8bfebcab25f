//! The laws' cases, run by the subject and by every reference at f64.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use capture::protocol::Job;
use capture::{CaptureFile, Case, Precision, TensorSource};
use checkpoint_spec::{Incident, LawNumbers, LawSpec, law_cases, measure_law, refused_case};

use super::captures::ImplementationCaptures;
use super::schedule::reference_source;
use super::{Law, Produced, Request, capture_cache, digest};
use crate::cache;
use crate::implementation::{ImplementationName, Means};
use crate::progress::Progress;

/// Has everyone who owes the laws run their cases: the subject anew, the references from the cache where they did so
/// before. What stops them is an incident of the run.
pub(super) fn laws(
    request: &Request,
    means: &Means,
    progress: &Progress,
    work: &Path,
    law: Law<'_>,
    produced: &mut Produced,
) -> Result<Vec<LawNumbers>> {
    let desk = Desk { request, means, progress, law, work };
    let mut numbers = Vec::new();
    if answered(&produced.subject) {
        let (measured, incident) = desk.subject()?;
        numbers.extend(measured);
        produced.subject.incidents.extend(incident);
    }
    let source = reference_source(means)?;
    for name in &request.references {
        let key = (name.clone(), Precision::F64);
        let Some(captures) = produced.references.get_mut(&key).filter(|captures| answered(captures)) else {
            continue;
        };
        if captures.label != produced.subject.label {
            let (measured, incident) = desk.reference(name, &source)?;
            numbers.extend(measured);
            captures.incidents.extend(incident);
        }
    }
    Ok(numbers)
}

/// Nothing more is asked of an implementation that was stopped: what it lacks is told of already.
fn answered(captures: &ImplementationCaptures) -> bool {
    captures.incidents.is_empty() && !captures.cases.is_empty()
}

type Measured = (Vec<LawNumbers>, Option<Incident>);

struct Desk<'a> {
    request: &'a Request,
    means: &'a Means,
    progress: &'a Progress,
    law: Law<'a>,
    work: &'a Path,
}

/// The questions that laws put to one implementation.
struct Questions<'a> {
    laws: Vec<&'a LawSpec>,
    /// Cases to run, and the one to refuse where there is one.
    jobs: Vec<Job>,
    refused: Option<Job>,
}

impl Desk<'_> {
    fn subject(&self) -> Result<Measured> {
        let questions =
            self.questions(true, |case| Ok(self.work.join(format!("{}.safetensors", case.id))))?;
        let model = self.request.subject_model.as_ref().unwrap_or(&self.request.model);
        let measured = self.ask(&self.request.subject, &model.directory, &questions, false);
        for job in questions.jobs.iter().chain(&questions.refused) {
            remove(&job.output)?;
            remove(&refusal(&job.output))?;
        }
        measured
    }

    fn reference(&self, name: &str, source: &str) -> Result<Measured> {
        let who = ImplementationName { name: name.to_owned(), precision: Precision::F64 };
        let model = digest::of_files(&self.request.model.files()?)?;
        let threads = self.means.threads.to_string();
        let questions = self.questions(false, |case| {
            let case = serde_json::to_string(case)?;
            let parts = [&model, source, name, who.precision.name(), &threads, &case, "law"];
            Ok(capture_cache(self.means).join(format!("{}.safetensors", digest::of_parts(parts))))
        })?;
        std::fs::create_dir_all(capture_cache(self.means))?;
        self.ask(&who, &self.request.model.directory, &questions, !self.request.fresh)
    }

    fn questions(
        &self,
        is_subject: bool,
        output: impl Fn(&Case) -> Result<PathBuf>,
    ) -> Result<Questions<'_>> {
        let architecture = &self.request.model.architecture;
        let laws: Vec<&LawSpec> =
            self.law.specs.laws().filter(|law| is_subject || !law.subject_only).collect();
        let job = |case: Case| Ok(Job { output: output(&case)?, case });
        let cases = law_cases(laws.iter().copied(), architecture);
        let refused = laws.iter().find_map(|law| refused_case(law.id, architecture));
        Ok(Questions {
            jobs: cases.into_iter().map(job).collect::<Result<_>>()?,
            refused: refused.map(job).transpose()?,
            laws,
        })
    }

    fn ask(
        &self,
        who: &ImplementationName,
        model: &Path,
        questions: &Questions<'_>,
        reuse: bool,
    ) -> Result<Measured> {
        let mut implementation = who.start(self.means)?;
        let label = implementation.label();
        let everything = questions.jobs.iter().chain(&questions.refused);
        let is_there = |job: &Job| CaptureFile::open(&job.output).is_ok() || refusal(&job.output).exists();
        let jobs: Vec<Job> = everything.filter(|job| !reuse || !is_there(job)).cloned().collect();
        let part = self.progress.part(format!("{label}, laws"), jobs.len());
        let (mut incident, mut failures) = (None, BTreeMap::new());
        if jobs.is_empty() {
            part.finish("cached");
        } else {
            for job in &jobs {
                remove(&job.output)?;
                remove(&refusal(&job.output))?;
            }
            let production = cache::produce(implementation.as_mut(), model, &jobs, &part, self.work)?;
            part.finish(if production.incident.is_some() { "stopped" } else { "done" });
            incident = production.incident;
            failures = production.failures;
        }
        let mut problem = None;
        for (index, message) in failures {
            match jobs.get(index) {
                Some(job) if questions.refused.as_ref() == Some(job) => {
                    std::fs::write(refusal(&job.output), &message)
                        .with_context(|| job.output.display().to_string())?;
                }
                Some(job) => problem = problem.or(Some(format!("case `{}`: {message}", job.case.id))),
                None => {}
            }
        }
        Ok((self.measure(&label, questions, problem.as_ref())?, incident))
    }

    fn measure(
        &self,
        label: &str,
        questions: &Questions<'_>,
        problem: Option<&String>,
    ) -> Result<Vec<LawNumbers>> {
        let mut captures = BTreeMap::new();
        for job in questions.jobs.iter().filter(|job| job.output.exists()) {
            // What is no capture is missing evidence, and a law that lacks evidence is incomplete.
            captures.extend(CaptureFile::open(&job.output).ok().map(|file| (job.case.id.clone(), file)));
        }
        let answer = questions.refused.as_ref().and_then(answer);
        let material = (self.law.specs, &self.request.model.architecture, Some(self.law.model));
        let capture = |case: &str| captures.get(case).map(|file| file as &dyn TensorSource);
        let measure = |law: &&LawSpec| -> Result<LawNumbers> {
            let numbers = measure_law(material, law, label, capture, answer.as_ref())?;
            Ok(LawNumbers {
                problem: problem.cloned().filter(|_| numbers.compared < numbers.required),
                ..numbers
            })
        };
        questions.laws.iter().map(measure).collect()
    }
}

/// Where a refusal is kept: a job that is refused leaves no capture.
fn refusal(output: &Path) -> PathBuf {
    output.with_extension("refused")
}

/// What was said to the case that must be refused; none where nothing was.
fn answer(job: &Job) -> Option<Result<(), String>> {
    if CaptureFile::open(&job.output).is_ok() {
        return Some(Ok(()));
    }
    std::fs::read_to_string(refusal(&job.output)).ok().map(Err)
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}
