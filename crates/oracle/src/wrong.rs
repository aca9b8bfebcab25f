//! Which wrong ways an operation has; each stands in the file of its operation.

use graph::Operation;

use crate::operation::{
    activation, layer_norm, linear, moved, rms_norm, rope_table, rows, scores, softmax, weighted_values,
};

/// Ways of computing wrongly that are peculiar to an operation, by name.
pub const fn wrong_ways(op: &Operation) -> &'static [&'static str] {
    match op {
        Operation::Rows { .. } => rows::WRONG,
        Operation::LayerNorm { .. } => layer_norm::WRONG,
        Operation::Linear { .. } => linear::WRONG,
        Operation::Cache { .. } => moved::WRONG_APPEND,
        Operation::Scores { .. } => scores::WRONG,
        Operation::Mask { .. } => moved::WRONG_MASK,
        Operation::Softmax { .. } => softmax::WRONG,
        Operation::WeightedValues { .. } => weighted_values::WRONG,
        Operation::Gelu { .. } => activation::WRONG_GELU,
        Operation::Last { .. } => moved::WRONG_LAST,
        Operation::Argmax { .. } => moved::WRONG_ARGMAX,
        Operation::RmsNorm { .. } => rms_norm::WRONG,
        Operation::RopeTable { .. } => rope_table::WRONG,
        Operation::Silu { .. } => activation::WRONG_SILU,
        Operation::Add { .. } | Operation::Mul { .. } | Operation::Rope { .. } | Operation::Relu { .. } => {
            &[]
        }
    }
}
