//! The Rust GPT-2, in this process or as a worker.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use capture::protocol::Job;
use capture::worker::Session;
use capture::{CaptureWriter, Case, Identity, Precision, Sink, TensorName};
use checkpoint_spec::Architecture;
use gpt2::Gpt2;
use harness::cases::prompt_ids;
use harness::implementation::{ImplementationName, Local, LocalSession, Program};
use harness::model::Model;
use rayon::ThreadPool;

/// The Rust GPT-2.
#[derive(Clone, Copy, Debug)]
pub struct RustGpt2;

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

    /// What is handed to the harness.
    pub fn local() -> Arc<dyn Local> {
        Arc::new(Self)
    }

    /// As a subject.
    pub fn subject() -> ImplementationName {
        ImplementationName { name: Self::NAME.to_owned(), precision: Precision::F32 }
    }

    /// Whether it knows such models.
    pub fn knows(architecture: &Architecture) -> bool {
        architecture.family == "gpt2" && architecture.features.is_empty()
    }
}

impl Local for RustGpt2 {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn title(&self) -> String {
        "the Rust GPT-2".to_owned()
    }

    fn open(&self, model: &Path, threads: usize) -> Result<Box<dyn LocalSession>> {
        Ok(Box::new(RustSession::open(Self::NAME, model, threads)?))
    }

    fn refuses(&self, model: &Model) -> Option<String> {
        let refused = || Gpt2::load(&model.directory).err().map(|error| error.to_string());
        if Self::knows(&model.architecture) { None } else { refused() }
    }

    /// This program as a worker.
    fn apart(&self) -> Result<Option<Program>> {
        let path = std::env::current_exe().context("this program")?;
        Ok(Some(Program { name: Self::NAME.to_owned(), path, arguments: vec!["worker".into()] }))
    }
}

impl RustSession {
    /// Loads the model. The name is what the session is reported as.
    pub fn open(name: &str, model: &Path, threads: usize) -> Result<Self> {
        let identity = Identity {
            name: name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            precision: Precision::F32,
            device: "cpu".to_owned(),
        };
        let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        Ok(Self { model: Gpt2::load(model)?, identity, threads })
    }
}

impl LocalSession for RustSession {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn run(&mut self, case: &Case, capture: &mut (dyn Sink + Send)) -> Result<(), String> {
        if let Some(ids) = prompt_ids(case) {
            capture.put(TensorName::of_case("prompt.ids"), ids.view(), true);
        }
        self.threads.install(|| self.model.show(case, capture)).map_err(|error| error.to_string())
    }
}

impl Session for RustSession {
    type Error = String;

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn attempt(&mut self, job: &Job, mut capture: CaptureWriter) -> Result<CaptureWriter, String> {
        self.run(&job.case, &mut capture)?;
        Ok(capture)
    }
}
