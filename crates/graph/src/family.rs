//! `family.toml`: how `config.json` and weights of a family are read.

mod read;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::expression::evaluate;
use crate::template::in_layer;
use crate::{Architecture, Condition, Conditional, FamilyError, FeatureSpec, conditional};

/// Sizes that every family has: context, width, heads, vocabulary.
const NEEDED: [&str; 4] = ["C", "D", "H", "V"];

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
    /// Values of `model_type` in `config.json`.
    pub model_types: Vec<String>,
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
    pub constants: BTreeMap<String, ConstantSource>,
    /// Which activations play a part that laws and reports know.
    pub roles: Roles,
    /// What some of its models have and others have not.
    #[serde(default, rename = "feature")]
    pub features: Vec<FeatureSpec>,
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
    /// The same for models of one `model_type`, which come first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub otherwise_of: BTreeMap<String, String>,
}

/// Where a constant comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConstantSource {
    /// The field of `config.json`.
    pub path: String,
    /// Its value where there is no such field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<f64>,
    /// Features that must be there for the constant to be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<String>,
    /// Features that must not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unless: Vec<String>,
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
    /// The values that are described; a field that is absent or null is one of them, and so is a list whose elements are
    /// all the same one of them.
    pub allowed: Vec<Value>,
    /// What a model does where the field is absent, where that is not described by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<Value>,
    /// The option is looked at where all of these hold.
    #[serde(default, rename = "if", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
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
    /// Features that must be there for the weight to be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<String>,
    /// Features that must not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unless: Vec<String>,
}

conditional!(ConstantSource, WeightSpec);

impl Family {
    /// Reads `family.toml`.
    ///
    /// # Errors
    /// [`FamilyError::Syntax`].
    pub fn parse(text: &str) -> Result<Self, FamilyError> {
        let syntax = |problem: String| FamilyError::Syntax { problem };
        let family: Self =
            toml::from_str(text).map_err(|error| syntax(error.to_string().trim_end().to_owned()))?;
        family.features.iter().try_for_each(FeatureSpec::check).map_err(syntax)?;
        for name in family.constants.values().flat_map(named).chain(family.weights.iter().flat_map(named)) {
            family.knows_feature(name).map_err(syntax)?;
        }
        match NEEDED.into_iter().find(|symbol| !family.sizes.contains_key(*symbol)) {
            Some(symbol) => Err(syntax(format!("there is no size `{symbol}`, by which cases are made"))),
            None => Ok(family),
        }
    }

    /// # Errors
    /// If no feature has that name.
    pub fn knows_feature(&self, name: &str) -> Result<(), String> {
        if self.features.iter().any(|feature| feature.name == name) {
            return Ok(());
        }
        let known: Vec<&str> = self.features.iter().map(|feature| feature.name.as_str()).collect();
        Err(format!("the family has no feature `{name}`; it has: {}", known.join(", ")))
    }

    /// Every weight of a model, by canonical name, with its shape.
    ///
    /// # Errors
    /// [`FamilyError::Size`] where a dimension has no size.
    pub fn weights(&self, architecture: &Architecture) -> Result<BTreeMap<String, Vec<usize>>, FamilyError> {
        let mut weights = BTreeMap::new();
        for weight in self.weights.iter().filter(|weight| weight.exists(&architecture.features)) {
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

    /// Sizes by symbol: those that are given, and with `given` those that follow from them.
    ///
    /// # Errors
    /// [`FamilyError::Size`] where one does not follow.
    pub fn complete(
        &self,
        mut sizes: BTreeMap<String, usize>,
        model_type: Option<&str>,
    ) -> Result<BTreeMap<String, usize>, FamilyError> {
        while let Some((symbol, size)) = self.next_size(&sizes, model_type) {
            sizes.insert(symbol, size);
        }
        match self.sizes.iter().find(|(symbol, _)| !sizes.contains_key(*symbol)) {
            None => Ok(sizes),
            Some((symbol, source)) => {
                let rule = source.rule(model_type).or(source.path.as_deref()).unwrap_or_default();
                Err(FamilyError::Size { symbol: symbol.clone(), rule: rule.to_owned() })
            }
        }
    }

    fn next_size(
        &self,
        sizes: &BTreeMap<String, usize>,
        model_type: Option<&str>,
    ) -> Option<(String, usize)> {
        self.sizes
            .iter()
            .filter(|(symbol, _)| !sizes.contains_key(*symbol))
            .find_map(|(symbol, source)| Some((symbol.clone(), evaluate(source.rule(model_type)?, sizes)?)))
    }
}

/// The features that it names.
fn named(conditional: &impl Conditional) -> impl Iterator<Item = &str> {
    conditional.when().iter().chain(conditional.unless()).map(String::as_str)
}

#[cfg(test)]
mod tests;
