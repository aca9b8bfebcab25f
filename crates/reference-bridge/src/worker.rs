//! The worker's loop: a work list in, events out.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use capture::protocol::{Event, Job, SCHEMA, Task, WorkList};
use capture::{Capture, Identity, Precision};

use crate::{WorkerError, note};

/// An implementation that is ready to compute.
pub(crate) trait Session {
    /// Why a job gave no capture.
    type Error: Display;

    /// Who computes.
    fn identity(&self) -> &Identity;

    /// Does the job, short of writing its capture.
    fn attempt(&mut self, job: &Job) -> Result<Capture, Self::Error>;
}

/// Reads a work list to the end of the input and refuses one that cannot be done as it stands.
pub(crate) fn read_work_list(mut input: impl Read) -> Result<WorkList, WorkerError> {
    let malformed = |problem: String| WorkerError::WorkList(problem);
    let mut text = Vec::new();
    input.read_to_end(&mut text).map_err(|error| malformed(error.to_string()))?;
    let list: WorkList = serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
    validate(&list).map_err(malformed)?;
    Ok(list)
}

/// Attempts every job in order and says what became of each. Only an answer that cannot be delivered ends it early.
pub(crate) fn attempt_all(
    list: &WorkList,
    session: &mut impl Session,
    answers: &mut impl Write,
) -> io::Result<()> {
    say(answers, &Event::Ready { identity: session.identity().clone() })?;
    for (job, work) in list.jobs.iter().enumerate() {
        let event = match attempt(work, session) {
            Ok(()) => Event::Done { job },
            Err(error) => {
                note(format_args!("job {job}, case `{}`: {error}", work.case.id));
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
        if let Task::Replay { inputs, magnitudes } = &job.task {
            if *inputs == job.output {
                return Err(format!("job {index} replays {output} and writes to it too"));
            }
            if magnitudes.is_some() && list.precision != Precision::F64 {
                return Err(format!("job {index} wants magnitudes at {}; they need f64", list.precision));
            }
            if let Some(confidence) = magnitudes
                && !(confidence.is_finite() && *confidence > 0.0)
            {
                return Err(format!(
                    "job {index} wants magnitudes for c = {confidence}; c is finite and above 0"
                ));
            }
        }
    }
    Ok(())
}

fn attempt(job: &Job, session: &mut impl Session) -> Result<(), String> {
    remove_stale(&job.output).map_err(|error| format!("{}: {error}", job.output.display()))?;
    let capture = session.attempt(job).map_err(|error| error.to_string())?;
    capture::write(&job.output, session.identity(), &capture).map_err(|error| error.to_string())
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
