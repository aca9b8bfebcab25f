//! One file, one operation: `value` is exact, `bounded` has the bounds too, `replica` is an f32 implementation.

mod activation;
mod add;
mod heads;
mod layer_norm;
mod linear;
mod moved;
mod mul;
mod rms_norm;
mod rope;
mod rope_table;
mod rows;
mod scores;
mod softmax;
mod weighted_values;

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
