//! Models of seeded weights, of any family: GPT-2s of any size, and one small model of every kind that another family knows.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};
use checkpoint_spec::{SpecSet, family_of};
use gpt2::synthetic::SyntheticSpec;
use oracle::Weights;
use serde_json::{Value, json};

use harness::interrupt::Interrupt;
use harness::model::architecture;

/// Which model of seeded weights.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Synthetic {
    /// A GPT-2.
    Gpt2(SyntheticSpec),
    /// A model of the Llama family: its variant, and the seed of its weights.
    Llama(Variant, u64),
}

/// Models of the Llama family, each with something that others have not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    /// Nothing beyond what all have.
    Llama,
    /// Frequencies that are scaled as Llama 3.1 does.
    Llama3,
    /// Positions that are divided.
    Linear,
    /// A window of 5 keys, which every case of several tokens goes beyond.
    Mistral,
    /// Biases, and a tied head.
    Qwen2,
    /// Norms of queries and keys, and heads that are wider than the width has room for.
    Qwen3,
}

impl Variant {
    const ALL: [(&str, Self); 6] = [
        ("llama", Self::Llama),
        ("llama3", Self::Llama3),
        ("linear", Self::Linear),
        ("mistral", Self::Mistral),
        ("qwen2", Self::Qwen2),
        ("qwen3", Self::Qwen3),
    ];

    /// `config.json` as Hugging Face writes it.
    fn config_json(self) -> Value {
        let (model_type, class) = match self {
            Self::Llama | Self::Llama3 | Self::Linear => ("llama", "LlamaForCausalLM"),
            Self::Mistral => ("mistral", "MistralForCausalLM"),
            Self::Qwen2 => ("qwen2", "Qwen2ForCausalLM"),
            Self::Qwen3 => ("qwen3", "Qwen3ForCausalLM"),
        };
        let mut config = json!({
            "architectures": [class], "model_type": model_type, "hidden_act": "silu", "vocab_size": 256,
            "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}, "tie_word_embeddings": false,
            "attention_dropout": 0.0, "bos_token_id": null, "eos_token_id": null, "pad_token_id": null,
            "torch_dtype": "float32",
        });
        for (name, value) in self.own_fields() {
            config[name] = value;
        }
        config
    }

