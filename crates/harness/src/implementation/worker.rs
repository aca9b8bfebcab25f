//! An implementation that is a program of its own, and speaks the worker protocol.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use capture::protocol::{Event, Job, SCHEMA, WorkList};
use capture::{Identity, Precision};
use checkpoint_spec::Incident;

use super::program::{GLANCE, Process, Program, last_lines};
use super::{Done, Implementation, Means, Production};
use crate::events::Part;
use crate::interrupt::Interrupted;

/// The longest answer that is read; a longer one is no event.
const LONGEST_ANSWER: u64 = 1 << 20;
/// How long a worker that closed its output may take to end before it is ended: its own exit status says more.
const FAREWELL: Duration = Duration::from_secs(2);

/// One implementation in a process of its own.
#[derive(Debug)]
pub struct Worker {
    program: Program,
    precision: Precision,
    means: Means,
}

/// What became of a worker's answers.
enum Ending {
    /// Every job has its event and the output is closed.
    Complete,
    /// The output was closed before.
    Closed(String),
    /// Nothing came for too long.
    TooSlow,
    /// Something else than the protocol allows.
    BrokeProtocol(String),
}

/// The protocol's state: what has been answered so far.
struct Dialogue<'a> {
    worker: &'a Worker,
    jobs: &'a [Job],
    answered: Vec<bool>,
    production: Production,
}

impl Worker {
    /// A worker that computes in that precision. Nothing is started before there are jobs.
    pub fn new(program: Program, precision: Precision, means: Means) -> Self {
        Self { program, precision, means }
    }

    fn log(&self) -> PathBuf {
        self.means.logs().join(format!("{}.stderr", self.label()))
    }

    fn start(&self, list: &WorkList) -> Result<(Process, Receiver<String>)> {
        let logs = self.means.logs();
        std::fs::create_dir_all(&logs).with_context(|| logs.display().to_string())?;
        let log = File::create(self.log()).with_context(|| self.log().display().to_string())?;
        let mut process = self.program.start(log)?;
        let (stdin, stdout) = process.pipes();
        let list = serde_json::to_vec(list)?;
        // A worker that reads nothing must not hold us up; one that died is told of by its exit status.
        std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&list)));
        let (sender, receiver) = sync_channel(1);
        std::thread::spawn(move || {
            for line in stdout.into_iter().flat_map(answers) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok((process, receiver))
    }

    fn next_line(&self, events: &Receiver<String>) -> Result<Result<String, RecvTimeoutError>, Interrupted> {
        let deadline = Instant::now() + self.means.time_limit;
        loop {
            self.means.interrupt.check()?;
            match events.recv_timeout(GLANCE) {
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                line => return Ok(line),
            }
        }
    }

    /// What became of the worker, in words; none when it did all that it should.
    fn conclude(&self, ending: Ending, process: &mut Process) -> Result<Option<Incident>> {
        let stop = || Ok(self.means.interrupt.check()?);
        let limit = self.means.time_limit;
        let (kind, message) = match ending {
            Ending::Complete => match process.wait(limit, stop)? {
                Some(status) if status.success() => return Ok(None),
                Some(status) => ("crashed", format!("it ended with {status}")),
                None => ("timed_out", "it answered every job and did not end; it was ended".to_owned()),
            },
            Ending::Closed(message) => match process.wait(FAREWELL, stop)? {
                Some(status) => ("crashed", format!("{message} ({status})")),
                None => ("crashed", format!("{message}, and did not end; it was ended")),
            },
            Ending::TooSlow => ("timed_out", format!("no answer for {} s; it was ended", limit.as_secs())),
            Ending::BrokeProtocol(message) => ("broke_protocol", message),
        };
        Ok(Some(Incident {
            implementation: self.label(),
            case: None,
            kind: kind.to_owned(),
            message: format!("{message}\n{}", last_lines(&self.log())).trim_end().to_owned(),
        }))
    }
}

