//! What can be done to an array of numbers.

use serde::{Deserialize, Serialize};

/// A change of an array that keeps its shape. Axes count from 0, or back from −1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum ArrayChange {
    /// Every element times a factor.
    Scale(f64),
    /// So many times the root mean square of all elements is added to each.
    Offset(f64),
    /// Every element is rounded.
    Round(Format),
    /// Subnormal numbers of f32 become 0.
    FlushSubnormals,
    /// A bit of every f32 is flipped, counted from the lowest.
    FlipBit(u32),
    /// Every element is 0.
    Zero,
    /// Every element is NaN.
    Nan,
    /// A square matrix is transposed.
    Transpose,
    /// The order along an axis is reversed.
    Reverse(i32),
    /// What stands along an axis moves forward, and what falls off comes to the end.
    Roll(Roll),
    /// Only a slice of it is changed.
    Slice(Box<SliceChange>),
    /// Only one element of it is changed.
    Element(Box<ElementChange>),
}

/// What numbers are rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// IEEE binary16.
    F16,
    /// bfloat16.
    Bf16,
    /// The mantissa cut to ten bits, as matrix units take it in.
    Tf32,
    /// 8 bits, symmetric, with one scale for each index of the last axis: for each output of a matrix.
    Int8ByColumn,
}

/// A rotation along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roll {
    /// The axis.
    pub axis: i32,
    /// By how many places.
    pub by: usize,
}

/// A change of one slice across an axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceChange {
    /// The axis, which the slice has not.
    pub axis: i32,
    /// Which slice.
    pub at: Which,
    /// What is done to it.
    pub change: ArrayChange,
}

/// A change of one element.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElementChange {
    /// Which element.
    pub at: WhichElement,
    /// What is done to it.
    pub change: ArrayChange,
}

/// Which slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// The first.
    First,
    /// The one in the middle.
    Middle,
    /// The last.
    Last,
}

/// Which element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhichElement {
    /// The first.
    First,
    /// The first of those of the largest size.
    Largest,
    /// The one whose size is the median of all that are not 0.
    Median,
}
