//! Operations: how one activation is computed from others and from weights.

use serde::{Deserialize, Serialize};

/// How one activation is computed. Inputs are names of activations ([`crate::InputTemplate`]), weights are names of the
/// family's weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Operation {
    /// Rows of a table, chosen by token ids, and rows of another, chosen by position, added to them.
    Rows {
        /// `[B, S]` token ids.
        ids: String,
        /// `[V, D]`.
        table: String,
        /// `[C, D]`; positions count from 0 through all steps of a case.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        positions: Option<String>,
    },
    /// `(x − μ) / √(v + ε)`, times a weight and plus a bias where there are any.
    LayerNorm {
        /// `[…, D]`.
        x: String,
        /// ε: a constant of the architecture, or a number.
        epsilon: Constant,
        /// `[D]`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weight: Option<String>,
        /// `[D]`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bias: Option<String>,
    },
    /// `x·W + b`.
    Linear {
        /// `[…, in]`.
        x: String,
        /// `[in, out]` or `[out, in]`, as the layout says.
        weight: String,
        /// `[out]`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bias: Option<String>,
        /// Which axis of the weight is which.
        layout: Layout,
        /// Which part of the output this is, where several activations share a product; all of it unless said otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        part: Option<Part>,
    },
    /// What the step before had, and behind it what is new.
    Cache {
        /// `[B, S, H, Dh]`; the result is `[B, K, H, Dh]`.
        new: String,
    },
    /// `q·k` times a scale, for each head and each pair of positions.
    Scores {
        /// `[B, S, H, Dh]`.
        q: String,
        /// `[B, K, H, Dh]`.
        k: String,
        /// What products are multiplied with; 1/√Dh unless said otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scale: Option<ScoreScale>,
    },
    /// 0 where a query may see a key, −∞ where it may not: `[B, S, K]`.
    Mask {},
    /// `exp(z) / Σ exp(z)` over the last axis, with `z = x / temperature + mask`.
    Softmax {
        /// `[B, H, S, K]`, or `[B, V]`.
        x: String,
        /// `[B, S, K]`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mask: Option<String>,
        /// 1 unless said otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        temperature: Option<f64>,
    },
    /// `probs·v` for each head, heads merged: `[B, S, H·Dh]`.
    WeightedValues {
        /// `[B, H, S, K]`.
        probs: String,
        /// `[B, K, H, Dh]`.
        values: String,
    },
    /// The Gaussian error linear unit of each element.
    Gelu {
        /// Any shape.
        x: String,
        /// Which of its forms.
        form: GeluForm,
    },
    /// The sum of two activations of one shape.
    Add {
        /// Any shape.
        x: String,
        /// The same shape.
        y: String,
    },
    /// The last position: `[B, S, V] → [B, V]`.
    Last {
        /// `[B, S, V]`.
        x: String,
    },
    /// The index of the largest element, the lowest of equals: `[B, V] → [B]`.
    Argmax {
        /// `[B, V]`.
        x: String,
    },
}

/// A constant of the architecture by its name, or a number in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Constant {
    /// By name.
    Named(String),
    /// As it is.
    Number(f64),
}

/// What the products of queries and keys are multiplied with: by name, or as it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ScoreScale {
    /// By name.
    Named(NamedScale),
    /// As it is.
    Factor(f64),
}

/// What the products of queries and keys are multiplied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedScale {
    /// 1/√Dh.
    RootOfHeadWidth,
    /// 1/Dh.
    HeadWidth,
    /// 1/√(H·Dh).
    RootOfWidth,
    /// 1.
    None,
}

/// How a weight matrix is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `[in, out]`, as `Conv1D` stores it.
    InOut,
    /// `[out, in]`, as `nn.Linear` and embeddings store it.
    OutIn,
}

/// One of several parts of equal width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(usize, usize)", into = "(usize, usize)")]
pub struct Part {
    /// Which, counted from 0.
    pub index: usize,
    /// Of how many.
    pub count: usize,
}

impl TryFrom<(usize, usize)> for Part {
    type Error = String;

