//! Who computes what, in which order.
//!
//! Every replay is fed the oracle implementation's f32 run, so that one comes first; everyone else follows, two
//! workers at a time. References' captures are kept by a digest of all that decides them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result};
use capture::protocol::{Job, Magnitudes, Task};
use capture::{CaptureFile, Case, Precision, Tensor, TensorName, TensorSource};
use checkpoint_spec::{Incident, SpecSet, first_flips_are_ties};

use proof_bundle::CapturePaths;

use super::captures::{ImplementationCaptures, Produced};
use super::{Request, capture_cache, digest, with_evidence};
use crate::implementation::{Implementation, ImplementationName, Means};
use crate::progress::Progress;

/// Workers that compute at the same time, each with its share of the threads.
const WORKERS: usize = 2;

/// Produces all captures of a run.
pub(crate) fn produce(
    request: &Request,
    means: &Means,
    progress: &Progress,
    work: &Path,
    law: (&SpecSet, f64),
) -> Result<Produced> {
    let mut produced = Produced::default();
    let desk = Desk { request, means, progress, work, law, source: reference_source(means)? };
    let mut rest: Vec<(String, Precision)> = Vec::new();
    for name in &request.references {
        rest.extend([(name.clone(), Precision::F64), (name.clone(), request.subject.precision.peer())]);
    }
    let mut inputs = BTreeMap::new();
    if let Some(oracle) = request.references.first() {
        let captures = desk.reference(oracle, Precision::F32, &desk.cases(), None)?;
        inputs = run_paths(&captures);
        produced.references.insert((oracle.clone(), Precision::F32), captures);
        rest.retain(|key| *key != (oracle.clone(), Precision::F32));
    }
    produced.references.extend(desk.references(rest, &inputs)?);
    produced.subject = desk.subject(&desk.cases(), &inputs)?;
    desk.teacher_force(&mut produced, &inputs)?;
    Ok(produced)
}

/// The chained runs by case: the inputs of replays.
fn run_paths(captures: &ImplementationCaptures) -> BTreeMap<String, PathBuf> {
    let runs = captures.cases.iter().filter_map(|(case, paths)| Some((case.clone(), paths.run.clone()?)));
    runs.collect()
}

/// Digest of what the Python references are: their source and their locked packages.
pub(super) fn reference_source(means: &Means) -> Result<String> {
    let folder = means.place.reference();
    let mut files = digest::files_below(&folder.join("trialplate_reference"), &["py"])?;
    files.push(folder.join("requirements.lock"));
    files.push(means.place.worker.clone());
    digest::of_files(&files)
}

struct Desk<'a> {
    request: &'a Request,
    means: &'a Means,
    progress: &'a Progress,
    work: &'a Path,
    /// The specs, and `c` of their rounding budgets.
    law: (&'a SpecSet, f64),
    source: String,
}

/// A job and where its capture is filed.
struct Filed {
    job: Job,
    replay: bool,
}

