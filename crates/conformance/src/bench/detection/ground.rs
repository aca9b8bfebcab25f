//! What bugs are put into: a model, a case, and a correct run of it, judged from its own inputs.

use anyhow::Result;
use capture::{Capture, Case, Precision, Tensor, TensorName};
use checkpoint_spec::{Required, SpecSet, Traits, confidence, required};
use gpt2::Gpt2;
use oracle::Rounding;

use crate::model::Model;

/// Scores at least this large are more than `exp` of an f32 can hold.
const LARGE_SCORE: f32 = 128.0;

/// A case of a model, and what a correct implementation leaves of it.
pub(super) struct Ground<'a> {
    /// The law.
    pub specs: &'a SpecSet,
    /// The model, as the oracle computes it.
    pub oracle: &'a oracle::Model,
    /// The model.
    pub model: &'a Gpt2,
    /// The case.
    pub case: Case,
    /// What is looked at, in execution order.
    pub required: Vec<Required>,
    /// A run of the Rust GPT-2.
    pub run: Capture,
    /// `c`.
    pub confidence: f64,
    /// Whether some of it was given, so that the run is no chain.
    pub is_given: bool,
    rules: Vec<Rounding>,
}

impl<'a> Ground<'a> {
    /// A case as it comes.
    pub(super) fn new(
        specs: &'a SpecSet,
        files: &Model,
        oracle: &'a oracle::Model,
        model: &'a Gpt2,
        case: Case,
    ) -> Result<Self> {
        let traits = Traits { preallocated_cache: false, tokenizer: false };
        let confidence = confidence(specs, &files.architecture, &[&case])?;
        Ok(Self {
            specs,
            oracle,
            model,
            required: required(specs, &files.architecture, &case, traits, Precision::F32)?,
            run: model.run(&case)?,
            confidence,
            is_given: false,
            rules: specs.rules(confidence, Precision::F32),
            case,
        })
    }

    /// The same with scores so large that a softmax must subtract their maximum. Only the softmax is looked at then:
    /// scores are what it is given.
    pub(super) fn saturated(&self) -> Result<Self> {
        let given = with_large_scores(&self.run)?;
        let is_softmax = |name: &TensorName| name.activation.ends_with(".attn.probs");
        let mut run = given.clone();
        run.tensors.extend(self.model.replay(&self.case, &given, &is_softmax)?.tensors);
        let required = self.required.iter().filter(|required| is_softmax(&required.name)).cloned().collect();
        let (case, rules) = (self.case.clone(), self.rules.clone());
        Ok(Self { required, run, case, rules, is_given: true, ..*self })
    }

    /// The rules by which the oracle bounds errors.
    pub(super) fn rules(&self) -> &[Rounding] {
        &self.rules
    }
}

/// The same run, but for scores: those are multiplied by a power of two until the largest is too large for `exp`.
fn with_large_scores(run: &Capture) -> Result<Capture> {
    let mut run = run.clone();
    for (name, tensor) in &mut run.tensors {
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
    Ok(run)
}