    fn try_from((index, count): (usize, usize)) -> Result<Self, String> {
        if index < count {
            Ok(Self { index, count })
        } else {
            Err(format!("part {index} of {count}; parts are counted from 0"))
        }
    }
}

impl From<Part> for (usize, usize) {
    fn from(Part { index, count }: Part) -> Self {
        (index, count)
    }
}

/// Which function is called GELU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GeluForm {
    /// `½x(1 + tanh(√(2/π)(x + 0.044715x³)))`.
    Tanh,
    /// `½x(1 + erf(x/√2))`.
    Erf,
}

impl Operation {
    /// As specs write it: `layer_norm`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Rows { .. } => "rows",
            Self::LayerNorm { .. } => "layer_norm",
            Self::Linear { .. } => "linear",
            Self::Cache { .. } => "cache",
            Self::Scores { .. } => "scores",
            Self::Mask {} => "mask",
            Self::Softmax { .. } => "softmax",
            Self::WeightedValues { .. } => "weighted_values",
            Self::Gelu { .. } => "gelu",
            Self::Add { .. } => "add",
            Self::Last { .. } => "last",
            Self::Argmax { .. } => "argmax",
        }
    }

    /// The activations it is computed from, beside its own of the step before.
    pub fn inputs(&self) -> Vec<&str> {
        match self {
            Self::Rows { ids: x, .. }
            | Self::LayerNorm { x, .. }
            | Self::Linear { x, .. }
            | Self::Cache { new: x }
            | Self::Gelu { x, .. }
            | Self::Last { x }
            | Self::Argmax { x } => vec![x],
            Self::Scores { q: x, k: y, .. }
            | Self::WeightedValues { probs: x, values: y }
            | Self::Add { x, y } => {
                vec![x, y]
            }
            Self::Softmax { x, mask, .. } => std::iter::once(x).chain(mask).map(String::as_str).collect(),
            Self::Mask {} => Vec::new(),
        }
    }

    /// The weights it uses.
    pub fn weights(&self) -> Vec<&str> {
        match self {
            Self::Rows { table, positions, .. } => {
                std::iter::once(table).chain(positions).map(String::as_str).collect()
            }
            Self::LayerNorm { weight, bias, .. } => weight.iter().chain(bias).map(String::as_str).collect(),
            Self::Linear { weight, bias, .. } => {
                std::iter::once(weight).chain(bias).map(String::as_str).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The constant of the architecture that it uses.
    pub fn constant(&self) -> Option<&str> {
        match self {
            Self::LayerNorm { epsilon: Constant::Named(name), .. } => Some(name),
            _ => None,
        }
    }

    /// Whether it needs its own result of the step before.
    pub const fn continues(&self) -> bool {
        matches!(self, Self::Cache { .. })
    }

    /// Whether its result has the bits of what it is given, and nothing is rounded.
    pub const fn moves(&self) -> bool {
        matches!(self, Self::Cache { .. } | Self::Mask {} | Self::Last { .. } | Self::Argmax { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Line {
        op: Operation,
    }

    fn read(text: &str) -> Result<Operation, String> {
        toml::from_str::<Line>(text).map(|line| line.op).map_err(|error| error.to_string())
    }

    #[test]
    fn an_operation_is_read_strictly() {
        let op = read(
            r#"op = { linear = { x = "a", weight = "w", bias = "b", layout = "in-out", part = [1, 3] } }"#,
        )
        .unwrap();
        assert_eq!((op.name(), op.inputs(), op.weights()), ("linear", vec!["a"], vec!["w", "b"]));
        for wrong in [
            r#"op = { linear = { x = "a", weight = "w", layout = "in-out", part = [3, 3] } }"#,
            r#"op = { linear = { x = "a", weight = "w" } }"#,
            r#"op = { add = { x = "a", y = "b", z = "c" } }"#,
            r#"op = { conv = { x = "a" } }"#,
            r#"op = { gelu = { x = "a", form = "sigmoid" } }"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read("op = { mask = {} }").unwrap().moves());
    }
}
