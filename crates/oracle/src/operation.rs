//! One file, one operation: `value` is exact, `bounded` has the bounds too, `replica` is an f32 implementation.

pub(crate) mod activation;
mod add;
pub(crate) mod heads;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod moved;
mod mul;
pub(crate) mod rms_norm;
mod rope;
pub(crate) mod rope_table;
pub(crate) mod rows;
pub(crate) mod scores;
pub(crate) mod softmax;
pub(crate) mod weighted_values;

pub use activation::Activation;
pub use add::Add;
pub use layer_norm::LayerNorm;
pub use linear::{Layout, Linear};
pub use moved::{Append, Argmax, CausalMask, Last};
pub use mul::Mul;
pub use rms_norm::RmsNorm;
pub use rope::Rope;
pub use rope_table::{RopeTable, Scaling};
pub use rows::{Rows, RowsError};
pub use scores::Scores;
pub use softmax::Softmax;
pub use weighted_values::WeightedValues;
