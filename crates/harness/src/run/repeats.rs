//! The same question again, in other processes and with other thread counts: is the answer the same, bit for bit?

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use capture::protocol::Job;
use capture::{CaptureFile, Case, Precision, TensorSource};
use checkpoint_spec::{
    ActivationDigest, Incident, REPEATS, RepeatDigests, Repeated, RepeatedActivation, SpecSet,
    activation_digest, compare_repeats, repeated_activations,
};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::desk::{Answers, Asked, Desk, failed, is_there};
use crate::captures::{ImplementationCaptures, Produced};

/// Has everyone who computes in f32 repeat its run: the subject in every case, the references in the smallest, from the
/// cache where they did so before. What stops a repeat of the subject is an incident of the run.
pub(super) fn repeats(desk: &Desk<'_>, specs: &SpecSet, produced: &mut Produced) -> Result<Vec<Repeated>> {
    let mut everyone: Vec<Repeated> = Vec::new();
    // Nothing is repeated of a subject that was stopped: what it lacks is told of already.
    let subject = &produced.subject;
    let cases: Vec<&Case> = desk.cases().filter(|case| subject.cases.contains_key(&case.id)).collect();
    if subject.incidents.is_empty() && !cases.is_empty() {
        let (repeated, incidents) = repeated(desk, specs, Asked::subject(desk.request), &cases, subject)?;
        everyone.push(repeated);
        produced.subject.incidents.extend(incidents);
    }
    for name in &desk.request.references {
        let Some(captures) = produced.reference(name, Precision::F32) else { continue };
        let Some(case) = smallest(desk).filter(|case| captures.cases.contains_key(&case.id)) else {
            continue;
        };
        if captures.label == produced.subject.label {
            continue;
        }
        let asked = Asked::reference(name, Precision::F32);
        let (repeated, incidents) = repeated(desk, specs, asked, &[case], captures)?;
        // A reference that was stopped is told of already, and judges nothing by this.
        if incidents.is_empty() {
            everyone.push(repeated);
        }
    }
    Ok(everyone)
}

/// The case with the fewest tokens, but more than one where there is such a case.
fn smallest<'a>(desk: &Desk<'a>) -> Option<&'a Case> {
    desk.cases().min_by_key(|case| (case.tokens() < 2, case.batch() * case.tokens(), case.generate))
}

/// One process that repeats.
struct Process {
    /// Counted from 1; the run that is judged is 0.
    number: usize,
    threads: usize,
    /// For each time, a job for each case.
    times: Vec<Vec<Job>>,
}

/// All repeats of one implementation, and what stopped any of them.
fn repeated(
    desk: &Desk<'_>,
    specs: &SpecSet,
    asked: Asked,
    cases: &[&Case],
    captures: &ImplementationCaptures,
) -> Result<(Repeated, Vec<Incident>)> {
    let request = desk.request;
    let traits = asked.who.traits(request.model.tokenizer.is_some())?;
    let activations =
        repeated_activations(specs, &request.model.architecture, traits, cases.iter().copied())?;
    let (mut repeats, mut incidents) = (vec![judged(desk, captures, &activations)], Vec::new());
    for (index, &(threads, times)) in REPEATS.iter().enumerate() {
        let number = index + 1;
        let asked = Asked { apart: Some(threads), aside: Some("repeated"), ..asked.clone() };
        let job = |time, case: &&Case| desk.job(&asked, case, &format!("repeat{number}-{time}"));
        let jobs = |time| cases.iter().map(|case| job(time, case)).collect::<Result<Vec<Job>>>();
        let process = Process { number, threads, times: (0..times).map(jobs).collect::<Result<_>>()? };
        let (found, incident) = compute(desk, &asked, &process, &activations)?;
        incidents.extend(incident);
        repeats.extend(found);
        if !asked.is_subject && !incidents.is_empty() {
            break;
        }
    }
    let ids = cases.iter().map(|case| case.id.clone()).collect();
    Ok((compare_repeats(&captures.label, ids, &activations, &repeats), incidents))
}

/// The run that is judged, as the first of the repeats.
fn judged(
    desk: &Desk<'_>,
    captures: &ImplementationCaptures,
    activations: &[RepeatedActivation],
) -> RepeatDigests {
    let of_case = |case: &str, activations: &[&RepeatedActivation]| {
        digests_of_case(activations, captures.cases.get(case))
    };
    RepeatDigests { process: 0, threads: desk.means.threads, digests: digests_of(activations, of_case) }
}

/// All repeats of one process, and what stopped it or one of its jobs. Captures that nobody keeps are gone once they have their
/// digests, while the process goes on.
fn compute(
    desk: &Desk<'_>,
    asked: &Asked,
    process: &Process,
    activations: &[RepeatedActivation],
) -> Result<(Vec<RepeatDigests>, Option<Incident>)> {
    let mut found: BTreeMap<PathBuf, Vec<ActivationDigest>> = BTreeMap::new();
    let jobs: Vec<Job> = process.times.iter().flatten().cloned().collect();
    let answers = if desk.reuses(asked) && jobs.iter().all(is_there) {
        Answers::default()
    } else {
        desk.ask(asked, &jobs, &mut |job| {
            let of_case: Vec<&RepeatedActivation> =
                activations.iter().filter(|activation| activation.case == job.case.id).collect();
            found.insert(job.output.clone(), digests_of_case(&of_case, Some(&job.output)));
            std::fs::remove_file(&job.output).with_context(|| job.output.display().to_string())
        })?
    };
    let failed = answers.failures.into_iter().next().map(|(job, message)| {
        failed(asked, &job, format!("repeated in process {}: {message}", process.number))
    });
    let of_case = |job: Option<&Job>, of_case: &[&RepeatedActivation]| match job {
        Some(job) if !asked.is_subject => digests_of_case(of_case, Some(&job.output)),
        job => {
            let found = job.and_then(|job| found.get(&job.output));
            found.cloned().unwrap_or_else(|| vec![None; of_case.len()])
        }
    };
    Ok((digests(process, activations, of_case), answers.incident.or(failed.transpose()?)))
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
