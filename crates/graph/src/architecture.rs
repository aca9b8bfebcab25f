//! Sizes and constants of one model, by the symbols that specs use.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Features;

/// Sizes and constants of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// The family, whose specs apply: `gpt2`.
    pub family: String,
    /// Number of layers; the range of `{l}`.
    pub layers: usize,
    /// Sizes by symbol. For GPT-2: `C` context, `D` width, `H` heads, `Dh` head dimension, `F` inner width, `V` vocabulary.
    pub sizes: BTreeMap<String, usize>,
    /// Constants by name. For GPT-2: `epsilon`.
    pub constants: BTreeMap<String, f64>,
    /// What it has beyond what every model of the family has: `qk-norm`.
    #[serde(default, skip_serializing_if = "Features::is_empty")]
    pub features: Features,
}
