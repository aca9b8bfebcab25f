//! The same question again, in other processes and with other thread counts: is the answer the same, bit for bit?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use capture::protocol::Job;
use capture::{CaptureFile, Case, Precision, TensorSource};
use checkpoint_spec::{
    ActivationDigest, Incident, REPEATS, RepeatDigests, Repeated, RepeatedActivation, SpecSet, Traits,
    activation_digest, compare_repeats, repeated_activations,
};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::captures::ImplementationCaptures;
use super::schedule::reference_source;
use super::{Produced, Request, capture_cache, digest};
use crate::cache;
use crate::implementation::{Implementation, ImplementationName, Means, Production};
use crate::progress::{Part, Progress};

/// Has everyone who computes in f32 repeat its run: the subject in every case, the references in the smallest, from the
/// cache where they did so before. What stops a repeat of the subject is an incident of the run.
pub(super) fn repeats(
    request: &Request,
    means: &Means,
    progress: &Progress,
    work: &Path,
    specs: &SpecSet,
    produced: &mut Produced,
) -> Result<Vec<Repeated>> {
    let desk = Desk { request, means, progress, specs, work };
    let all: Vec<Case> = request.cases.iter().map(|planned| planned.case.clone()).collect();
    let (repeated, incidents) = desk.subject(&all, produced)?;
    produced.subject.incidents.extend(incidents);
    let mut everyone: Vec<Repeated> = repeated.into_iter().collect();
    if let Some(smallest) = smallest(&all) {
        for name in &request.references {
            everyone.extend(desk.reference(name, smallest, produced)?);
        }
    }
    Ok(everyone)
}

/// The case with the fewest tokens, but more than one where there is such a case.
fn smallest(cases: &[Case]) -> Option<&Case> {
    cases.iter().min_by_key(|case| (case.tokens() < 2, case.batch() * case.tokens(), case.generate))
}

struct Desk<'a> {
    request: &'a Request,
    means: &'a Means,
    progress: &'a Progress,
    specs: &'a SpecSet,
    work: &'a Path,
}

/// One process that repeats.
struct Process {
    /// Counted from 1; the run that is judged is 0.
    number: usize,
    threads: usize,
    /// For each time, a job for each case.
    times: Vec<Vec<Job>>,
}

impl Desk<'_> {
    /// Nothing is repeated of a subject that was stopped: what it lacks is told of already.
    fn subject(&self, cases: &[Case], produced: &Produced) -> Result<(Option<Repeated>, Vec<Incident>)> {
        let captures = &produced.subject;
        let cases: Vec<&Case> = cases.iter().filter(|case| captures.cases.contains_key(&case.id)).collect();
        if !captures.incidents.is_empty() || cases.is_empty() {
            return Ok((None, Vec::new()));
        }
        let model = self.request.subject_model.as_ref().unwrap_or(&self.request.model);
        let asked: Vec<Case> = cases.iter().map(|case| (*case).clone()).collect();
        let activations = self.activations(&self.request.subject, &cases)?;
        let mut repeats = vec![self.judged(captures, &activations)];
        let mut incidents = Vec::new();
        for process in processes(&asked, |number, time, case| {
            Ok(self.work.join(format!("{}.repeat{number}-{time}.safetensors", case.id)))
        })? {
            let (found, incident) =
                self.compute_digests(&self.request.subject, &model.directory, &process, &activations)?;
            incidents.extend(incident);
            repeats.extend(found);
        }
        let ids = cases.iter().map(|case| case.id.clone()).collect();
        Ok((Some(compare_repeats(&captures.label, ids, &activations, &repeats)), incidents))
    }

    /// The repeats of a reference's f32 side. One that was stopped is told of already, and judges nothing by this.
    fn reference(&self, name: &str, case: &Case, produced: &Produced) -> Result<Option<Repeated>> {
        let who = ImplementationName { name: name.to_owned(), precision: Precision::F32 };
        let Some(captures) = produced.reference(name, who.precision) else { return Ok(None) };
        if captures.label == produced.subject.label || !captures.cases.contains_key(&case.id) {
            return Ok(None);
        }
        let activations = self.activations(&who, &[case])?;
        let mut repeats = vec![self.judged(captures, &activations)];
        let model = digest::of_files(&self.request.model.files()?)?;
        let source = reference_source(self.means)?;
        for process in processes(std::slice::from_ref(case), |number, time, case| {
            let case = serde_json::to_string(case)?;
            let question = format!("repeat {time} of process {number}, {REPEATS:?}");
            let parts = [&model, &source, name, who.precision.name(), &case, &question];
            Ok(capture_cache(self.means).join(format!("{}.safetensors", digest::of_parts(parts))))
        })? {
            let cached = process.times.iter().flatten().all(|job| CaptureFile::open(&job.output).is_ok());
            if (!cached || self.request.fresh)
                && self.compute(&who, &self.request.model.directory, &process)?.is_some()
            {
                return Ok(None);
            }
            repeats.extend(digests(&process, &activations, |job, of_case| {
                digests_of_case(of_case, job.map(|job| &job.output))
            }));
        }
        Ok(Some(compare_repeats(&captures.label, vec![case.id.clone()], &activations, &repeats)))
    }

    fn activations(&self, who: &ImplementationName, cases: &[&Case]) -> Result<Vec<RepeatedActivation>> {
        let name = who.start(self.means)?.name().to_owned();
        let traits = Traits::of(&name, self.request.model.tokenizer.is_some());
        Ok(repeated_activations(self.specs, &self.request.model.architecture, traits, cases.iter().copied())?)
    }

    /// The run that is judged, as the first of the repeats.
    fn judged(&self, captures: &ImplementationCaptures, activations: &[RepeatedActivation]) -> RepeatDigests {
        let of_case = |case: &str, activations: &[&RepeatedActivation]| {
            digests_of_case(activations, captures.cases.get(case))
        };
        RepeatDigests { process: 0, threads: self.means.threads, digests: digests_of(activations, of_case) }
    }

    /// Computes all repeats of one process, whose captures are kept; what stopped it or one of its jobs, if anything did.
    fn compute(&self, who: &ImplementationName, model: &Path, process: &Process) -> Result<Option<Incident>> {
        let produce = |implementation: &mut dyn Implementation, jobs: &[Job], part: &Part| {
            cache::produce(implementation, model, jobs, part, self.work)
        };
        self.start(who, process, produce)
    }

    /// The same, of captures that nobody keeps: each is gone once it has its digests, while the process goes on.
    fn compute_digests(
        &self,
        who: &ImplementationName,
        model: &Path,
        process: &Process,
        activations: &[RepeatedActivation],
    ) -> Result<(Vec<RepeatDigests>, Option<Incident>)> {
        let mut found: BTreeMap<PathBuf, Vec<ActivationDigest>> = BTreeMap::new();
        let produce = |implementation: &mut dyn Implementation, jobs: &[Job], part: &Part| {
            implementation.produce_each(model, jobs, part, &mut |job| {
                let of_case: Vec<&RepeatedActivation> =
                    activations.iter().filter(|activation| activation.case == job.case.id).collect();
                found.insert(job.output.clone(), digests_of_case(&of_case, Some(&job.output)));
                std::fs::remove_file(&job.output).with_context(|| job.output.display().to_string())
            })
        };
        let incident = self.start(who, process, produce)?;
        let of_case = |job: Option<&Job>, of_case: &[&RepeatedActivation]| {
            let found = job.and_then(|job| found.get(&job.output));
            found.cloned().unwrap_or_else(|| vec![None; of_case.len()])
        };
        Ok((digests(process, activations, of_case), incident))
    }

    fn start(
        &self,
        who: &ImplementationName,
        process: &Process,
        produce: impl FnOnce(&mut dyn Implementation, &[Job], &Part) -> Result<Production>,
    ) -> Result<Option<Incident>> {
        let means = Means { threads: process.threads, ..self.means.clone() };
        let mut implementation = who.start_apart(&means)?;
        let label = implementation.label();
        let jobs: Vec<Job> = process.times.iter().flatten().cloned().collect();
        for job in jobs.iter().filter(|job| job.output.exists()) {
            std::fs::remove_file(&job.output).with_context(|| job.output.display().to_string())?;
        }
        let part = self.progress.part(format!("{label}, repeated"), jobs.len());
        let production = produce(implementation.as_mut(), &jobs, &part)?;
        let failed = production.failures.into_iter().next().map(|(job, message)| Incident {
            implementation: label,
            case: jobs.get(job).map(|job| job.case.id.clone()),
            kind: "failed".to_owned(),
            message: format!("repeated in process {}: {message}", process.number),
        });
        let incident = production.incident.or(failed);
        part.finish(if incident.is_some() { "stopped" } else { "done" });
        Ok(incident)
    }
}

