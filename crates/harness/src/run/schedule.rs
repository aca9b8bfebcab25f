//! Who computes what, in which order: everyone runs every case, two at a time.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::Result;
use capture::protocol::Job;
use capture::{CaptureFile, Precision};

use super::desk::{Asked, Desk, failed, is_there};
use crate::cache::touch;
use crate::captures::{ImplementationCaptures, Produced};

/// Implementations that compute at the same time: a reference in tinygrad uses little more than one core.
const WORKERS: usize = 2;

/// Produces all captures of a run.
pub(super) fn produce(desk: &Desk<'_>) -> Result<Produced> {
    let precisions = [Precision::F64, desk.request.subject.precision.peer()];
    let keys = desk.request.references.iter().flat_map(|name| precisions.map(|at| (name.clone(), at)));
    // The subject comes last: it takes the place of the reference that is done first.
    let everyone: Vec<Who> = keys.map(Some).chain([None]).collect();
    let mut done = every(desk, everyone)?;
    let subject = done.remove(&None).unwrap_or_default();
    let references = done.into_iter().filter_map(|(who, captures)| Some((who?, captures))).collect();
    Ok(Produced { subject, references })
}

/// A reference, or the subject.
type Who = Option<(String, Precision)>;

/// What everyone leaves, so many at a time.
fn every(desk: &Desk<'_>, everyone: Vec<Who>) -> Result<BTreeMap<Who, ImplementationCaptures>> {
    let (queue, done) = (Mutex::new(everyone.into_iter()), Mutex::new(BTreeMap::new()));
    let next = || queue.lock().map_or(None, |mut queue| queue.next());
    let work = || -> Result<()> {
        while let Some(who) = next() {
            let asked = match &who {
                Some((name, precision)) => Asked::reference(name, *precision),
                None => Asked::subject(desk.request),
            };
            let captures = captures(desk, &asked)?;
            if let Ok(mut done) = done.lock() {
                done.insert(who, captures);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            let panicked = |_| Err(anyhow::anyhow!("a thread that runs implementations panicked"));
            worker.join().unwrap_or_else(panicked)
        })
    })?;
    Ok(done.into_inner().unwrap_or_default())
}

/// Has the cases run whose captures are not there, and files all that are there afterwards.
fn captures(desk: &Desk<'_>, asked: &Asked) -> Result<ImplementationCaptures> {
    let wanted = desk.cases().map(|case| desk.job(asked, case, "run")).collect::<Result<Vec<Job>>>()?;
    let reuses = desk.reuses(asked);
    let jobs: Vec<Job> = wanted.iter().filter(|job| !reuses || !is_there(job)).cloned().collect();
    let answers = desk.ask(asked, &jobs, &mut |_| Ok(()))?;
    let failures = answers.failures.into_iter().map(|(job, message)| failed(asked, &job, message));
    let mut captures = ImplementationCaptures {
        label: asked.who.label()?,
        identity: answers.identity,
        incidents: answers.incident.into_iter().map(Ok).chain(failures).collect::<Result<_>>()?,
        ..ImplementationCaptures::default()
    };
    for job in wanted.iter().filter(|job| is_there(job)) {
        touch(&job.output);
        captures.cases.insert(job.case.id.clone(), job.output.clone());
        if captures.identity.is_none() {
            captures.identity = Some(CaptureFile::open(&job.output)?.identity().clone());
        }
    }
    Ok(captures)
}
