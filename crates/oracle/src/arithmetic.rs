//! Three ways to compute the operations of a graph: exactly, with bounds, and as a correct implementation does.

use std::borrow::Cow;

use crate::operation::{
    Activation, Add, Append, Argmax, Arithmetic, CausalMask, Last, LayerNorm, Linear, Mul, RmsNorm, Rope,
    RopeTable, Rows, RowsError, Scores, Softmax, WeightedValues,
};
use crate::{Array, Bounded, HalfFormat, Rounding, Way};

/// At f64.
#[derive(Clone, Copy, Debug)]
pub struct Exact;

/// At f64, with bounds on the errors of a correct implementation.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a>(pub &'a Rounding);

/// As a correct implementation at f32, or one that stores its results in half precision.
#[derive(Clone, Copy, Debug)]
pub struct Replica {
    /// In which order it adds up, and by which of equal formulas it computes.
    pub way: Way,
    /// What weights and results are stored in, if that is not f32.
    pub half: Option<HalfFormat>,
}

impl Arithmetic for Exact {
    type Value = Array;

    fn dimensions(value: &Array) -> &[usize] {
        &value.shape
    }
    fn shape(value: &mut Array) -> &mut Vec<usize> {
        &mut value.shape
    }
    fn rows(&self, op: &Rows<'_>, ids: &Array<i64>) -> Result<Array, RowsError> {
        op.value(ids)
    }
    fn layer_norm(&self, op: &LayerNorm<'_>, x: &Array) -> Array {
        op.value(x)
    }
    fn rms_norm(&self, op: &RmsNorm<'_>, x: &Array) -> Array {
        op.value(x)
    }
    fn rope_table(&self, op: &RopeTable, step: graph::Step) -> Array {
        op.value(step.batch, step.past, step.new)
    }
    fn rope(&self, op: Rope, x: &Array, cos: &Array, sin: &Array) -> Array {
        op.value(x, cos, sin)
    }
    fn mul(&self, x: &Array, y: &Array) -> Array {
        Mul.value(x, y)
    }
    fn linear(&self, op: &Linear<'_>, x: &Array) -> Array {
        op.value(x)
    }
    fn append(&self, past: Option<&Array>, new: &Array) -> Array {
        Append.value(past, new)
    }
    fn scores(&self, op: &Scores, q: &Array, k: &Array) -> Array {
        op.value(q, k)
    }
    fn mask(&self, op: &CausalMask, step: graph::Step) -> Array {
        op.value(step.batch, step.past, step.new)
    }
    fn softmax(&self, op: &Softmax, x: &Array, mask: Option<&Array>) -> Array {
        op.value(x, mask)
    }
    fn weighted_values(&self, probs: &Array, values: &Array) -> Array {
        WeightedValues.value(probs, values)
    }
    fn activation(&self, op: Activation, x: &Array) -> Array {
        op.value(x)
    }
    fn add(&self, x: &Array, y: &Array) -> Array {
        Add.value(x, y)
    }
    fn last(&self, x: &Array) -> Array {
        Last.value(x)
    }
    fn argmax(&self, x: &Array) -> Vec<i64> {
        Argmax.value(x)
    }
}

impl Arithmetic for Bounds<'_> {
    type Value = Bounded;

    fn dimensions(value: &Bounded) -> &[usize] {
        &value.value.shape
    }
    fn shape(value: &mut Bounded) -> &mut Vec<usize> {
        &mut value.value.shape
    }
    fn rows(&self, op: &Rows<'_>, ids: &Array<i64>) -> Result<Bounded, RowsError> {
        op.bounded(self.0, ids)
    }
    fn layer_norm(&self, op: &LayerNorm<'_>, x: &Bounded) -> Bounded {
        op.bounded(self.0, x)
    }
    fn rms_norm(&self, op: &RmsNorm<'_>, x: &Bounded) -> Bounded {
        op.bounded(self.0, x)
    }
    fn rope_table(&self, op: &RopeTable, step: graph::Step) -> Bounded {
        op.bounded(self.0, step.batch, step.past, step.new)
    }
    fn rope(&self, op: Rope, x: &Bounded, cos: &Bounded, sin: &Bounded) -> Bounded {
        op.bounded(self.0, x, cos, sin)
    }
    fn mul(&self, x: &Bounded, y: &Bounded) -> Bounded {
        Mul.bounded(self.0, x, y)
    }
    fn linear(&self, op: &Linear<'_>, x: &Bounded) -> Bounded {
        op.bounded(self.0, x)
    }
    fn append(&self, past: Option<&Bounded>, new: &Bounded) -> Bounded {
        Append.bounded(past, new)
    }
    fn scores(&self, op: &Scores, q: &Bounded, k: &Bounded) -> Bounded {
        op.bounded(self.0, q, k)
    }
    fn mask(&self, op: &CausalMask, step: graph::Step) -> Bounded {
        Bounded::exact(Exact.mask(op, step))
    }
    fn softmax(&self, op: &Softmax, x: &Bounded, mask: Option<&Bounded>) -> Bounded {
        op.bounded(self.0, x, mask.map(|mask| &mask.value))
    }
    fn weighted_values(&self, probs: &Bounded, values: &Bounded) -> Bounded {
        WeightedValues.bounded(self.0, probs, values)
    }
    fn activation(&self, op: Activation, x: &Bounded) -> Bounded {
        op.bounded(self.0, x)
    }
    fn add(&self, x: &Bounded, y: &Bounded) -> Bounded {
        Add.bounded(self.0, x, y)
    }
    fn last(&self, x: &Bounded) -> Bounded {
        Last.bounded(x)
    }
    fn argmax(&self, x: &Bounded) -> Vec<i64> {
        Argmax.value(&x.value)
    }
}

