//! Operations: how one activation is computed from others and from weights.

mod parameters;

use serde::{Deserialize, Serialize};

pub use parameters::{Constant, GeluForm, Layout, NamedScale, Pairs, Part, RopeScaling, ScoreScale, Wave};

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
    /// `x / √(mean(x²) + ε)` over the last axis, times a weight where there is one.
    RmsNorm {
        /// `[…, D]`; of heads, `[B, S, H, Dh]`, each by itself.
        x: String,
        /// ε: a constant of the architecture, or a number.
        epsilon: Constant,
        /// `[D]`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weight: Option<String>,
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
    /// The cosines or sines of the angles `position · θ^(−2i/width)` by which pair i of a head is turned:
    /// `[B, S, width]`, those of the first half once more in the second. Positions count from 0 through all steps of a case.
    RopeTable {
        /// Which of the two.
        of: Wave,
        /// The size that the table is wide: `Dh`.
        width: String,
        /// θ: a constant of the architecture, or a number.
        theta: Constant,
        /// How the angles of a longer context are made; by the formula above unless said otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scaling: Option<RopeScaling>,
    },
    /// Pairs of channels of every head, turned: `(a, b)` becomes `(a·cos − b·sin, b·cos + a·sin)`.
    Rope {
        /// `[B, S, H, Dh]`.
        x: String,
        /// `[B, S, Dh]`.
        cos: String,
        /// `[B, S, Dh]`.
        sin: String,
        /// Which channels are a pair.
        #[serde(default, skip_serializing_if = "Pairs::is_half")]
        pairs: Pairs,
    },
    /// `q·k` times a scale, for each head and each pair of positions. Where there are fewer heads of keys, groups of heads in a
    /// row share one.
    Scores {
        /// `[B, S, H, Dh]`.
        q: String,
        /// `[B, K, G, Dh]`.
        k: String,
        /// What products are multiplied with; 1/√Dh unless said otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scale: Option<ScoreScale>,
    },
    /// 0 where a query may see a key, −∞ where it may not: `[B, S, K]`.
    Mask {
        /// How many keys a query sees, itself included: a constant of the architecture, or a number; all before it where
        /// there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        window: Option<Constant>,
    },
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
    /// `x / (1 + exp(−x))` of each element.
    Silu {
        /// Any shape.
        x: String,
    },
    /// Each element, or 0 where it is below.
    Relu {
        /// Any shape.
        x: String,
    },
    /// The product of two activations of one shape, element by element.
    Mul {
        /// Any shape.
        x: String,
        /// The same shape.
        y: String,
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

impl Operation {
    /// As specs write it: `layer_norm`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Rows { .. } => "rows",
            Self::LayerNorm { .. } => "layer_norm",
            Self::RmsNorm { .. } => "rms_norm",
            Self::Linear { .. } => "linear",
            Self::Cache { .. } => "cache",
            Self::RopeTable { .. } => "rope_table",
            Self::Rope { .. } => "rope",
            Self::Scores { .. } => "scores",
            Self::Mask { .. } => "mask",
            Self::Softmax { .. } => "softmax",
            Self::WeightedValues { .. } => "weighted_values",
            Self::Gelu { .. } => "gelu",
            Self::Silu { .. } => "silu",
            Self::Relu { .. } => "relu",
            Self::Mul { .. } => "mul",
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
            | Self::RmsNorm { x, .. }
            | Self::Linear { x, .. }
            | Self::Cache { new: x }
            | Self::Gelu { x, .. }
            | Self::Silu { x }
            | Self::Relu { x }
            | Self::Last { x }
            | Self::Argmax { x } => vec![x],
            Self::Scores { q: x, k: y, .. }
            | Self::WeightedValues { probs: x, values: y }
            | Self::Mul { x, y }
            | Self::Add { x, y } => {
                vec![x, y]
            }
            Self::Rope { x, cos, sin, .. } => vec![x, cos, sin],
            Self::Softmax { x, mask, .. } => std::iter::once(x).chain(mask).map(String::as_str).collect(),
            Self::Mask { .. } | Self::RopeTable { .. } => Vec::new(),
        }
    }

    /// The weights it uses.
    pub fn weights(&self) -> Vec<&str> {
        match self {
            Self::Rows { table, positions, .. } => {
                std::iter::once(table).chain(positions).map(String::as_str).collect()
            }
            Self::LayerNorm { weight, bias, .. } => weight.iter().chain(bias).map(String::as_str).collect(),
            Self::RmsNorm { weight, .. } => weight.iter().map(String::as_str).collect(),
            Self::Linear { weight, bias, .. } => {
                std::iter::once(weight).chain(bias).map(String::as_str).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The constants of the architecture that it uses, by name.
    pub fn constants(&self) -> Vec<&str> {
        let used: Vec<&Constant> = match self {
            Self::LayerNorm { epsilon, .. } | Self::RmsNorm { epsilon, .. } => vec![epsilon],
            Self::RopeTable { theta, scaling, .. } => {
                std::iter::once(theta).chain(scaling.iter().flat_map(RopeScaling::constants)).collect()
            }
            Self::Mask { window } => window.iter().collect(),
            _ => Vec::new(),
        };
        used.into_iter().filter_map(Constant::name).collect()
    }

    /// Whether it needs its own result of the step before.
    pub const fn continues(&self) -> bool {
        matches!(self, Self::Cache { .. })
    }

    /// Whether its result has the bits of what it is given, and nothing is rounded.
    pub const fn moves(&self) -> bool {
        matches!(self, Self::Cache { .. } | Self::Mask { .. } | Self::Last { .. } | Self::Argmax { .. })
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
