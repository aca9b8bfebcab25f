//! The carrier: a correct implementation on one case of the run, into which faults are put.

use anyhow::Result;
use capture::{Capture, Case, TensorName};
use gpt2::Gpt2;

use super::Injection;
use super::chain;
use crate::implementation::prompt_ids;

/// The Rust GPT-2 with what it makes of the case.
pub(crate) struct Carrier {
    /// The model, as the references have it.
    pub model: Gpt2,
    /// The case, fed the oracle's tokens where it generates.
    pub case: Case,
    /// What it leaves without a fault.
    pub run: Capture,
}

impl Carrier {
    /// Runs the case without a fault.
    pub(super) fn new(model: Gpt2, case: Case) -> Result<Self> {
        let run = run(&model, &case)?;
        Ok(Self { model, case, run })
    }

    /// What it leaves with a fault in it. Faults of the evidence change nothing here.
    pub(super) fn with(&self, injection: Injection) -> Result<Capture> {
        match injection {
            Injection::Model(change) => {
                let mut run = self.of_model(change)?;
                // The file was read correctly, so its digests are right.
                for (name, tensor) in self.run.tensors.iter().filter(|(name, _)| is_digest(name)) {
                    run.tensors.insert(name.clone(), tensor.clone());
                }
                Ok(run)
            }
            Injection::Stored(change) => self.of_model(change),
            Injection::Component(alter) => chain::run(&self.model, &self.case, &self.run, &alter),
            Injection::Evidence(_) | Injection::Worker(_) => Ok(self.run.clone()),
        }
    }

    fn of_model(&self, change: fn(&mut Gpt2)) -> Result<Capture> {
        let mut model = self.model.clone();
        change(&mut model);
        run(&model, &self.case)
    }
}

fn is_digest(name: &TensorName) -> bool {
    name.activation.starts_with("weights.")
}

fn run(model: &Gpt2, case: &Case) -> Result<Capture> {
    let mut capture = model.run(case)?;
    if let Some(ids) = prompt_ids(case) {
        capture.tensors.insert(TensorName::of_case("prompt.ids"), ids);
    }
    Ok(capture)
}
