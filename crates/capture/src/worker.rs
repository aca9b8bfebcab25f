//! A worker's side of the protocol: a work list in, events out.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use crate::protocol::{Event, Job, SCHEMA, WorkList};
use crate::{CaptureWriter, Identity};

/// A work list that cannot be done as it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed work list: {0}")]
pub struct WorkListError(String);

/// An implementation that is ready to compute.
pub trait Session {
    /// Why a job gave no capture.
    type Error: Display;

    /// Who computes.
    fn identity(&self) -> &Identity;

    /// Does the job: puts each tensor into the capture as it is computed, and gives it back unfinished.
    fn attempt(&mut self, job: &Job, capture: CaptureWriter) -> Result<CaptureWriter, Self::Error>;
}

/// Reads a work list to the end of the input and refuses one that cannot be done as it stands.
pub fn read_work_list(mut input: impl Read) -> Result<WorkList, WorkListError> {
    let mut text = Vec::new();
    input.read_to_end(&mut text).map_err(|error| WorkListError(error.to_string()))?;
    let list: WorkList = serde_json::from_slice(&text).map_err(|error| WorkListError(error.to_string()))?;
    validate(&list).map_err(WorkListError)?;
    Ok(list)
}

/// Attempts every job in order and says what became of each; failures go to the notes, too. Only an answer that cannot
/// be delivered ends it early.
pub fn attempt_all(
    list: &WorkList,
    session: &mut impl Session,
    answers: &mut impl Write,
    notes: &mut impl Write,
) -> io::Result<()> {
    say(answers, &Event::Ready { identity: session.identity().clone() })?;
    for (job, work) in list.jobs.iter().enumerate() {
        let event = match attempt(work, session) {
            Ok(()) => Event::Done { job },
            Err(error) => {
                // Nobody has to read them.
                let _ = writeln!(notes, "job {job}, case `{}`: {error}", work.case.id);
                Event::Failed { job, error }
            }
        };
        say(answers, &event)?;
    }
    Ok(())
}

fn validate(list: &WorkList) -> Result<(), String> {
    if list.schema != SCHEMA {
        return Err(format!("schema is `{}`; expected `{SCHEMA}`", list.schema));
    }
    if list.threads == 0 {
        return Err("threads is 0; expected at least 1".to_owned());
    }
    let mut outputs = BTreeSet::new();
    for (index, job) in list.jobs.iter().enumerate() {
        let output = job.output.display();
        if !outputs.insert(&job.output) {
            return Err(format!("job {index} writes {output}, as an earlier job does"));
        }
    }
    Ok(())
}

fn attempt(job: &Job, session: &mut impl Session) -> Result<(), String> {
    remove_stale(&job.output).map_err(|error| format!("{}: {error}", job.output.display()))?;
    let capture = CaptureWriter::create(&job.output).map_err(|error| error.to_string())?;
    let capture = session.attempt(job, capture).map_err(|error| error.to_string())?;
    capture.finish(session.identity()).map_err(|error| error.to_string())
}

/// What is at the output afterwards must be this job's.
fn remove_stale(output: &Path) -> io::Result<()> {
    match fs::remove_file(output) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn say(answers: &mut impl Write, event: &Event) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    answers.write_all(&line)?;
    answers.flush()
}

#[cfg(test)]
mod tests;