/// The processes that repeat these cases, with the file of each capture.
fn processes(
    cases: &[Case],
    output: impl Fn(usize, usize, &Case) -> Result<PathBuf>,
) -> Result<Vec<Process>> {
    let job = |number, time, case: &Case| Ok(Job { case: case.clone(), output: output(number, time, case)? });
    let process = |(index, &(threads, times)): (usize, &(usize, usize))| {
        let number = index + 1;
        let jobs = |time| cases.iter().map(|case| job(number, time, case)).collect::<Result<Vec<Job>>>();
        Ok(Process { number, threads, times: (0..times).map(jobs).collect::<Result<_>>()? })
    };
    REPEATS.iter().enumerate().map(process).collect()
}

/// The digests of each time that a process computed, by what a job of a case left.
fn digests(
    process: &Process,
    activations: &[RepeatedActivation],
    of_case: impl Fn(Option<&Job>, &[&RepeatedActivation]) -> Vec<ActivationDigest>,
) -> Vec<RepeatDigests> {
    let repeat = |jobs: &Vec<Job>| {
        let job = |case: &str| jobs.iter().find(|job| job.case.id == case);
        let digests = digests_of(activations, |case, activations| of_case(job(case), activations));
        RepeatDigests { process: process.number, threads: process.threads, digests }
    };
    process.times.iter().map(repeat).collect()
}

/// The digests of all activations, case by case.
fn digests_of(
    activations: &[RepeatedActivation],
    of_case: impl Fn(&str, &[&RepeatedActivation]) -> Vec<ActivationDigest>,
) -> Vec<ActivationDigest> {
    let cases = activations.chunk_by(|a, b| a.case == b.case);
    cases.flat_map(|chunk| of_case(&chunk[0].case, &chunk.iter().collect::<Vec<_>>())).collect()
}

/// Those of one case's capture. One that is not there, or is none, has none.
fn digests_of_case(activations: &[&RepeatedActivation], path: Option<&PathBuf>) -> Vec<ActivationDigest> {
    let capture = path.filter(|path| path.exists()).and_then(|path| CaptureFile::open(path).ok());
    let source = capture.as_ref().map(|capture| capture as &dyn TensorSource);
    activations.par_iter().map(|activation| activation_digest(&activation.name, source)).collect()
}
