//! The Rust GPT-2, in this process.

use std::path::Path;

use anyhow::{Context, Result};
use capture::protocol::{Job, Task};
use capture::{Capture, CaptureFile, Case, Identity, Precision, Tensor, TensorName};
use gpt2::Gpt2;

use super::{Implementation, Means, Production};
use crate::progress::Part;

/// The Rust GPT-2.
#[derive(Debug)]
pub struct RustGpt2 {
    means: Means,
}

impl RustGpt2 {
    /// It loads its model anew for every list of jobs.
    pub fn new(means: Means) -> Self {
        Self { means }
    }

    fn identity() -> Identity {
        Identity {
            name: "rust".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            precision: Precision::F32,
            device: "cpu".to_owned(),
        }
    }

    fn produce_one(&self, model: &Gpt2, job: &Job) -> Result<Capture, String> {
        match &job.task {
            Task::Run => {
                let mut capture = model.run(&job.case).map_err(|error| error.to_string())?;
                if let Some(ids) = prompt_ids(&job.case) {
                    capture.tensors.insert(TensorName::of_case("prompt.ids"), ids);
                }
                Ok(capture)
            }
            Task::Replay { inputs, magnitudes: None } => {
                let inputs = CaptureFile::open(inputs).map_err(|error| error.to_string())?;
                model.replay(&job.case, &inputs, &|_| true).map_err(|error| error.to_string())
            }
            Task::Replay { magnitudes: Some(_), .. } => {
                Err("magnitudes are the oracle's; the Rust GPT-2 computes in f32".to_owned())
            }
        }
    }
}

impl Implementation for RustGpt2 {
    fn label(&self) -> String {
        Self::identity().to_string()
    }

    fn preallocated_cache(&self) -> bool {
        true
    }

    fn produce(&mut self, model: &Path, jobs: &[Job], part: &Part) -> Result<Production> {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(self.means.threads).build()?;
        let model = Gpt2::load(model)?;
        let mut production = Production { identity: Some(Self::identity()), ..Production::default() };
        for (index, job) in jobs.iter().enumerate() {
            self.means.interrupt.check()?;
            part.say(job.case.id.clone());
            match threads.install(|| self.produce_one(&model, job)) {
                Ok(capture) => capture::write(&job.output, &Self::identity(), &capture)
                    .with_context(|| format!("the capture of case `{}` cannot be written", job.case.id))?,
                Err(error) => drop(production.failures.insert(index, error)),
            }
            part.step();
        }
        Ok(production)
    }
}

/// The harness's own tokenization of the case's texts: the Rust GPT-2 takes token ids, so they stand for its side.
fn prompt_ids(case: &Case) -> Option<Tensor> {
    case.texts.as_ref()?;
    Tensor::from_i64(&[case.batch(), case.tokens()], &case.token_ids.concat()).ok()
}
