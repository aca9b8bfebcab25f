//! Models of any size with seeded random weights, for speed, scale and awkward shapes.
//!
//! The weights are those of no trained model, but nothing about them is trivial: attention is far from uniform, norms
//! differ from channel to channel, no bias is zero. The same spec gives the same bytes on every machine: they are
//! made from integers and one multiplication each.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{Config, safetensors};

pub use crate::safetensors::Stored;

#[cfg(test)]
mod tests;

/// Which model: `gpt2`, `gpt2-medium`, `gpt2-large`, `gpt2-xl` or `L,D,H,V,C` (layers, width, heads, vocabulary,
/// context), each with `@seed` after it or without, and with `+outlier` after that or without.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticSpec {
    /// Sizes.
    pub config: Config,
    /// Seed of the weights; 0 unless the text says otherwise.
    pub seed: u64,
    /// Whether one channel of the stream is [`OUTLIER`] times as large as the others, as in trained models.
    pub outlier: bool,
}

/// How much larger the channel of `+outlier` is.
pub const OUTLIER: f32 = 300.0;

/// Why a text is no [`SyntheticSpec`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no synthetic model: {problem}; expected gpt2, gpt2-medium, gpt2-large, gpt2-xl or L,D,H,V,C (layers, width, heads, vocabulary, context), then optionally @seed and +outlier"
)]
pub struct SpecError {
    text: String,
    problem: String,
}

/// A tensor's values are `mean + spread · z`, with `z` about normal.
#[derive(Clone, Copy)]
struct Distribution {
    mean: f32,
    spread: f32,
}

/// Writes `config.json` and `model.safetensors` into `directory`, which is made if need be. The head is tied and not
/// stored.
pub fn write(directory: &Path, spec: &SyntheticSpec) -> io::Result<()> {
    write_altered(directory, spec, Stored::F32, &|_, _| {})
}

/// The same with other weights: `alter` is given the name and the values of each tensor.
pub fn write_altered(
    directory: &Path,
    spec: &SyntheticSpec,
    stored: Stored,
    alter: &dyn Fn(&str, &mut [f32]),
) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join("model.safetensors");
    safetensors::write(&path, stored, &shapes(&spec.config), |name, shape| {
        let mut values = spec.values(name, shape);
        alter(name, &mut values);
        values
    })?;
    let mut config = serde_json::to_string_pretty(&spec.config_json())?;
    config.push('\n');
    std::fs::write(directory.join("config.json"), config)
}

impl SyntheticSpec {
    /// The values of one tensor, in C order.
    fn values(&self, name: &str, shape: &[usize]) -> Vec<f32> {
        let Distribution { mean, spread } = distribution(&self.config, name, shape);
        let width = shape[shape.len() - 1];
        let seed: [u8; 32] = Sha256::digest(format!("trialplate synthetic {} {name}", self.seed)).into();
        let mut values = vec![0.0; shape.iter().product()];
        values.par_chunks_mut(width).enumerate().for_each(|(row, values)| {
            // One stream of random numbers per row, so that rows can be filled in any order.
            let mut random = ChaCha8Rng::from_seed(seed);
            random.set_stream(row as u64);
            values.iter_mut().for_each(|value| *value = mean + spread * about_normal(&mut random));
        });
        if self.outlier && name == "wpe.weight" {
            let channel = width / 3;
            values.chunks_mut(width).for_each(|row| row[channel] = OUTLIER * spread);
        }
        values
    }

    /// `config.json` as Hugging Face writes it.
    pub fn config_json(&self) -> serde_json::Value {
        json!({
            "activation_function": "gelu_new",
            "architectures": ["GPT2LMHeadModel"],
            "attn_pdrop": 0.0,
            "bos_token_id": null,
            "embd_pdrop": 0.0,
            "eos_token_id": null,
            "layer_norm_epsilon": self.config.epsilon,
            "model_type": "gpt2",
            "n_embd": self.config.width,
            "n_head": self.config.heads,
            "n_inner": null,
            "n_layer": self.config.layers,
            "n_positions": self.config.context,
            "resid_pdrop": 0.0,
            "scale_attn_by_inverse_layer_idx": false,
            "scale_attn_weights": true,
            "tie_word_embeddings": true,
            "vocab_size": self.config.vocabulary,
        })
    }
}

