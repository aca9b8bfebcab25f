//! The laws' cases, run by the subject and by every reference at f64.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use capture::protocol::Job;
use capture::{CaptureFile, Precision, TensorSource};
use checkpoint_spec::{Incident, LawNumbers, LawSpec, law_cases, measure_law, refused_case};

use super::desk::{Asked, Desk, is_there, remove};
use crate::captures::{ImplementationCaptures, Produced};
use crate::request::Law;

/// Has everyone who owes the laws run their cases: the subject anew, the references from the cache where they did so
/// before. What stops them is an incident of the run.
pub(super) fn laws(desk: &Desk<'_>, law: Law<'_>, produced: &mut Produced) -> Result<Vec<LawNumbers>> {
    let mut numbers = Vec::new();
    if answered(&produced.subject) {
        let (measured, incident) = ask(desk, law, Asked::subject(desk.request))?;
        numbers.extend(measured);
        produced.subject.incidents.extend(incident);
    }
    for name in &desk.request.references {
        let key = (name.clone(), Precision::F64);
        let Some(captures) = produced.references.get_mut(&key).filter(|captures| answered(captures)) else {
            continue;
        };
        if captures.label != produced.subject.label {
            let (measured, incident) = ask(desk, law, Asked::reference(name, Precision::F64))?;
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

/// The questions that laws put to one implementation.
struct Questions<'a> {
    law: Law<'a>,
    laws: Vec<&'a LawSpec>,
    /// Cases to run, and the one to refuse where there is one.
    jobs: Vec<Job>,
    refused: Option<Job>,
}

fn ask(desk: &Desk<'_>, law: Law<'_>, asked: Asked) -> Result<(Vec<LawNumbers>, Option<Incident>)> {
    let asked = Asked { aside: Some("laws"), ..asked };
    let questions = Questions::new(desk, law, &asked)?;
    let reuses = desk.reuses(&asked);
    let is_answered = |job: &Job| is_there(job) || refusal(&job.output).exists();
    let jobs: Vec<Job> = questions.all().filter(|job| !reuses || !is_answered(job)).cloned().collect();
    jobs.iter().try_for_each(|job| remove(&refusal(&job.output)))?;
    let answers = desk.ask(&asked, &jobs, &mut |_| Ok(()))?;
    let mut problem = None;
    for (job, message) in answers.failures {
        if questions.refused.as_ref() == Some(&job) {
            let path = refusal(&job.output);
            std::fs::write(&path, &message).with_context(|| path.display().to_string())?;
        } else {
            problem = problem.or(Some(format!("case `{}`: {message}", job.case.id)));
        }
    }
    let measured = questions.measure(desk, &asked.who.label()?, problem.as_ref());
    if asked.is_subject {
        for job in questions.all() {
            remove(&job.output)?;
            remove(&refusal(&job.output))?;
        }
    }
    Ok((measured?, answers.incident))
}

impl<'a> Questions<'a> {
    fn new(desk: &Desk<'_>, law: Law<'a>, asked: &Asked) -> Result<Self> {
        let architecture = &desk.request.model.architecture;
        let laws: Vec<&LawSpec> =
            law.specs.laws().filter(|law| asked.is_subject || !law.subject_only).collect();
        let job = |case| desk.job(asked, &case, "law");
        let cases = law_cases(laws.iter().copied(), architecture);
        let refused = laws.iter().find_map(|law| refused_case(law.id, architecture));
        Ok(Self {
            law,
            jobs: cases.into_iter().map(job).collect::<Result<_>>()?,
            refused: refused.map(job).transpose()?,
            laws,
        })
    }

    fn all(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().chain(&self.refused)
    }

    /// What captures and answers come to.
    fn measure(&self, desk: &Desk<'_>, label: &str, problem: Option<&String>) -> Result<Vec<LawNumbers>> {
        let mut captures = BTreeMap::new();
        for job in self.jobs.iter().filter(|job| job.output.exists()) {
            // What is no capture is missing evidence, and a law that lacks evidence is incomplete.
            captures.extend(CaptureFile::open(&job.output).ok().map(|file| (job.case.id.clone(), file)));
        }
        let answer = self.refused.as_ref().and_then(answer);
        let material = (self.law.specs, &desk.request.model.architecture, Some(self.law.model));
        let capture = |case: &str| captures.get(case).map(|file| file as &dyn TensorSource);
        let measure = |law: &&LawSpec| -> Result<LawNumbers> {
            let numbers = measure_law(material, law, label, capture, answer.as_ref())?;
            Ok(LawNumbers {
                problem: problem.cloned().filter(|_| numbers.compared < numbers.required),
                ..numbers
            })
        };
        self.laws.iter().map(measure).collect()
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
