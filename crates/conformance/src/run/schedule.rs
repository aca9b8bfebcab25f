//! Who computes what, in which order.
//!
//! Everyone runs every case, two at a time. References' captures are kept by a digest of all that decides
//! them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, Result};
use capture::protocol::Job;
use capture::{CaptureFile, Case, Precision, Tensor, TensorName, TensorSource};
use checkpoint_spec::Incident;

use super::captures::{ImplementationCaptures, Produced};
use super::{Request, capture_cache, digest};
use crate::cache::{self, touch};
use crate::implementation::{Implementation, ImplementationName, Means, worker_program};
use crate::progress::Progress;

/// Implementations that compute at the same time: a reference in tinygrad uses little more than one core.
const WORKERS: usize = 2;

/// Produces all captures of a run.
pub(crate) fn produce(
    request: &Request,
    means: &Means,
    progress: &Progress,
    work: &Path,
) -> Result<Produced> {
    let desk = Desk { request, means, progress, work, source: reference_source(means)? };
    let precisions = [Precision::F64, request.subject.precision.peer()];
    let keys = request.references.iter().flat_map(|name| precisions.map(|at| (name.clone(), at)));
    // The subject comes last: it takes the place of the reference that is done first.
    let everyone: Vec<Who> = keys.map(Some).chain([None]).collect();
    let mut done = desk.everyone(everyone)?;
    let subject = done.remove(&None).unwrap_or_default();
    let references = done.into_iter().filter_map(|(who, captures)| Some((who?, captures))).collect();
    Ok(Produced { subject, references })
}

/// A reference, or the subject.
type Who = Option<(String, Precision)>;

/// Digest of what the Python references are: their source and their locked packages.
pub(super) fn reference_source(means: &Means) -> Result<String> {
    let folder = means.place.reference();
    let mut files = digest::files_below(&folder.join("trialplate_reference"), &["py"])?;
    files.push(folder.join("requirements.lock"));
    files.push(worker_program(&means.place)?.to_owned());
    digest::of_files(&files)
}

struct Desk<'a> {
    request: &'a Request,
    means: &'a Means,
    progress: &'a Progress,
    work: &'a Path,
    source: String,
}

impl Desk<'_> {
    /// What everyone leaves, so many at a time.
    fn everyone(&self, everyone: Vec<Who>) -> Result<BTreeMap<Who, ImplementationCaptures>> {
        let (queue, done) = (Mutex::new(everyone.into_iter()), Mutex::new(BTreeMap::new()));
        let next = || queue.lock().map_or(None, |mut queue| queue.next());
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS)
                .map(|_| {
                    scope.spawn(|| -> Result<()> {
                        while let Some(who) = next() {
                            let captures = match &who {
                                Some((name, precision)) => self.reference(name, *precision)?,
                                None => self.subject()?,
                            };
                            if let Ok(mut done) = done.lock() {
                                done.insert(who, captures);
                            }
                        }
                        Ok(())
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread that runs implementations panicked")))
            })
        })?;
        Ok(done.into_inner().unwrap_or_default())
    }

    /// One reference's captures, cached ones where the same question was answered before.
    fn reference(&self, name: &str, precision: Precision) -> Result<ImplementationCaptures> {
        let model = digest::of_files(&self.request.model.files()?)?;
        let threads = self.means.threads.to_string();
        let job = |case: &Case| -> Result<Job> {
            let text = serde_json::to_string(case)?;
            let parts = [&model, &self.source, name, precision.name(), &threads, &text, "run"];
            let file = format!("{}.safetensors", digest::of_parts(parts));
            Ok(Job { case: case.clone(), output: capture_cache(self.means).join(file) })
        };
        let jobs = self.cases().map(job).collect::<Result<Vec<Job>>>()?;
        std::fs::create_dir_all(capture_cache(self.means))?;
        let name = ImplementationName { name: name.to_owned(), precision };
        let mut implementation = name.start(self.means)?;
        let reuse = !self.request.fresh;
        self.produce(implementation.as_mut(), &self.request.model.directory, &jobs, (true, reuse))
    }

    fn cases(&self) -> impl Iterator<Item = &Case> {
        self.request.cases.iter().map(|planned| &planned.case)
    }

    fn subject(&self) -> Result<ImplementationCaptures> {
        let mut implementation = self.request.subject.start(self.means)?;
        let model = self.request.subject_model.as_ref().unwrap_or(&self.request.model);
        let output = |case: &Case| self.work.join(format!("{}.run.safetensors", case.id));
        let jobs: Vec<Job> =
            self.cases().map(|case| Job { case: case.clone(), output: output(case) }).collect();
        self.produce(implementation.as_mut(), &model.directory, &jobs, (false, false))
    }

    /// Has the jobs done whose captures are not there, and files all that are there afterwards. `is_kept` says whether they
    /// outlast the run.
    fn produce(
        &self,
        implementation: &mut dyn Implementation,
        model: &Path,
        wanted: &[Job],
        (is_kept, reuse): (bool, bool),
    ) -> Result<ImplementationCaptures> {
        let label = implementation.label();
        let mut captures =
            ImplementationCaptures { label: label.clone(), ..ImplementationCaptures::default() };
        let is_there = |job: &&Job| CaptureFile::open(&job.output).is_ok();
        let jobs: Vec<Job> = wanted.iter().filter(|job| !reuse || !is_there(job)).cloned().collect();
        let part = self.progress.part(label.clone(), jobs.len());
        if jobs.is_empty() {
            part.finish("cached");
        } else {
            for job in &jobs {
                match std::fs::remove_file(&job.output) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(error).with_context(|| job.output.display().to_string());
                    }
                    _ => {}
                }
            }
            let production = if is_kept {
                cache::produce(implementation, model, &jobs, &part, self.work)?
            } else {
                implementation.produce(model, &jobs, &part)?
            };
            part.finish(if production.incident.is_some() { "stopped" } else { "done" });
            captures.identity = production.identity;
            captures.incidents.extend(production.incident);
            captures.incidents.extend(production.failures.into_iter().map(|(job, message)| Incident {
                implementation: label.clone(),
                case: jobs.get(job).map(|job| job.case.id.clone()),
                kind: "failed".to_owned(),
                message,
            }));
        }
        for job in wanted.iter().filter(is_there) {
            touch(&job.output);
            captures.cases.insert(job.case.id.clone(), job.output.clone());
            if captures.identity.is_none() {
                captures.identity = Some(CaptureFile::open(&job.output)?.identity().clone());
            }
        }
        Ok(captures)
    }
}

/// The ids that an implementation generated in a case.
pub(crate) fn generated(captures: &ImplementationCaptures, case: &str) -> Result<Option<Tensor>> {
    let Some(path) = captures.cases.get(case) else { return Ok(None) };
    Ok(CaptureFile::open(path)?.tensor(&TensorName::of_case("generated"))?)
}