/// Names and shapes of all tensors of a model, as Hugging Face stores them.
fn shapes(config: &Config) -> Vec<(String, Vec<usize>)> {
    let (width, inner) = (config.width, config.inner);
    let mut all = vec![
        ("wte.weight".to_owned(), vec![config.vocabulary, width]),
        ("wpe.weight".to_owned(), vec![config.context, width]),
    ];
    for l in 0..config.layers {
        for (part, inputs, outputs) in [
            ("attn.c_attn", width, 3 * width),
            ("attn.c_proj", width, width),
            ("mlp.c_fc", width, inner),
            ("mlp.c_proj", inner, width),
        ] {
            all.push((format!("h.{l}.{part}.weight"), vec![inputs, outputs]));
            all.push((format!("h.{l}.{part}.bias"), vec![outputs]));
        }
    }
    let norms = (0..config.layers).flat_map(|l| [format!("h.{l}.ln_1"), format!("h.{l}.ln_2")]);
    for norm in norms.chain(["ln_f".to_owned()]) {
        all.push((format!("{norm}.weight"), vec![width]));
        all.push((format!("{norm}.bias"), vec![width]));
    }
    all
}

/// Near those of trained GPT-2s: matrices keep the size of what passes through them, results added to the stream
/// shrink with depth.
fn distribution(config: &Config, name: &str, shape: &[usize]) -> Distribution {
    let depth = (2.0 * config.layers as f32).sqrt();
    let inputs = (shape[0] as f32).sqrt();
    let (mean, spread) = match name {
        "wte.weight" => (0.0, 0.14),
        "wpe.weight" => (0.0, 0.05),
        name if name.ends_with("c_attn.weight") => (0.0, 2.5 / inputs),
        name if name.ends_with("c_fc.weight") => (0.0, 1.0 / inputs),
        name if name.ends_with("c_proj.weight") => (0.0, 2.0 / (inputs * depth)),
        name if name.contains("ln_") && name.ends_with("weight") => (1.0, 0.1),
        _ => (0.0, 0.05),
    };
    Distribution { mean, spread }
}

/// The sum of eight uniform numbers, with mean 0 and variance 1.
fn about_normal(random: &mut ChaCha8Rng) -> f32 {
    let halves = |word: u64| [word, word >> 16, word >> 32, word >> 48].map(|part| (part & 0xffff) as i32);
    let sum: i32 = [random.next_u64(), random.next_u64()].into_iter().flat_map(halves).sum();
    // 8 uniform integers below 2¹⁶ have the mean 4·(2¹⁶ − 1) and the variance 8·(2³² − 1)/12.
    const MEAN: i32 = 4 * 0xffff;
    const DEVIATION: f32 = 53_510.15;
    (sum - MEAN) as f32 / DEVIATION
}

impl FromStr for SyntheticSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let error = |problem: String| SpecError { text: text.to_owned(), problem };
        let (rest, outlier) = match text.strip_suffix("+outlier") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (sizes, seed) = match rest.split_once('@') {
            Some((sizes, seed)) => {
                (sizes, seed.parse().map_err(|_| error(format!("the seed `{seed}` is no whole number")))?)
            }
            None => (rest, 0),
        };
        let [layers, width, heads, vocabulary, context] = match sizes {
            "gpt2" => [12, 768, 12, 50257, 1024],
            "gpt2-medium" => [24, 1024, 16, 50257, 1024],
            "gpt2-large" => [36, 1280, 20, 50257, 1024],
            "gpt2-xl" => [48, 1600, 25, 50257, 1024],
            sizes => five_sizes(sizes).ok_or_else(|| error("those are not five sizes".to_owned()))?,
        };
        let inner = width.saturating_mul(4);
        let config = Config { layers, width, heads, context, vocabulary, inner, epsilon: 1e-5 };
        config.check().map_err(error)?;
        Ok(Self { config, seed, outlier })
    }
}

fn five_sizes(text: &str) -> Option<[usize; 5]> {
    let sizes: Vec<usize> = text.split(',').map(|size| size.trim().parse().ok()).collect::<Option<_>>()?;
    sizes.try_into().ok()
}

impl fmt::Display for SyntheticSpec {
    /// The form with five sizes, which [`FromStr`] reads back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { layers, width, heads, vocabulary, context, .. } = self.config;
        write!(f, "{layers},{width},{heads},{vocabulary},{context}@{}", self.seed)?;
        if self.outlier { f.write_str("+outlier") } else { Ok(()) }
    }
}
