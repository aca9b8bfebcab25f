//! A run: the whole forward pass of a case, chained, and everything that was seen of it.

use capture::{Capture, Case, CaseError, Sink, Tensor, TensorName};
use ndarray::parallel::prelude::*;
use ndarray::{Array1, Array2, Array3, ArrayView2, ArrayViewD, Axis, s};
use sha2::{Digest, Sha256};

use crate::cache::{Cache, ContextError};
use crate::functions::{greedy, probabilities};
use crate::model::last_position;
use crate::{ForwardError, Gpt2, Observer, Scope, tensors};

/// Why a case cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The case does not fit the model.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// A step cannot be computed.
    #[error(transparent)]
    Forward(#[from] ForwardError),
}

/// The temperatures of `probs.t…`.
const TEMPERATURES: [(&str, f32); 3] = [("probs.t0.5", 0.5), ("probs.t1", 1.0), ("probs.t2", 2.0)];

/// Writes down what it sees of one step; whole caches where they are wanted.
struct Recorder<'a> {
    capture: &'a mut dyn Sink,
    step: usize,
    caches: bool,
}

impl Observer for Recorder<'_> {
    fn see(&mut self, name: &str, value: ArrayViewD<'_, f32>) {
        if name.ends_with(".attn.cache") && !self.caches {
            return;
        }
        let name = TensorName::of_step(self.step, name);
        self.capture.put(name, tensors::from_array(&value).view(), value.is_standard_layout());
    }
}

impl Gpt2 {
    /// Runs a case. Captured are all activations of all steps, `token_ids`, the caches at the first and the last
    /// step, `weights.*`, `head.tied`, `generated` and `generated.logits`.
    pub fn run(&self, case: &Case) -> Result<Capture, RunError> {
        let mut capture = Capture::default();
        self.show(case, &mut capture)?;
        Ok(capture)
    }

    /// Runs a case, and hands each tensor of its capture over as soon as it is computed.
    pub fn show(&self, case: &Case, capture: &mut dyn Sink) -> Result<(), RunError> {
        case.validate(self.config.vocabulary, self.config.context)?;
        self.record_weights(capture);
        let ids = rows(&case.token_ids);
        let mut cache = Cache::new(&self.config, case.batch(), self.config.context);
        let last_step = case.schedule.len() - 1;
        let mut last = Array2::zeros((0, 0));
        for (step, positions) in case.steps().enumerate() {
            let ids = ids.slice(s![.., positions]);
            record_ids(capture, step, ids);
            let caches = step == 0 || step == last_step;
            let recorder = &mut Recorder { capture: &mut *capture, step, caches };
            let logits = self.forward(ids, &mut cache, &mut Scope::new(recorder, ""))?;
            last = last_position(logits.view());
            recorder.see("logits.last", last.view().into_dyn());
            record_probs(last.view(), recorder);
            record_token(last.view(), recorder);
        }
        if case.generate > 0 {
            self.generate(case, last, &mut cache, capture)?;
        }
        Ok(())
    }

    /// Greedy generation with the cache, from the logits of the prompt's last token. Recorded is the model's own
    /// choice at each position; fed is the forced token where there is one.
    fn generate(
        &self,
        case: &Case,
        mut last: Array2<f32>,
        cache: &mut Cache,
        capture: &mut dyn Sink,
    ) -> Result<(), ForwardError> {
        let (batch, vocabulary) = last.dim();
        let mut generated = Array2::zeros((batch, case.generate));
        let mut all_logits = Array3::zeros((batch, case.generate, vocabulary));
        for n in 0..case.generate {
            if n > 0 {
                let fed = fed_tokens(case, generated.column(n - 1).to_owned(), n - 1);
                let logits =
                    self.forward(fed.insert_axis(Axis(1)).view(), cache, &mut Scope::unobserved())?;
                last = last_position(logits.view());
            }
            generated.column_mut(n).assign(&greedy(last.view()));
            all_logits.index_axis_mut(Axis(1), n).assign(&last);
        }
        let ids = tensors::from_ids(generated.shape(), generated.iter().copied());
        let logits = tensors::from_array(&all_logits.view().into_dyn());
        put(capture, TensorName::of_case("generated"), &ids);
        put(capture, TensorName::of_case("generated.logits"), &logits);
        Ok(())
    }

    fn record_weights(&self, capture: &mut dyn Sink) {
        let digests: Vec<_> = self
            .parameters()
            .into_par_iter()
            .map(|(name, values)| (TensorName::of_case(format!("weights.{name}")), digest(&values)))
            .collect();
        for (name, digest) in digests {
            put(capture, name, &tensors::from_bytes(&digest));
        }
        let tied = u8::from(self.head_is_tied());
        put(capture, TensorName::of_case("head.tied"), &tensors::from_bytes(&[tied]));
    }
}

/// `token` of a step, from `logits.last`.
fn record_token(last: ArrayView2<'_, f32>, recorder: &mut Recorder<'_>) {
    let name = TensorName::of_step(recorder.step, "token");
    let tokens = greedy(last);
    put(recorder.capture, name, &tensors::from_ids(tokens.shape(), tokens.iter().copied()));
}

/// `probs.t…` of a step, from `logits.last`.
fn record_probs(last: ArrayView2<'_, f32>, recorder: &mut Recorder<'_>) {
    for (name, temperature) in TEMPERATURES {
        recorder.see(name, probabilities(last, temperature).view().into_dyn());
    }
}

/// `[B, T]`, of rows that a validated case says are equally long.
fn rows(token_ids: &[Vec<i64>]) -> Array2<i64> {
    let tokens = token_ids.first().map_or(0, Vec::len);
    Array2::from_shape_fn((token_ids.len(), tokens), |(row, position)| token_ids[row][position])
}

fn record_ids(capture: &mut dyn Sink, step: usize, ids: ArrayView2<'_, i64>) {
    let tensor = tensors::from_ids(ids.shape(), ids.iter().copied());
    put(capture, TensorName::of_step(step, "token_ids"), &tensor);
}

/// A tensor that was made for the capture.
fn put(capture: &mut dyn Sink, name: TensorName, tensor: &Tensor) {
    capture.put(name, tensor.view(), true);
}

fn fed_tokens(case: &Case, mut own: Array1<i64>, position: usize) -> Array1<i64> {
    for (row, own) in own.iter_mut().enumerate() {
        let forced = case.forced.as_ref().and_then(|forced| forced.get(row)?.get(position));
        *own = forced.copied().unwrap_or(*own);
    }
    own
}

/// SHA-256 of the values as little-endian f32 in C order.
fn digest(values: &ArrayViewD<'_, f32>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for row in values.rows() {
        hasher.update(tensors::to_bytes(row.iter().copied()));
    }
    hasher.finalize().into()
}

impl From<ContextError> for RunError {
    fn from(error: ContextError) -> Self {
        Self::Forward(error.into())
    }
}