    fn own_fields(self) -> Vec<(&'static str, Value)> {
        let wide = json!({"rope_type": "default", "rope_theta": 1_000_000.0});
        match self {
            Self::Llama => vec![("attention_bias", json!(false)), ("mlp_bias", json!(false))],
            Self::Llama3 => vec![(
                "rope_parameters",
                json!({"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 8.0, "low_freq_factor": 1.0,
                       "high_freq_factor": 4.0, "original_max_position_embeddings": 32}),
            )],
            Self::Linear => vec![(
                "rope_parameters",
                json!({"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}),
            )],
            Self::Mistral => vec![("sliding_window", json!(5))],
            Self::Qwen2 => vec![
                ("tie_word_embeddings", json!(true)),
                ("rms_norm_eps", json!(1e-6)),
                ("rope_parameters", wide),
                ("use_sliding_window", json!(false)),
                ("sliding_window", json!(null)),
            ],
            Self::Qwen3 => vec![
                ("head_dim", json!(24)),
                ("rms_norm_eps", json!(1e-6)),
                ("rope_parameters", wide),
                ("attention_bias", json!(false)),
                ("use_sliding_window", json!(false)),
                ("sliding_window", json!(null)),
            ],
        }
    }
}

impl Synthetic {
    /// `config.json` as Hugging Face writes it.
    pub(super) fn config_json(&self) -> Value {
        match self {
            Self::Gpt2(spec) => spec.config_json(),
            Self::Llama(variant, _) => variant.config_json(),
        }
    }

    /// Generates the weights into a directory of the cache, unless they are there.
    pub(super) fn generate(&self, spec: &str, models: &Path, interrupt: &Interrupt) -> Result<PathBuf> {
        let directory = models.join(format!("synthetic-{}", spec.replace([',', ':'], "-")));
        if !directory.is_dir() {
            std::fs::create_dir_all(models).with_context(|| models.display().to_string())?;
            let unfinished = tempfile::tempdir_in(models)?;
            let (folder, parsed) = (unfinished.path().to_owned(), self.clone());
            interrupt
                .watch(move || parsed.write(&folder))?
                .with_context(|| format!("{}: the weights cannot be written", directory.display()))?;
            // Another run may have been first; its weights are the same.
            if let Err(error) = std::fs::rename(unfinished.path(), &directory)
                && !directory.is_dir()
            {
                return Err(error).with_context(|| directory.display().to_string());
            }
        }
        Ok(directory)
    }

    fn write(&self, folder: &Path) -> Result<()> {
        match self {
            Self::Gpt2(spec) => Ok(gpt2::synthetic::write(folder, spec)?),
            Self::Llama(variant, seed) => write(folder, &variant.config_json(), *seed),
        }
    }
}

/// Writes a model of any family: its configuration, and seeded weights under the names that Hugging Face gives them.
pub(super) fn write(folder: &Path, config: &Value, seed: u64) -> Result<()> {
    let (family, architecture) = (family_of(config)?, architecture(config)?);
    let graph = SpecSet::of_model(&architecture)?.graph();
    let weights = Weights::seeded(&graph, &architecture, seed)?;
    let prefix = family.prefixes.first().map_or("", String::as_str);
    // Heads are beside the model that the prefix names.
    let stored = |name: &str| {
        let is_beside = family.tied.contains_key(name);
        if is_beside { name.to_owned() } else { format!("{prefix}{name}") }
    };
    std::fs::create_dir_all(folder)?;
    weights.write(&folder.join("model.safetensors"), stored)?;
    let mut text = serde_json::to_string_pretty(config)?;
    text.push('\n');
    std::fs::write(folder.join("config.json"), text)?;
    Ok(())
}

impl FromStr for Synthetic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("llama:") else {
            let spec = text.parse::<SyntheticSpec>().map_err(|error| error.to_string())?;
            return Ok(Self::Gpt2(spec));
        };
        let (name, seed) = rest.split_once('@').unwrap_or((rest, "0"));
        let seed = seed.parse().map_err(|_| format!("the seed `{seed}` is no whole number"))?;
        match Variant::ALL.into_iter().find(|(known, _)| *known == name) {
            Some((_, variant)) => Ok(Self::Llama(variant, seed)),
            None => {
                let known = Variant::ALL.map(|(name, _)| name).join(", ");
                Err(format!(
                    "`llama:{name}` is no synthetic model; there are: {known}, each with @seed or without"
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use harness::model::Model;

    use super::*;

    #[test]
    fn every_variant_is_read_written_and_loaded() {
        for (name, _) in Variant::ALL {
            let model: Synthetic = format!("llama:{name}@3").parse().unwrap();
            let folder = tempfile::tempdir().unwrap();
            model.write(folder.path()).unwrap();
            let opened = Model::open(name.to_owned(), folder.path()).unwrap();
            assert_eq!(
                (opened.architecture.family.as_str(), opened.size("G").unwrap()),
                ("llama", 2),
                "{name}"
            );
            let text = std::fs::read(folder.path().join("model.safetensors")).unwrap();
            let again = tempfile::tempdir().unwrap();
            model.write(again.path()).unwrap();
            assert!(std::fs::read(again.path().join("model.safetensors")).unwrap() == text, "{name}");
        }
    }

    #[test]
    fn what_is_no_model_is_told_with_what_is() {
        let problem = |text: &str| text.parse::<Synthetic>().unwrap_err();
        assert!(problem("llama:gemma").contains("qwen3"));
        assert!(problem("llama:qwen3@x").contains("seed `x`"));
        assert!(problem("gemma").contains("gpt2-medium"));
        assert_eq!("2,16,2,48,16@1".parse::<Synthetic>().unwrap().config_json()["n_layer"], 2);
    }
}
