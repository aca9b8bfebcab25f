//! The carrier: a correct implementation on one case of the run, into which faults are put.

use anyhow::Result;
use capture::{Capture, CaptureFile, Case, TensorName};
use gpt2::Gpt2;

use super::Injection;
use super::chain;
use crate::implementation::prompt_ids;

/// The Rust GPT-2 with what it makes of the case.
pub(crate) struct Carrier<'a> {
    /// The model, as the references have it.
    pub model: Gpt2,
    /// The case, fed the oracle's tokens where it generates.
    pub case: Case,
    /// What every activation is replayed from: the oracle implementation's f32 run.
    pub inputs: &'a CaptureFile,
    /// The chained run without a fault.
    pub run: Capture,
    /// The isolated replay without a fault.
    pub replay: Capture,
}

/// What a subject leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// Of the chained run.
    pub run: Capture,
    /// Of the isolated replay.
    pub replay: Capture,
}

impl<'a> Carrier<'a> {
    /// Runs the case without a fault.
    pub(super) fn new(model: Gpt2, case: Case, inputs: &'a CaptureFile) -> Result<Self> {
        let run = run(&model, &case)?;
        let replay = model.replay(&case, inputs, &|_| true)?;
        Ok(Self { model, case, inputs, run, replay })
    }

    /// What it leaves without a fault.
    pub(super) fn left(&self) -> Left {
        Left { run: self.run.clone(), replay: self.replay.clone() }
    }

    /// What it leaves with a fault in it. Faults of the evidence change nothing here.
    pub(super) fn with(&self, injection: Injection) -> Result<Left> {
        match injection {
            Injection::Model(change) => {
                let mut left = self.of_model(change)?;
                // The file was read correctly, so its digests are right.
                for (name, tensor) in self.run.tensors.iter().filter(|(name, _)| is_digest(name)) {
                    left.run.tensors.insert(name.clone(), tensor.clone());
                }
                Ok(left)
            }
            Injection::Stored(change) => self.of_model(change),
            Injection::Component(alter) => Ok(Left {
                run: chain::run(&self.model, &self.case, &self.run, alter)?,
                replay: chain::replay(&self.model, &self.case, self.inputs, &self.replay, alter)?,
            }),
            Injection::Evidence(_) | Injection::Worker(_) => Ok(self.left()),
        }
    }

    fn of_model(&self, change: fn(&mut Gpt2)) -> Result<Left> {
        let mut model = self.model.clone();
        change(&mut model);
        let replay = model.replay(&self.case, self.inputs, &|_| true)?;
        Ok(Left { run: run(&model, &self.case)?, replay })
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
