//! The sizes of a model, from its `config.json`.

use std::path::Path;

use serde::Deserialize;

use crate::LoadError;

#[cfg(test)]
mod tests;

/// The sizes of a model. All are at least 1 and small enough that products of three fit; heads divide the width.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// L.
    pub layers: usize,
    /// D.
    pub width: usize,
    /// H.
    pub heads: usize,
    /// C: the positions there are.
    pub context: usize,
    /// V.
    pub vocabulary: usize,
    /// F: width of the feed-forward half, 4·D unless the model says otherwise.
    pub inner: usize,
    /// Added to the variance in every layer norm.
    pub epsilon: f64,
}

/// The largest size accepted: products of three such sizes fit in 64 bits.
const LARGEST: usize = 1 << 20;

/// `config.json` as Hugging Face writes it. Fields that do not change the forward pass are not read.
#[derive(Deserialize)]
struct Raw {
    model_type: Option<String>,
    n_layer: usize,
    n_embd: usize,
    n_head: usize,
    n_positions: usize,
    n_ctx: Option<usize>,
    vocab_size: usize,
    n_inner: Option<usize>,
    layer_norm_epsilon: f64,
    activation_function: Option<String>,
    scale_attn_weights: Option<bool>,
    scale_attn_by_inverse_layer_idx: Option<bool>,
    add_cross_attention: Option<bool>,
    tie_word_embeddings: Option<bool>,
}

impl Config {
    /// Reads `config.json` in a model's directory. Whatever would change the computation and is not supported is an
    /// error.
    pub fn read(directory: &Path) -> Result<Self, LoadError> {
        let path = directory.join("config.json");
        let text =
            std::fs::read_to_string(&path).map_err(|source| LoadError::Io { path: path.clone(), source })?;
        Self::parse(&text).map_err(|problem| LoadError::Config { path, problem })
    }

    /// Width of one head, `D/H`.
    pub fn head_dim(&self) -> usize {
        self.width / self.heads
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let raw: Raw = serde_json::from_str(text).map_err(|error| error.to_string())?;
        raw.refuse_unsupported()?;
        let config = Self {
            layers: raw.n_layer,
            width: raw.n_embd,
            heads: raw.n_head,
            context: raw.n_positions,
            vocabulary: raw.vocab_size,
            inner: raw.n_inner.unwrap_or(raw.n_embd.saturating_mul(4)),
            epsilon: raw.layer_norm_epsilon,
        };
        config.check()?;
        match raw.n_ctx {
            Some(context) if context != config.context => Err(format!(
                "n_ctx is {context} and n_positions {}: they must agree, or n_ctx be left out",
                config.context
            )),
            _ => Ok(config),
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let sizes = [
            ("n_layer", self.layers),
            ("n_embd", self.width),
            ("n_head", self.heads),
            ("n_positions", self.context),
            ("vocab_size", self.vocabulary),
            ("n_inner", self.inner),
        ];
        for (name, size) in sizes {
            if !(1..=LARGEST).contains(&size) {
                return Err(format!("{name} is {size}, expected 1 to {LARGEST}"));
            }
        }
        if !self.width.is_multiple_of(self.heads) {
            return Err(format!("n_embd {} is not a multiple of n_head {}", self.width, self.heads));
        }
        if !(self.epsilon.is_finite() && self.epsilon > 0.0) {
            return Err(format!("layer_norm_epsilon is {}, expected a number above 0", self.epsilon));
        }
        Ok(())
    }
}

impl Raw {
    fn refuse_unsupported(&self) -> Result<(), String> {
        let refuse = |field: &str, found: &dyn std::fmt::Display, expected: &str| {
            Err(format!("{field} is {found}; this model computes {expected} only"))
        };
        match self.model_type.as_deref() {
            None | Some("gpt2") => {}
            Some(other) => return refuse("model_type", &other, "gpt2"),
        }
        match self.activation_function.as_deref() {
            // Two names of one formula.
            None | Some("gelu_new" | "gelu_pytorch_tanh") => {}
            Some(other) => return refuse("activation_function", &other, "gelu_new (gelu_pytorch_tanh)"),
        }
        for (field, found, supported) in [
            ("scale_attn_weights", self.scale_attn_weights, true),
            ("scale_attn_by_inverse_layer_idx", self.scale_attn_by_inverse_layer_idx, false),
            ("add_cross_attention", self.add_cross_attention, false),
            ("tie_word_embeddings", self.tie_word_embeddings, true),
        ] {
            if found.is_some_and(|found| found != supported) {
                return refuse(field, &!supported, if supported { "true" } else { "false" });
            }
        }
        Ok(())
    }
}
