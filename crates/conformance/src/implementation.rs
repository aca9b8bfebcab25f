//! Anything that can run a model, behind one trait: subjects and references alike.

mod naive;
mod program;
mod rust;
mod worker;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use capture::protocol::Job;
use capture::{Identity, Precision};
use checkpoint_spec::{Incident, Traits};

pub use naive::Naive;
pub use program::Program;
pub(crate) use program::{GLANCE, Process, last_lines, worker as worker_program};
pub(crate) use rust::prompt_ids;
pub use rust::{RustGpt2, RustSession};
pub use worker::Worker;

use crate::exit::usage;
use crate::interrupt::Interrupt;
use crate::place::Place;
use crate::progress::Part;

/// Anything that can run a model. It is given token ids and weights and leaves captures; it never sees a spec, a
/// tolerance or another implementation's results.
pub trait Implementation: Send {
    /// `torch`, as the registry knows it; its captures cannot choose another.
    fn name(&self) -> &str;

    /// What it computes in.
    fn precision(&self) -> Precision;

    /// `torch@f32`.
    fn label(&self) -> String {
        format!("{}@{}", self.name(), self.precision())
    }

    /// Does the jobs in order: each either leaves its capture or is told of in the production. `Err` is for what
    /// stops the harness itself (an interrupt, a full disk).
    fn produce(&mut self, model: &Path, jobs: &[Job], part: &Part) -> Result<Production> {
        self.produce_each(model, jobs, part, &mut |_| Ok(()))
    }

    /// The same; `done` is told of each job that left its capture as soon as it did. A program of its own goes on meanwhile.
    fn produce_each(&mut self, model: &Path, jobs: &[Job], part: &Part, done: Done<'_>)
    -> Result<Production>;
}

/// Takes note of a job that left its capture.
pub type Done<'a> = &'a mut dyn FnMut(&Job) -> Result<()>;

/// What came of a list of jobs.
#[derive(Debug, Default)]
pub struct Production {
    /// Who computed; none when it did not get that far.
    pub identity: Option<Identity>,
    /// Jobs that were refused or failed, by index, with the reason.
    pub failures: BTreeMap<usize, String>,
    /// What stopped the whole implementation.
    pub incident: Option<Incident>,
}

/// How an implementation is named on the command line: `rust`, `torch@f32`, `command:./engine`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImplementationName {
    /// `rust`, `torch`, `tinygrad`, or `command:PROGRAM`.
    pub name: String,
    /// What it computes in.
    pub precision: Precision,
}

/// References that can be asked for by name, in order of precedence.
pub const REFERENCES: [&str; 2] = ["torch", "tinygrad"];

/// Whether a reference knows the models of a family.
pub fn computes(reference: &str, family: &str) -> bool {
    match reference {
        "tinygrad" => family == "gpt2",
        _ => true,
    }
}

/// What all implementations need to be started.
#[derive(Clone, Debug)]
pub struct Means {
    /// Where things are.
    pub place: Place,
    /// Threads to compute with.
    pub threads: usize,
    /// How long a worker may take for one job.
    pub time_limit: Duration,
    /// Raised by Ctrl-C.
    pub interrupt: Interrupt,
    /// Where workers' standard error is kept.
    pub logs: PathBuf,
}

impl ImplementationName {
    /// Reads `NAME[@PRECISION]`; the precision is f32 when it is not given.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, precision) = match text.rsplit_once('@') {
            None => (text, Precision::F32),
            Some((name, precision)) => match Precision::parse(precision) {
                Some(precision) => (name, precision),
                None => {
                    let known = Precision::ALL.map(Precision::name).join(", ");
                    return Err(format!("precision `{precision}` is not known; there are: {known}"));
                }
            },
        };
        let known = name == "rust" || REFERENCES.contains(&name) || name.starts_with("command:");
        if !known {
            return Err(format!(
                "implementation `{name}` is not known; there are: rust, {}, command:PROGRAM (a program that \
                 speaks the worker protocol)",
                REFERENCES.join(", ")
            ));
        }
        Ok(Self { name: name.to_owned(), precision })
    }

    /// The same in a process of its own, whoever it is.
    pub fn start_apart(&self, means: &Means) -> Result<Box<dyn Implementation>> {
        if self.name == "rust" {
            return Ok(Box::new(Worker::new(Program::rust()?, self.precision, means.clone())));
        }
        self.start(means)
    }

    /// The implementation of that name, or why there is none. Nothing runs before it has jobs.
    pub fn start(&self, means: &Means) -> Result<Box<dyn Implementation>> {
        if self.name == "rust" {
            if self.precision != Precision::F32 {
                return Err(usage("the Rust GPT-2 computes in f32; ask for `rust@f32`"));
            }
            return Ok(Box::new(RustGpt2::new(means.clone())));
        }
        // No command line names it: benches do.
        if self.name == Naive::NAME {
            return Ok(Box::new(Naive::new(means.clone())));
        }
        let program = self.program(&means.place)?;
        Ok(Box::new(Worker::new(program, self.precision, means.clone())))
    }

    /// The file that is started as this implementation: the worker for one in Python, this program for the Rust GPT-2.
    pub fn executable(&self, place: &Place) -> Result<PathBuf> {
        let is_here = [RustGpt2::NAME, Naive::NAME].contains(&self.name.as_str());
        let program = if is_here { Program::rust() } else { self.program(place) };
        Ok(program?.path().to_owned())
    }

    /// The program of one that is no part of this one.
    fn program(&self, place: &Place) -> Result<Program> {
        match self.name.strip_prefix("command:") {
            Some(command) => Program::command(command),
            None => Program::bridge(place, &self.name),
        }
    }
}

impl fmt::Display for ImplementationName {
    /// What [`ImplementationName::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.precision)
    }
}

/// The traits of a run's subject.
pub fn traits(subject: &dyn Implementation, tokenizer: bool) -> Traits {
    Traits::of(subject.name(), tokenizer)
}