impl Arithmetic for Replica {
    type Value = Array<f32>;

    fn stored<'a>(&self, weight: &'a [f32]) -> Cow<'a, [f32]> {
        match self.half {
            None => Cow::Borrowed(weight),
            Some(format) => weight.iter().map(|&x| format.rounded(x)).collect(),
        }
    }
    fn result(&self, mut value: Array<f32>) -> Array<f32> {
        if let Some(format) = self.half {
            value.values.iter_mut().for_each(|x| *x = format.rounded(*x));
        }
        value
    }
    fn dimensions(value: &Array<f32>) -> &[usize] {
        &value.shape
    }
    fn shape(value: &mut Array<f32>) -> &mut Vec<usize> {
        &mut value.shape
    }
    fn rows(&self, op: &Rows<'_>, ids: &Array<i64>) -> Result<Array<f32>, RowsError> {
        op.replica(&self.way, ids)
    }
    fn layer_norm(&self, op: &LayerNorm<'_>, x: &Array<f32>) -> Array<f32> {
        op.replica(&self.way, x)
    }
    fn rms_norm(&self, op: &RmsNorm<'_>, x: &Array<f32>) -> Array<f32> {
        op.replica(&self.way, x)
    }
    fn rope_table(&self, op: &RopeTable, step: graph::Step) -> Array<f32> {
        op.replica(&self.way, step.batch, step.past, step.new)
    }
    fn rope(&self, op: Rope, x: &Array<f32>, cos: &Array<f32>, sin: &Array<f32>) -> Array<f32> {
        op.replica(&self.way, x, cos, sin)
    }
    fn mul(&self, x: &Array<f32>, y: &Array<f32>) -> Array<f32> {
        Mul.replica(&self.way, x, y)
    }
    fn linear(&self, op: &Linear<'_>, x: &Array<f32>) -> Array<f32> {
        op.replica(&self.way, x)
    }
    fn append(&self, past: Option<&Array<f32>>, new: &Array<f32>) -> Array<f32> {
        Append.replica(past, new)
    }
    fn scores(&self, op: &Scores, q: &Array<f32>, k: &Array<f32>) -> Array<f32> {
        op.replica(&self.way, q, k)
    }
    fn mask(&self, op: &CausalMask, step: graph::Step) -> Array<f32> {
        op.value(step.batch, step.past, step.new)
    }
    fn softmax(&self, op: &Softmax, x: &Array<f32>, mask: Option<&Array<f32>>) -> Array<f32> {
        op.replica(&self.way, x, mask)
    }
    fn weighted_values(&self, probs: &Array<f32>, values: &Array<f32>) -> Array<f32> {
        WeightedValues.replica(&self.way, probs, values)
    }
    fn activation(&self, op: Activation, x: &Array<f32>) -> Array<f32> {
        op.replica(&self.way, x)
    }
    fn add(&self, x: &Array<f32>, y: &Array<f32>) -> Array<f32> {
        Add.replica(&self.way, x, y)
    }
    fn last(&self, x: &Array<f32>) -> Array<f32> {
        Last.replica(x)
    }
    fn argmax(&self, x: &Array<f32>) -> Vec<i64> {
        Argmax.value(x)
    }
}
