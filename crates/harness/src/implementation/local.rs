//! An implementation that computes in this process.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use capture::protocol::Job;
use capture::{CaptureWriter, Case, Identity, Precision, Sink};

use super::{Done, Implementation, Means, Production, Program};
use crate::events::Part;
use crate::model::Model;

/// What a program links and hands to the harness. It computes in f32.
pub trait Local: fmt::Debug + Send + Sync {
    /// The name that it is asked for by, and reported as.
    fn name(&self) -> &str;

    /// The name in a sentence.
    fn title(&self) -> String {
        format!("`{}`", self.name())
    }

    /// Loads a model, to compute with so many threads.
    fn open(&self, model: &Path, threads: usize) -> Result<Box<dyn LocalSession>>;

    /// Why it cannot run a model, where it cannot.
    fn refuses(&self, _model: &Model) -> Option<String> {
        None
    }

    /// What runs the same in a process of its own, where something does.
    fn apart(&self) -> Result<Option<Program>> {
        Ok(None)
    }
}

/// One of them with its model loaded.
pub trait LocalSession {
    /// Who computes.
    fn identity(&self) -> &Identity;

    /// Runs a case, and hands each tensor of its capture over as soon as it is computed; `Err` says why the case is refused.
    fn run(&mut self, case: &Case, capture: &mut (dyn Sink + Send)) -> Result<(), String>;
}

/// It loads its model anew for every list of jobs.
pub(super) struct InProcess {
    local: Arc<dyn Local>,
    means: Means,
}

impl InProcess {
    pub(super) fn new(local: Arc<dyn Local>, means: Means) -> Self {
        Self { local, means }
    }
}

impl Implementation for InProcess {
    fn name(&self) -> &str {
        self.local.name()
    }

    fn precision(&self) -> Precision {
        Precision::F32
    }

    fn produce_each(
        &mut self,
        model: &Path,
        jobs: &[Job],
        part: &Part,
        done: Done<'_>,
    ) -> Result<Production> {
        let mut session = self.local.open(model, self.means.threads)?;
        let identity = session.identity().clone();
        let mut production = Production { identity: Some(identity.clone()), ..Production::default() };
        for (index, job) in jobs.iter().enumerate() {
            self.means.interrupt.check()?;
            part.say(&job.case.id);
            let cannot = || format!("the capture of case `{}` cannot be written", job.case.id);
            let mut capture = CaptureWriter::create(&job.output).with_context(cannot)?;
            match session.run(&job.case, &mut capture) {
                Ok(()) => {
                    capture.finish(&identity).with_context(cannot)?;
                    done(job)?;
                }
                Err(error) => drop(production.failures.insert(index, error)),
            }
            part.step();
        }
        Ok(production)
    }
}
