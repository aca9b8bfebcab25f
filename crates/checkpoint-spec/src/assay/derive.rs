//! Expected values that follow from a capture's own activations, or from the law alone.

use capture::{Case, Tensor, TensorName, TensorSource};
use tensor_compare::{DType, TensorError};

use crate::plan::Required;
use crate::results::Outcome;
use crate::spec::Derivation;

/// The expected tensor of the required layout, or why it cannot be derived.
pub(super) fn derive(
    from: Derivation,
    required: &Required,
    case: &Case,
    own: Option<&dyn TensorSource>,
) -> Result<Tensor, Outcome> {
    let own = Own { source: own, required };
    let past = required.name.step.and_then(|step| case.steps().nth(step)).map_or(0, |step| step.start);
    let built = match from {
        Derivation::One => filled(required, 1),
        Derivation::ScheduledTokens => scheduled_tokens(required, case),
        Derivation::KeysSoFar => own.so_far("k")?,
        Derivation::ValuesSoFar => own.so_far("v")?,
        Derivation::CacheSlots => own.cache_slots()?,
        Derivation::CausalMask => causal_mask(required, past),
        Derivation::LastPosition => own.last_position()?,
        Derivation::Argmax => own.argmax()?,
    };
    built.map_err(|error| Outcome::Unreadable {
        problem: format!("expected values cannot be derived: {error}"),
    })
}

type Built = Result<Tensor, TensorError>;

fn filled(required: &Required, byte: u8) -> Built {
    Tensor::new(
        required.dtype,
        required.shape.clone(),
        vec![byte; required.shape.elements() * required.dtype.size()],
    )
}

fn scheduled_tokens(required: &Required, case: &Case) -> Built {
    let range = required.name.step.and_then(|step| case.steps().nth(step)).unwrap_or(0..case.tokens());
    let ids = case.token_ids.iter().flat_map(|row| row.get(range.clone()).unwrap_or_default());
    Tensor::new(required.dtype, required.shape.clone(), ids.flat_map(|id| id.to_le_bytes()).collect())
}

/// `[…, S, K]`: 0 where `key <= past + query`, −∞ elsewhere.
fn causal_mask(required: &Required, past: usize) -> Built {
    let dimensions = required.shape.dimensions();
    let keys = dimensions.last().copied().unwrap_or(1).max(1);
    let queries = dimensions.iter().rev().nth(1).copied().unwrap_or(1).max(1);
    let element = |flat: usize| {
        let (key, query) = (flat % keys, flat / keys % queries);
        if key <= past + query { 0.0f32 } else { f32::NEG_INFINITY }
    };
    let bytes = (0..required.shape.elements()).flat_map(|flat| element(flat).to_le_bytes()).collect();
    Tensor::new(required.dtype, required.shape.clone(), bytes)
}

/// The capture that a derivation reads, and what it derives.
struct Own<'a> {
    source: Option<&'a dyn TensorSource>,
    required: &'a Required,
}

impl Own<'_> {
    /// A sibling activation of any step: missing here is missing evidence.
    fn sibling(&self, step: Option<usize>, activation: &str) -> Result<Tensor, Outcome> {
        let name = TensorName { step, activation: activation.to_owned() };
        let missing = || Outcome::Missing { side: format!("subject (`{name}`, from which this follows)") };
        match self.source.ok_or_else(missing)?.tensor(&name) {
            Ok(tensor) => tensor.ok_or_else(missing),
            Err(error) => Err(Outcome::Unreadable { problem: error.to_string() }),
        }
    }

    /// `h.3.attn.` of `h.3.attn.cached_k`.
    fn prefix(&self) -> &str {
        let name = &self.required.name.activation;
        name.rfind('.').map_or("", |dot| &name[..=dot])
    }

    /// `k` or `v` of steps `0..=step`, `[B, S, H, Dh]` each.
    fn each_step(&self, which: &str) -> Result<Vec<Tensor>, Outcome> {
        let activation = format!("{}{which}", self.prefix());
        (0..=self.required.name.step.unwrap_or(0)).map(|step| self.sibling(Some(step), &activation)).collect()
    }

    fn so_far(&self, which: &str) -> Result<Built, Outcome> {
        let steps = self.each_step(which)?;
        let rows = concatenate(&steps, self.required.shape.dimensions().first().copied().unwrap_or(0));
        Ok(Tensor::new(self.required.dtype, self.required.shape.clone(), rows.concat()))
    }

    /// `[2, B, C, H, Dh]`: keys, then values; each row's slots from 0, zeros after them.
    fn cache_slots(&self) -> Result<Built, Outcome> {
        let [_, batch, context, heads, head_dim] = *self.required.shape.dimensions() else {
            let problem = format!("a cache needs five dimensions, the spec gives {}", self.required.shape);
            return Err(Outcome::Unreadable { problem });
        };
        let row_bytes = context * heads * head_dim * self.required.dtype.size();
        let mut bytes = Vec::new();
        for which in ["k", "v"] {
            for mut row in concatenate(&self.each_step(which)?, batch) {
                row.resize(row_bytes.max(row.len()), 0);
                bytes.append(&mut row);
            }
        }
        Ok(Tensor::new(self.required.dtype, self.required.shape.clone(), bytes))
    }

    /// `[B, S, V]` → `[B, V]`.
    fn last_position(&self) -> Result<Built, Outcome> {
        let logits = self.sibling(self.required.name.step, "logits")?;
        let [_, positions, vocabulary] = *logits.shape().dimensions() else {
            let problem = format!("`logits` needs three dimensions, found {}", logits.shape());
            return Err(Outcome::Unreadable { problem });
        };
        let position = vocabulary * logits.dtype().size();
        let rows = logits.bytes().chunks_exact((positions * position).max(1));
        let last = rows.flat_map(|row| row[(positions - 1) * position..].iter().copied()).collect();
        Ok(Tensor::new(logits.dtype(), self.required.shape.clone(), last))
    }

    /// `[B, V]` → `[B]`, lowest index on ties; an index no token has where a row holds NaN.
    fn argmax(&self) -> Result<Built, Outcome> {
        let logits = self.sibling(self.required.name.step, "logits.last")?;
        let vocabulary = logits.shape().dimensions().last().copied().unwrap_or(1).max(1);
        let values = logits.view().to_f64_lossy();
        let tokens = values.chunks_exact(vocabulary).map(argmax).flat_map(i64::to_le_bytes).collect();
        Ok(Tensor::new(DType::I64, self.required.shape.clone(), tokens))
    }
}

/// Index of the largest value, the lowest on ties; −1 where a value is NaN.
fn argmax(row: &[f64]) -> i64 {
    let mut best = 0;
    for (index, value) in row.iter().enumerate() {
        if value.is_nan() {
            return -1;
        }
        if *value > row[best] {
            best = index;
        }
    }
    i64::try_from(best).unwrap_or(-1)
}

/// The bytes of each batch row, steps one after the other. Every tensor's first dimension is the batch.
fn concatenate(steps: &[Tensor], batch: usize) -> Vec<Vec<u8>> {
    let row = |tensor: &Tensor, row: usize| {
        let length = tensor.bytes().len().checked_div(batch).unwrap_or(0);
        tensor.bytes()[row * length..(row + 1) * length].to_vec()
    };
    (0..batch).map(|b| steps.iter().flat_map(|tensor| row(tensor, b)).collect()).collect()
}
