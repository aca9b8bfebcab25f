//! Anything that can run a model, behind one trait: subjects and references alike.

mod local;
mod name;
mod program;
mod worker;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use capture::protocol::Job;
use capture::{Identity, Precision};
use checkpoint_spec::Incident;

pub use local::{Local, LocalSession};
pub use name::ImplementationName;
pub(crate) use program::bridge;
pub use program::{GLANCE, Process, Program, last_lines};
pub use worker::Worker;

use crate::events::Part;
use crate::interrupt::Interrupt;
use crate::place::Place;

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

/// What all implementations need to be started.
#[derive(Clone, Debug)]
pub struct Means {
    /// Where things are.
    pub place: Place,
    /// Threads to compute with.
    pub threads: usize,
    /// How long a worker may take for one job.
    pub time_limit: Duration,
    /// Raised by whoever wants the work to stop.
    pub interrupt: Interrupt,
    /// What the program links, and hands in.
    pub locals: Vec<Arc<dyn Local>>,
}

impl Means {
    /// What the program links under that name.
    pub fn local(&self, name: &str) -> Option<&Arc<dyn Local>> {
        self.locals.iter().find(|local| local.name() == name)
    }

    /// Where workers' standard error is kept.
    pub fn logs(&self) -> PathBuf {
        self.place.cache.join("logs")
    }
}
