//! `family.toml`: how `config.json` and weights of a family are read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Architecture;
use crate::expression::evaluate;
use crate::template::in_layer;

/// A family of models that one graph describes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    /// `gpt2`.
    pub name: String,
    /// What these models are, with the source.
    pub about: String,
    /// `architectures` of `config.json` that belong to the family.
    pub architectures: Vec<String>,
    /// `model_type` of `config.json`.
    pub model_type: String,
    /// Where `config.json` has the number of layers.
    pub layers: String,
    /// What names of stored weights may begin with.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// How names of stored buffers end that nothing reads.
    #[serde(default)]
    pub buffers: Vec<String>,
    /// Stored copies of other weights: name of the copy, name of the weight.
    #[serde(default)]
    pub tied: BTreeMap<String, String>,
    /// Sizes by symbol.
    pub sizes: BTreeMap<String, SizeSource>,
    /// Constants by name: where `config.json` has them.
    pub constants: BTreeMap<String, String>,
    /// Which activations play a part that laws and reports know.
    pub roles: Roles,
    /// Options of `config.json` that change the computation.
    #[serde(default, rename = "option")]
    pub options: Vec<OptionSpec>,
    /// The weights.
    #[serde(rename = "weight")]
    pub weights: Vec<WeightSpec>,
}

/// Where a size comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeSource {
    /// The field of `config.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The size where there is no such field, or where there is no path: `4*D`, `D/H`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
}

/// Activations by the part they play.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// The token ids of a step.
    pub tokens: String,
    /// The residual stream, where it can be observed.
    pub stream: Vec<String>,
    /// The logits of all positions.
    pub logits: String,
    /// The logits of the last position.
    pub last_logits: String,
    /// The token that follows from them.
    pub token: String,
    /// The generated tokens of a whole case.
    pub generated: String,
    /// The logits that they were taken from.
    pub generated_logits: String,
}

impl Roles {
    /// Every activation that plays a part.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        let single = [
            &self.tokens,
            &self.logits,
            &self.last_logits,
            &self.token,
            &self.generated,
            &self.generated_logits,
        ];
        self.stream.iter().chain(single).map(String::as_str)
    }
}

/// An option of `config.json` that changes the computation, and the values that the graph describes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptionSpec {
    /// The field of `config.json`.
    pub path: String,
    /// The values that are described; a field that is absent or null is one of them.
    pub allowed: Vec<Value>,
    /// What the option does.
    pub reason: String,
}

/// One weight, in every layer where its name says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightSpec {
    /// The canonical name, without prefix; `{l}` stands for every layer.
    pub name: String,
    /// Its dimensions: sizes, products and quotients of them.
    pub shape: Vec<String>,
}

/// An option that the graph does not describe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The field of `config.json`.
    pub option: String,
    /// What it is set to.
    pub found: String,
    /// What the graph describes.
    pub expected: String,
    /// What the option does.
    pub reason: String,
}

/// Why a model's configuration is none of this family.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FamilyError {
    /// `family.toml` is not TOML, or not of the schema.
    #[error("family.toml: {problem}")]
    Syntax {
        /// What is wrong, and where.
        problem: String,
    },
    /// `config.json` lacks a number, or has something else in its place.
    #[error("`{path}` is {found}, expected {expected}")]
    Field {
        /// The field.
        path: String,
        /// What is there.
        found: String,
        /// What must be.
        expected: &'static str,
    },
    /// A size does not follow from the others.
    #[error("there is no size `{symbol}`: {rule} is no whole number")]
    Size {
        /// The symbol.
        symbol: String,
        /// From what it follows.
        rule: String,
    },
    /// An option that changes the computation and is not described.
    #[error("`{}` is {}, expected {}: {}", .0.option, .0.found, .0.expected, .0.reason)]
    Refused(Refused),
}

impl Family {
    /// Reads `family.toml`.
    ///
    /// # Errors
    /// [`FamilyError::Syntax`].
    pub fn parse(text: &str) -> Result<Self, FamilyError> {
        toml::from_str(text)
            .map_err(|error| FamilyError::Syntax { problem: error.to_string().trim_end().to_owned() })
    }

    /// Sizes and constants of the model that `config.json` describes.
    ///
    /// # Errors
    /// If a size or constant is missing, or an option changes the computation in a way that is not described.
    pub fn architecture(&self, config: &Value) -> Result<Architecture, FamilyError> {
        self.options.iter().try_for_each(|option| option.check(config))?;
        let mut sizes = BTreeMap::new();
        for (symbol, source) in &self.sizes {
            if let Some(size) = source.given(config)? {
                sizes.insert(symbol.clone(), size);
            }
        }
        while let Some((symbol, size)) = self.next_size(&sizes) {
            sizes.insert(symbol, size);
        }
        if let Some((symbol, source)) = self.sizes.iter().find(|(symbol, _)| !sizes.contains_key(*symbol)) {
            let rule = source.otherwise.clone().or_else(|| source.path.clone()).unwrap_or_default();
            return Err(FamilyError::Size { symbol: symbol.clone(), rule });
        }
        let number = |path: &String| {
            config.get(path).and_then(Value::as_f64).ok_or_else(|| field(config, path, "a number"))
        };
        let constants: Result<BTreeMap<String, f64>, FamilyError> =
            self.constants.iter().map(|(name, path)| Ok((name.clone(), number(path)?))).collect();
        let layers = whole(config, &self.layers)?
            .ok_or_else(|| field(config, &self.layers, "a whole number above 0"))?;
        Ok(Architecture { family: self.name.clone(), layers, sizes, constants: constants? })
    }

