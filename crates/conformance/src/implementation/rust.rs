//! The Rust GPT-2, in this process.

use std::path::Path;

use anyhow::{Context, Result};
use capture::protocol::Job;
use capture::worker::Session;
use capture::{CaptureWriter, Case, Identity, Precision, Sink, Tensor, TensorName};
use gpt2::Gpt2;
use rayon::ThreadPool;

use super::{Done, Implementation, Means, Production};
use crate::progress::Part;

/// The Rust GPT-2.
#[derive(Debug)]
pub struct RustGpt2 {
    means: Means,
}

/// The Rust GPT-2 with its model loaded.
#[derive(Debug)]
pub struct RustSession {
    model: Gpt2,
    identity: Identity,
    threads: ThreadPool,
}

impl RustGpt2 {
    /// As the registry knows it.
    pub const NAME: &str = "rust";

    /// It loads its model anew for every list of jobs.
    pub fn new(means: Means) -> Self {
        Self { means }
    }
}

impl RustSession {
    /// Loads the model. The name is what the session is reported as.
    pub fn open(name: &str, model: &Path, threads: usize) -> Result<Self> {
        let identity = Self::identity_as(name);
        let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        Ok(Self { model: Gpt2::load(model)?, identity, threads })
    }

    /// Runs a case, and hands each tensor of its capture over as soon as it is computed.
    pub fn show(&self, case: &Case, capture: &mut (dyn Sink + Send)) -> Result<(), String> {
        if let Some(ids) = prompt_ids(case) {
            capture.put(TensorName::of_case("prompt.ids"), ids.view(), true);
        }
        self.threads.install(|| self.model.show(case, capture)).map_err(|error| error.to_string())
    }

    /// Who it is under that name.
    pub fn identity_as(name: &str) -> Identity {
        Identity {
            name: name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            precision: Precision::F32,
            device: "cpu".to_owned(),
        }
    }
}

impl Session for RustSession {
    type Error = String;

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn attempt(&mut self, job: &Job, mut capture: CaptureWriter) -> Result<CaptureWriter, String> {
        self.show(&job.case, &mut capture)?;
        Ok(capture)
    }
}

impl Implementation for RustGpt2 {
    fn name(&self) -> &str {
        Self::NAME
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
        let mut session = RustSession::open(Self::NAME, model, self.means.threads)?;
        let identity = session.identity().clone();
        let mut production = Production { identity: Some(identity.clone()), ..Production::default() };
        for (index, job) in jobs.iter().enumerate() {
            self.means.interrupt.check()?;
            part.say(job.case.id.clone());
            let cannot = || format!("the capture of case `{}` cannot be written", job.case.id);
            let capture = CaptureWriter::create(&job.output).with_context(cannot)?;
            match session.attempt(job, capture) {
                Ok(capture) => {
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

/// The harness's own tokenization of the case's texts: the Rust GPT-2 takes token ids, so they stand for its side.
pub(crate) fn prompt_ids(case: &Case) -> Option<Tensor> {
    case.texts.as_ref()?;
    Tensor::from_i64(&[case.batch(), case.tokens()], &case.token_ids.concat()).ok()
}