impl Desk<'_> {
    fn references(
        &self,
        keys: Vec<(String, Precision)>,
        inputs: &BTreeMap<String, PathBuf>,
    ) -> Result<BTreeMap<(String, Precision), ImplementationCaptures>> {
        let (queue, done) = (Mutex::new(keys.into_iter()), Mutex::new(BTreeMap::new()));
        let next = || queue.lock().map_or(None, |mut queue| queue.next());
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS)
                .map(|_| {
                    scope.spawn(|| -> Result<()> {
                        while let Some((name, precision)) = next() {
                            let captures = self.reference(&name, precision, &self.cases(), Some(inputs))?;
                            if let Ok(mut done) = done.lock() {
                                done.insert((name, precision), captures);
                            }
                        }
                        Ok(())
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread that runs references panicked")))
            })
        })?;
        Ok(done.into_inner().unwrap_or_default())
    }

    /// One reference's captures, cached ones where the same question was answered before. Without inputs, its own
    /// runs are the inputs of its replays.
    fn reference(
        &self,
        name: &str,
        precision: Precision,
        cases: &[Case],
        inputs: Option<&BTreeMap<String, PathBuf>>,
    ) -> Result<ImplementationCaptures> {
        let model = digest::of_files(&self.request.model.files()?)?;
        let threads = self.means.threads.to_string();
        let key_of = |case: &Case, question: &str| -> Result<PathBuf> {
            let case = serde_json::to_string(case)?;
            let parts = [&model, &self.source, name, precision.name(), &threads, &case, question];
            let file = format!("{}.safetensors", digest::of_parts(parts));
            Ok(capture_cache(self.means).join(file))
        };
        let mut filed = Vec::new();
        let mut runs = BTreeMap::new();
        for case in cases {
            let output = key_of(case, "run")?;
            runs.insert(case.id.clone(), output.clone());
            filed.push(Filed { job: Job { case: case.clone(), task: Task::Run, output }, replay: false });
        }
        for case in cases {
            let Some(inputs) = inputs.unwrap_or(&runs).get(&case.id).cloned() else { continue };
            let magnitudes = self.is_oracle(name, precision).then(|| self.magnitudes());
            let inputs_name = inputs.file_name().unwrap_or_default().to_string_lossy();
            let question = format!("replay {inputs_name} {magnitudes:?}");
            let task = Task::Replay { inputs, magnitudes };
            filed.push(Filed {
                job: Job { case: case.clone(), task, output: key_of(case, &question)? },
                replay: true,
            });
        }
        std::fs::create_dir_all(capture_cache(self.means))?;
        let name = ImplementationName { name: name.to_owned(), precision };
        let mut implementation = name.start(self.means)?;
        self.produce(implementation.as_mut(), &self.request.model.directory, filed, !self.request.fresh)
    }

    /// The bounds that the subject is held to.
    fn magnitudes(&self) -> Magnitudes {
        let (specs, confidence) = self.law;
        Magnitudes { confidence, storage: specs.storage(self.request.subject.precision) }
    }

    /// Whether it is the one whose results, with magnitudes, everyone is held against.
    fn is_oracle(&self, name: &str, precision: Precision) -> bool {
        precision == Precision::F64 && self.request.references.first().is_some_and(|oracle| oracle == name)
    }

    fn cases(&self) -> Vec<Case> {
        self.request.cases.iter().map(|planned| planned.case.clone()).collect()
    }

    fn subject(&self, cases: &[Case], inputs: &BTreeMap<String, PathBuf>) -> Result<ImplementationCaptures> {
        let mut implementation = self.request.subject.start(self.means)?;
        let model = self.request.subject_model.as_ref().unwrap_or(&self.request.model);
        let mut filed = Vec::new();
        for case in cases {
            filed.extend(self.subject_jobs(case, inputs));
        }
        self.produce(implementation.as_mut(), &model.directory, filed, false)
    }

    fn subject_jobs(&self, case: &Case, inputs: &BTreeMap<String, PathBuf>) -> Vec<Filed> {
        let output = |what: &str| self.work.join(format!("{}.{what}.safetensors", case.id));
        let run =
            Filed { job: Job { case: case.clone(), task: Task::Run, output: output("run") }, replay: false };
        let replay = inputs.get(&case.id).map(|inputs| Filed {
            job: Job {
                case: case.clone(),
                task: Task::Replay { inputs: inputs.clone(), magnitudes: None },
                output: output("replay"),
            },
            replay: true,
        });
        std::iter::once(run).chain(replay).collect()
    }

    /// Has the jobs done whose captures are not there, and files all that are there afterwards.
    fn produce(
        &self,
        implementation: &mut dyn Implementation,
        model: &Path,
        filed: Vec<Filed>,
        reuse: bool,
    ) -> Result<ImplementationCaptures> {
        let label = implementation.label();
        let mut captures =
            ImplementationCaptures { label: label.clone(), ..ImplementationCaptures::default() };
        let is_there = |filed: &&Filed| CaptureFile::open(&filed.job.output).is_ok();
        let jobs: Vec<Job> =
            filed.iter().filter(|filed| !reuse || !is_there(filed)).map(|filed| filed.job.clone()).collect();
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
            let production = implementation.produce(model, &jobs, &part)?;
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
        for Filed { job, replay } in filed.iter().filter(is_there) {
            let paths: &mut CapturePaths = captures.cases.entry(job.case.id.clone()).or_default();
            let slot = if *replay { &mut paths.replay } else { &mut paths.run };
            *slot = Some(job.output.clone());
            if captures.identity.is_none() {
                captures.identity = Some(CaptureFile::open(&job.output)?.identity().clone());
            }
        }
        Ok(captures)
    }

    /// Whoever generated other tokens than the oracle at f32 generates again, fed the oracle's: what it would say at
    /// each position is then comparable, past a tie as well. The subject only where it left the oracle at a tie: a wrong
    /// generation stands as it is, for the judge to see.
    fn teacher_force(&self, produced: &mut Produced, inputs: &BTreeMap<String, PathBuf>) -> Result<()> {
        let Some(oracle) = self.request.references.first() else { return Ok(()) };
        let Some(oracle) = produced.reference(oracle, Precision::F64).cloned() else { return Ok(()) };
        let mut again = Vec::new();
        for case in self.forced_cases(&oracle, &produced.subject)? {
            if self.left_at_ties(&case, produced)? {
                again.push(case);
            }
        }
        if !again.is_empty() {
            produced.forced.extend(again.iter().map(|case| (produced.subject.label.clone(), case.clone())));
            produced.subject.replace(self.subject(&again, inputs)?);
        }
        for ((name, precision), captures) in &mut produced.references {
            let again = self.forced_cases(&oracle, captures)?;
            // A reference that is the subject is no peer of itself, and its forced runs are not the subject's.
            let is_peer = *precision == self.request.subject.precision.peer()
                && captures.label != produced.subject.label;
            if is_peer && !again.is_empty() {
                produced.forced.extend(again.iter().map(|case| (captures.label.clone(), case.clone())));
                captures.replace(self.reference(name, *precision, &again, Some(inputs))?);
            }
        }
        Ok(())
    }

    fn left_at_ties(&self, case: &Case, produced: &Produced) -> Result<bool> {
        let Some(planned) = self.request.cases.iter().find(|planned| planned.case.id == case.id) else {
            return Ok(false);
        };
        with_evidence(self.request, self.means, self.law, planned, produced, first_flips_are_ties)
    }

    /// The cases in which an implementation generated other tokens than the oracle, with the oracle's to be fed.
    fn forced_cases(
        &self,
        oracle: &ImplementationCaptures,
        captures: &ImplementationCaptures,
    ) -> Result<Vec<Case>> {
        let mut forced_cases = Vec::new();
        for planned in self.request.cases.iter().filter(|planned| planned.case.generate > 0) {
            let id = &planned.case.id;
            let (expected, actual) = (generated(oracle, id)?, generated(captures, id)?);
            if let (Some(expected), Some(actual)) = (expected, actual)
                && expected.shape() == actual.shape()
                && expected != actual
            {
                let ids = expected.view().to_i64()?;
                let forced = ids.chunks(planned.case.generate).map(<[i64]>::to_vec).collect();
                forced_cases.push(Case { forced: Some(forced), ..planned.case.clone() });
            }
        }
        Ok(forced_cases)
    }
}

/// The ids that an implementation generated in a case.
pub(crate) fn generated(captures: &ImplementationCaptures, case: &str) -> Result<Option<Tensor>> {
    let Some(path) = captures.cases.get(case).and_then(|paths| paths.run.as_ref()) else { return Ok(None) };
    Ok(CaptureFile::open(path)?.tensor(&TensorName::of_case("generated"))?)
}
