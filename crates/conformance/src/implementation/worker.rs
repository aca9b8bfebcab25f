//! An implementation that is a program of its own, and speaks the worker protocol.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use capture::Precision;
use capture::protocol::{Event, Job, SCHEMA, WorkList};
use checkpoint_spec::Incident;

use super::{Implementation, Means, Production};
use crate::exit::usage;
use crate::interrupt::Interrupted;
use crate::place::Place;
use crate::progress::Part;

/// How often a wait looks at the interrupt flag.
const GLANCE: Duration = Duration::from_millis(50);
/// How much of a worker's standard error goes into an incident.
const LAST_LINES: usize = 15;

/// A program that speaks the worker protocol.
#[derive(Clone, Debug)]
pub struct Program {
    name: String,
    path: PathBuf,
    arguments: Vec<OsString>,
    preallocated_cache: bool,
}

/// One implementation in a process of its own.
#[derive(Debug)]
pub struct Worker {
    program: Program,
    precision: Precision,
    means: Means,
}

impl Program {
    /// A Python reference behind the bridge.
    pub fn bridge(place: &Place, implementation: &str) -> Self {
        Self {
            name: implementation.to_owned(),
            path: place.worker.clone(),
            arguments: Vec::new(),
            preallocated_cache: false,
        }
    }

    /// Somebody's engine: a program and its arguments, separated by blanks.
    pub fn command(command: &str) -> Result<Self> {
        let mut words = command.split_whitespace();
        let path = words
            .next()
            .ok_or_else(|| usage("`command:` needs a program, as in `command:./engine --flag`"))?;
        let name = Path::new(path).file_stem().unwrap_or(path.as_ref()).to_string_lossy().into_owned();
        let arguments = words.map(OsString::from).collect();
        Ok(Self { name, path: path.into(), arguments, preallocated_cache: false })
    }
}

impl Worker {
    /// A worker that computes in that precision. Nothing is started before there are jobs.
    pub fn new(program: Program, precision: Precision, means: Means) -> Self {
        Self { program, precision, means }
    }

    fn incident(&self, kind: &str, message: String) -> Incident {
        Incident { implementation: self.label(), case: None, kind: kind.to_owned(), message }
    }

    fn log(&self) -> PathBuf {
        self.means.logs.join(format!("{}.stderr", self.label()))
    }

    fn spawn(&self, list: &WorkList) -> Result<(Child, Receiver<String>)> {
        std::fs::create_dir_all(&self.means.logs)?;
        let log = File::create(self.log()).with_context(|| format!("{}", self.log().display()))?;
        let mut child = Command::new(&self.program.path)
            .args(&self.program.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} cannot be started", self.program.path.display()))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let list = serde_json::to_vec(list)?;
        if let Some(mut stdin) = stdin {
            // A worker that died already is told of by its exit status.
            let _ = stdin.write_all(&list);
        }
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for line in stdout.into_iter().flat_map(|out| BufReader::new(out).lines()).map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok((child, receiver))
    }

    /// Follows the events until the worker closes its output, is too slow, or breaks the protocol.
    fn follow(
        &self,
        events: &Receiver<String>,
        jobs: &[Job],
        part: &Part,
        production: &mut Production,
    ) -> Result<Option<Incident>> {
        let mut answered = vec![false; jobs.len()];
        part.say("starting");
        loop {
            let line = match self.next_line(events)? {
                Line::Text(line) => line,
                Line::Closed => break,
                Line::TooSlow => {
                    let limit = self.means.time_limit.as_secs();
                    return Ok(Some(
                        self.incident("timed_out", format!("no answer for {limit} s; it was ended")),
                    ));
                }
            };
            let event = match serde_json::from_str::<Event>(&line) {
                Ok(event) => event,
                Err(error) => {
                    let message = format!("its answer is not an event of the protocol: {error}: {line:.200}");
                    return Ok(Some(self.incident("broke_protocol", message)));
                }
            };
            match event {
                Event::Ready { identity } => production.identity = Some(identity),
                Event::Done { job } | Event::Failed { job, .. } if answered.get(job) != Some(&false) => {
                    let message =
                        format!("it answered for job {job}, which is answered already or does not exist");
                    return Ok(Some(self.incident("broke_protocol", message)));
                }
                Event::Done { job } => answered[job] = true,
                Event::Failed { job, error } => {
                    answered[job] = true;
                    production.failures.insert(job, error);
                }
            }
            let done = answered.iter().filter(|answered| **answered).count();
            part.at(done);
            part.say(jobs.get(done).map_or_else(String::new, |job| job.case.id.clone()));
        }
        let unanswered = answered.iter().filter(|answered| !**answered).count();
        Ok((unanswered > 0).then(|| {
            self.incident("crashed", format!("it ended with {unanswered} of {} jobs unanswered", jobs.len()))
        }))
    }

    fn next_line(&self, events: &Receiver<String>) -> Result<Line, Interrupted> {
        let deadline = Instant::now() + self.means.time_limit;
        loop {
            self.means.interrupt.check()?;
            match events.recv_timeout(GLANCE) {
                Ok(line) => return Ok(Line::Text(line)),
                Err(RecvTimeoutError::Disconnected) => return Ok(Line::Closed),
                Err(RecvTimeoutError::Timeout) if Instant::now() >= deadline => return Ok(Line::TooSlow),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn last_lines(&self) -> String {
        let text = std::fs::read(self.log()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let text = text.unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }
}

enum Line {
    Text(String),
    Closed,
    TooSlow,
}

impl Implementation for Worker {
    fn label(&self) -> String {
        format!("{}@{}", self.program.name, self.precision)
    }

    fn preallocated_cache(&self) -> bool {
        self.program.preallocated_cache
    }

    fn produce(&mut self, model: &Path, jobs: &[Job], part: &Part) -> Result<Production> {
        let mut production = Production::default();
        let list = WorkList {
            schema: SCHEMA.to_owned(),
            implementation: self.program.name.clone(),
            precision: self.precision,
            model: model.to_owned(),
            threads: self.means.threads,
            jobs: jobs.to_vec(),
        };
        let (child, events) = self.spawn(&list)?;
        let mut child = KilledOnDrop(child);
        let incident = self.follow(&events, jobs, part, &mut production)?;
        let status = if incident.is_some() { child.end()? } else { child.0.wait()? };
        production.incident = match incident {
            Some(incident) => Some(incident),
            None if !status.success() => Some(self.incident("crashed", format!("it ended with {status}"))),
            None => None,
        };
        if let Some(incident) = &mut production.incident {
            let ended = if incident.kind == "crashed" { format!(" ({status})") } else { String::new() };
            incident.message =
                format!("{}{ended}\n{}", incident.message, self.last_lines()).trim_end().to_owned();
        }
        Ok(production)
    }
}

/// A child process that does not outlive its owner.
struct KilledOnDrop(Child);

impl KilledOnDrop {
    /// Ends it now; gives how it ended, which is its own doing when it had ended already.
    fn end(&mut self) -> Result<ExitStatus> {
        // One that closed its output is ending by itself: its own exit status says more than our signal.
        let patience = Instant::now() + Duration::from_secs(2);
        while Instant::now() < patience {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(GLANCE);
        }
        let _ = self.0.kill();
        Ok(self.0.wait()?)
    }
}

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