impl Implementation for Worker {
    fn name(&self) -> &str {
        &self.program.name
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn produce_each(
        &mut self,
        model: &Path,
        jobs: &[Job],
        part: &Part,
        done: Done<'_>,
    ) -> Result<Production> {
        let list = WorkList {
            schema: SCHEMA.to_owned(),
            implementation: self.program.name.clone(),
            precision: self.precision,
            model: model.to_owned(),
            threads: self.means.threads,
            jobs: jobs.to_vec(),
        };
        let (mut process, events) = self.start(&list)?;
        let mut dialogue = Dialogue {
            worker: self,
            jobs,
            answered: vec![false; jobs.len()],
            production: Production::default(),
        };
        let ending = dialogue.follow(&events, part, done)?;
        let mut production = dialogue.production;
        production.incident = self.conclude(ending, &mut process)?;
        Ok(production)
    }
}

impl Dialogue<'_> {
    /// Follows the events until the worker closes its output, is too slow, or breaks the protocol.
    fn follow(&mut self, events: &Receiver<String>, part: &Part, tell: Done<'_>) -> Result<Ending> {
        part.say("starting");
        loop {
            let line = match self.worker.next_line(events)? {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => return Ok(Ending::TooSlow),
                Err(RecvTimeoutError::Disconnected) => return Ok(self.closed()),
            };
            match self.hear(&line) {
                Err(problem) => return Ok(Ending::BrokeProtocol(problem)),
                // One that says that it is done and left nothing is told of where its capture is missed.
                Ok(Some(job)) if job.output.exists() => tell(job)?,
                Ok(_) => {}
            }
            let done = self.done();
            part.at(done);
            part.say(self.jobs.get(done).map_or_else(String::new, |job| job.case.id.clone()));
        }
    }

    /// Takes one answer, and gives the job that is done by it; `Err` tells what about it the protocol does not allow.
    fn hear(&mut self, line: &str) -> Result<Option<&Job>, String> {
        let event = serde_json::from_str::<Event>(line)
            .map_err(|error| format!("its answer is not an event of the protocol: {error}: {line:.200}"))?;
        let (job, failure) = match event {
            Event::Ready { identity } => return self.introduce(identity).map(|()| None),
            Event::Done { job } => (job, None),
            Event::Failed { job, error } => (job, Some(error)),
        };
        if self.production.identity.is_none() {
            return Err(format!("it answered for job {job} before it said who it is"));
        }
        match self.answered.get_mut(job) {
            Some(answered @ false) => *answered = true,
            _ => {
                return Err(format!(
                    "it answered for job {job}, which is answered already or does not exist"
                ));
            }
        }
        let done = failure.is_none();
        self.production.failures.extend(failure.map(|error| (job, error)));
        Ok(self.jobs.get(job).filter(|_| done))
    }

    fn introduce(&mut self, identity: Identity) -> Result<(), String> {
        if self.production.identity.is_some() {
            return Err("it said twice that it is ready".to_owned());
        }
        let (expected, found) = (self.worker.label(), identity.to_string());
        if found != expected {
            return Err(format!("it says that it is {found}; {expected} was asked for"));
        }
        self.production.identity = Some(identity);
        Ok(())
    }

    fn done(&self) -> usize {
        self.answered.iter().filter(|answered| **answered).count()
    }

    fn closed(&self) -> Ending {
        let (jobs, done) = (self.jobs.len(), self.done());
        if done == jobs {
            return Ending::Complete;
        }
        Ending::Closed(format!("it closed its output with {} of {jobs} jobs unanswered", jobs - done))
    }
}

/// The lines of a worker's output. One that is longer than any event, or no text, is given as far as it can be shown;
/// it ends the dialogue.
fn answers(output: impl Read) -> impl Iterator<Item = String> {
    let mut output = BufReader::new(output);
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        match output.by_ref().take(LONGEST_ANSWER).read_until(b'\n', &mut line) {
            Ok(read) if read > 0 => Some(String::from_utf8_lossy(&line).trim_end().to_owned()),
            _ => None,
        }
    })
}
