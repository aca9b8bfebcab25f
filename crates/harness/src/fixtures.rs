//! The Rust GPT-2 for tests, handed in as programs do.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use capture::{Case, Identity, Precision, Sink};
use gpt2::Gpt2;

use crate::implementation::{ImplementationName, Local, LocalSession};

#[derive(Debug)]
struct RustGpt2;

struct Loaded(Gpt2, Identity);

/// To hand in, and to ask for.
pub(crate) fn rust_gpt2() -> (Arc<dyn Local>, ImplementationName) {
    let name = ImplementationName { name: RustGpt2.name().to_owned(), precision: Precision::F32 };
    (Arc::new(RustGpt2), name)
}

impl Local for RustGpt2 {
    fn name(&self) -> &str {
        "rust"
    }

    fn open(&self, model: &Path, _threads: usize) -> Result<Box<dyn LocalSession>> {
        let [name, version, device] = [self.name(), "0", "cpu"].map(str::to_owned);
        let identity = Identity { name, version, precision: Precision::F32, device };
        Ok(Box::new(Loaded(Gpt2::load(model)?, identity)))
    }
}

impl LocalSession for Loaded {
    fn identity(&self) -> &Identity {
        &self.1
    }

    fn run(&mut self, case: &Case, capture: &mut (dyn Sink + Send)) -> Result<(), String> {
        self.0.show(case, capture).map_err(|error| error.to_string())
    }
}
