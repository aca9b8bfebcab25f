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

use std::borrow::Cow;

use crate::Array;
use crate::change::Numbers;

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

/// How numbers are computed.
pub trait Arithmetic {
    /// Numbers, with whatever is known of them.
    type Value: Clone + Send + Sync + Numbers;

    /// Weights as they are computed with.
    fn stored<'a>(&self, weight: &'a [f32]) -> Cow<'a, [f32]> {
        Cow::Borrowed(weight)
    }
    /// A result as it is handed on.
    fn result(&self, value: Self::Value) -> Self::Value {
        value
    }
    /// The numbers' shape.
    fn dimensions(value: &Self::Value) -> &[usize];
    /// The numbers' shape, to be written anew: their order stays.
    fn shape(value: &mut Self::Value) -> &mut Vec<usize>;
    /// [`Rows`].
    ///
    /// # Errors
    /// If an id or a position has no row.
    fn rows(&self, op: &Rows<'_>, ids: &Array<i64>) -> Result<Self::Value, RowsError>;
    /// [`LayerNorm`].
    fn layer_norm(&self, op: &LayerNorm<'_>, x: &Self::Value) -> Self::Value;
    /// [`RmsNorm`].
    fn rms_norm(&self, op: &RmsNorm<'_>, x: &Self::Value) -> Self::Value;
    /// [`RopeTable`].
    fn rope_table(&self, op: &RopeTable, step: graph::Step) -> Self::Value;
    /// [`Rope`].
    fn rope(&self, op: Rope, x: &Self::Value, cos: &Self::Value, sin: &Self::Value) -> Self::Value;
    /// [`Mul`].
    fn mul(&self, x: &Self::Value, y: &Self::Value) -> Self::Value;
    /// [`Linear`].
    fn linear(&self, op: &Linear<'_>, x: &Self::Value) -> Self::Value;
    /// [`Append`].
    fn append(&self, past: Option<&Self::Value>, new: &Self::Value) -> Self::Value;
    /// [`Scores`].
    fn scores(&self, op: &Scores, q: &Self::Value, k: &Self::Value) -> Self::Value;
    /// [`CausalMask`].
    fn mask(&self, op: &CausalMask, step: graph::Step) -> Self::Value;
    /// [`Softmax`].
    fn softmax(&self, op: &Softmax, x: &Self::Value, mask: Option<&Self::Value>) -> Self::Value;
    /// [`WeightedValues`].
    fn weighted_values(&self, probs: &Self::Value, values: &Self::Value) -> Self::Value;
    /// [`Activation`].
    fn activation(&self, op: Activation, x: &Self::Value) -> Self::Value;
    /// [`Add`].
    fn add(&self, x: &Self::Value, y: &Self::Value) -> Self::Value;
    /// [`Last`].
    fn last(&self, x: &Self::Value) -> Self::Value;
    /// [`Argmax`].
    fn argmax(&self, x: &Self::Value) -> Vec<i64>;
}
