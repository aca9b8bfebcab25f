//! What a bench stands on: a model, a case, the inputs of its replay, and the oracle's results for them.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use capture::protocol::{Job, Magnitudes, Task};
use capture::{Capture, CaptureFile, Case, Identity, Precision, Tensor, TensorName};
use checkpoint_spec::{Architecture, Mode, Required, SpecSet, Traits, confidence, required};
use gpt2::Gpt2;

use super::rules::{Site, require};
use crate::implementation::{ImplementationName, Means};
use crate::model::Model;
use crate::progress::Progress;

/// Scores at least this large are more than `exp` of an f32 can hold.
const LARGE_SCORE: f32 = 128.0;

/// A case of a model, the f32 inputs of its replay, and what the oracle and a correct implementation make of them.
pub(super) struct Ground<'a> {
    /// The law.
    pub specs: &'a SpecSet,
    /// The model's sizes.
    pub architecture: &'a Architecture,
    /// The model.
    pub model: &'a Gpt2,
    /// The case.
    pub case: Case,
    /// Everything that a replay has, in execution order.
    pub required: Vec<Required>,
    /// What every activation is replayed from.
    pub inputs: Capture,
    /// Results and magnitudes at f64.
    pub oracle: CaptureFile,
    /// The Rust GPT-2's results.
    pub correct: Capture,
    /// `c`.
    pub confidence: f64,
}

impl Ground<'_> {
    /// The activation of that name and all that judges it; none where it has no budget.
    pub(super) fn site<'a>(&'a self, required: &'a Required) -> Result<Option<Site<'a>>> {
        Site::open(self.specs, required, &self.oracle, self.confidence)
    }

    /// What the Rust GPT-2 computed.
    pub(super) fn correct(&self, name: &TensorName) -> Result<&Tensor> {
        Ok(self.correct.require(name)?)
    }

    /// The values of an input.
    pub(super) fn input(&self, name: &TensorName) -> Result<Vec<f32>> {
        Ok(require(&self.inputs, name)?.view().to_f32()?)
    }
}

/// The case as it comes, and once more with scores so large that a softmax must subtract their maximum.
pub(super) fn prepare<'a>(
    specs: &'a SpecSet,
    model: &'a Model,
    weights: &'a Gpt2,
    case: &Case,
    work: &Path,
    means: &Means,
    progress: &Progress,
) -> Result<[Ground<'a>; 2]> {
    let confidence = confidence(specs, &model.architecture, &[case])?;
    let inputs = weights.run(case)?;
    let saturated = with_large_scores(&inputs)?;
    let grounds = [("plain", inputs), ("saturated", saturated)];
    let mut jobs = Vec::new();
    for (name, inputs) in &grounds {
        let inputs = store(work, name, inputs)?;
        let output = work.join(format!("{name}.oracle.safetensors"));
        jobs.push(Job {
            case: case.clone(),
            task: Task::Replay { inputs, magnitudes: Some(Magnitudes { confidence, storage: None }) },
            output,
        });
    }
    produce("torch", Precision::F64, &model.directory, &jobs, means, progress)?;
    let mut built = Vec::new();
    for ((_, inputs), job) in grounds.into_iter().zip(&jobs) {
        built.push(Ground {
            specs,
            architecture: &model.architecture,
            model: weights,
            required: plan(specs, &model.architecture, case)?,
            correct: weights.replay(case, &inputs, &|_| true)?,
            oracle: CaptureFile::open(&job.output)?,
            case: case.clone(),
            inputs,
            confidence,
        });
    }
    built.try_into().map_err(|_| anyhow::anyhow!("two grounds were prepared"))
}

/// All tensors of an f32 replay of a case, in execution order.
pub(super) fn plan(specs: &SpecSet, architecture: &Architecture, case: &Case) -> Result<Vec<Required>> {
    let traits = Traits { preallocated_cache: false, tokenizer: false };
    Ok(required(specs, architecture, case, traits, Mode::Replay, Precision::F32)?)
}

/// Writes the inputs of a replay to where workers read them.
pub(super) fn store(work: &Path, name: &str, inputs: &Capture) -> Result<PathBuf> {
    let path = work.join(format!("{name}.inputs.safetensors"));
    let identity = Identity {
        name: "rust".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        precision: Precision::F32,
        device: "cpu".to_owned(),
    };
    capture::write(&path, &identity, inputs)?;
    Ok(path)
}

/// Has one implementation do the jobs in one process; whatever it does not do is an error.
pub(super) fn produce(
    name: &str,
    precision: Precision,
    model: &Path,
    jobs: &[Job],
    means: &Means,
    progress: &Progress,
) -> Result<()> {
    let mut implementation = ImplementationName { name: name.to_owned(), precision }.start(means)?;
    let label = implementation.label();
    let part = progress.part(label.clone(), jobs.len());
    let production = implementation.produce(model, jobs, &part)?;
    if let Some(incident) = production.incident {
        bail!("{label} {}: {}", incident.kind, incident.message);
    }
    if let Some((job, problem)) = production.failures.first_key_value() {
        bail!("{label} failed at case `{}`: {problem}", jobs[*job].case.id);
    }
    part.finish("done");
    Ok(())
}

/// The same inputs, but for scores: those are multiplied by a power of two until the largest is too large for `exp`.
fn with_large_scores(inputs: &Capture) -> Result<Capture> {
    let mut inputs = inputs.clone();
    for (name, tensor) in &mut inputs.tensors {
        if name.activation.ends_with(".attn.scores") {
            let mut scores = tensor.view().to_f32()?;
            let largest = scores.iter().copied().fold(0.0, f32::max);
            let mut factor = 1.0;
            while largest > 0.0 && factor * largest < LARGE_SCORE {
                factor *= 2.0;
            }
            scores.iter_mut().for_each(|score| *score *= factor);
            *tensor = Tensor::from_f32(tensor.shape().dimensions(), &scores)?;
        }
    }
    Ok(inputs)
}