    /// Every weight of a model, by canonical name, with its shape.
    ///
    /// # Errors
    /// [`FamilyError::Size`] where a dimension has no size.
    pub fn weights(&self, architecture: &Architecture) -> Result<BTreeMap<String, Vec<usize>>, FamilyError> {
        let mut weights = BTreeMap::new();
        for weight in &self.weights {
            let shape = self.weight_shape(weight, architecture)?;
            if weight.name.contains("{l}") {
                for layer in 0..architecture.layers {
                    let name = in_layer(&weight.name, Some(layer), architecture.layers);
                    weights.insert(name, shape.clone());
                }
            } else {
                weights.insert(weight.name.clone(), shape);
            }
        }
        Ok(weights)
    }

    /// The shape of one weight, the same in all layers.
    ///
    /// # Errors
    /// [`FamilyError::Size`] where a dimension has no size.
    pub fn weight_shape(
        &self,
        weight: &WeightSpec,
        architecture: &Architecture,
    ) -> Result<Vec<usize>, FamilyError> {
        let dimension = |text: &String| {
            evaluate(text, &architecture.sizes)
                .ok_or_else(|| FamilyError::Size { symbol: weight.name.clone(), rule: text.clone() })
        };
        weight.shape.iter().map(dimension).collect()
    }

    /// The canonical name of a stored tensor; none for a buffer that nothing reads.
    pub fn canonical<'a>(&self, stored: &'a str) -> Option<&'a str> {
        let name =
            self.prefixes.iter().find_map(|prefix| stored.strip_prefix(prefix.as_str())).unwrap_or(stored);
        (!self.buffers.iter().any(|buffer| name.ends_with(buffer.as_str()))).then_some(name)
    }

    fn next_size(&self, sizes: &BTreeMap<String, usize>) -> Option<(String, usize)> {
        self.sizes.iter().filter(|(symbol, _)| !sizes.contains_key(*symbol)).find_map(|(symbol, source)| {
            Some((symbol.clone(), evaluate(source.otherwise.as_deref()?, sizes)?))
        })
    }
}

impl SizeSource {
    fn given(&self, config: &Value) -> Result<Option<usize>, FamilyError> {
        match &self.path {
            None => Ok(None),
            Some(path) => match whole(config, path)? {
                None if self.otherwise.is_none() => Err(field(config, path, "a whole number above 0")),
                found => Ok(found),
            },
        }
    }
}

impl OptionSpec {
    /// The values that the graph describes, in words.
    fn described(&self) -> String {
        let allowed: Vec<String> = self.allowed.iter().map(Value::to_string).collect();
        if allowed.is_empty() { "none".to_owned() } else { allowed.join(" or ") }
    }

    fn check(&self, config: &Value) -> Result<(), FamilyError> {
        match config.get(&self.path) {
            None | Some(Value::Null) => Ok(()),
            Some(found) if self.allowed.contains(found) => Ok(()),
            Some(found) => Err(FamilyError::Refused(Refused {
                option: self.path.clone(),
                found: found.to_string(),
                expected: self.described(),
                reason: self.reason.clone(),
            })),
        }
    }
}

/// A whole number above 0; none where it is absent or null.
fn whole(config: &Value, path: &str) -> Result<Option<usize>, FamilyError> {
    match config.get(path) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .filter(|&number| number > 0)
            .map(Some)
            .ok_or_else(|| field(config, path, "a whole number above 0")),
    }
}

fn field(config: &Value, path: &str, expected: &'static str) -> FamilyError {
    let found = config.get(path).map_or_else(|| "missing".to_owned(), Value::to_string);
    FamilyError::Field { path: path.to_owned(), found, expected }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn gpt2() -> Family {
        Family::parse(include_str!("../families/gpt2/family.toml")).unwrap()
    }

    fn config() -> Value {
        json!({"n_layer": 2, "n_embd": 12, "n_head": 3, "n_positions": 8, "vocab_size": 20, "n_inner": null,
               "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new"})
    }

    #[test]
    fn sizes_come_from_the_config_and_from_each_other() {
        let architecture = gpt2().architecture(&config()).unwrap();
        assert_eq!((architecture.layers, architecture.sizes["Dh"], architecture.sizes["F"]), (2, 4, 48));
        assert!((architecture.constants["epsilon"] - 1e-5).abs() <= 0.0);
        let weights = gpt2().weights(&architecture).unwrap();
        assert_eq!(weights["h.1.attn.c_attn.weight"], [12, 36]);
        assert_eq!(weights.len(), 4 + 2 * 12);
    }

    #[test]
    fn what_changes_the_computation_is_refused_by_name() {
        let refused = |name: &str, value: Value| {
            let mut config = config();
            config[name] = value;
            gpt2().architecture(&config).unwrap_err().to_string()
        };
        for (name, value) in [
            ("activation_function", json!("relu")),
            ("scale_attn_by_inverse_layer_idx", json!(true)),
            ("reorder_and_upcast_attn", json!(true)),
            ("quantization_config", json!({"bits": 4})),
        ] {
            assert!(refused(name, value).contains(name), "{name}");
        }
        assert!(refused("n_head", json!(5)).contains("Dh"));
        assert!(refused("n_embd", json!("wide")).contains("n_embd"));
    }

    #[test]
    fn prefixes_and_buffers_are_no_part_of_a_name() {
        let family = gpt2();
        assert_eq!(family.canonical("transformer.h.0.ln_1.weight"), Some("h.0.ln_1.weight"));
        assert_eq!(family.canonical("h.0.attn.bias"), None);
        assert_eq!(family.canonical("h.0.attn.c_attn.bias"), Some("h.0.attn.c_attn.bias"));
    }
}
