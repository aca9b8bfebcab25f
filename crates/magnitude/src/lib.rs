//! The rules of running error bounds, compiled: those that touch every element of an activation.
//!
//! The oracle's bounds are defined, derived and sourced in `reference/trialplate_reference/magnitude.py`, in NumPy, which
//! goes over the memory once for each operation of a rule. Here each rule goes over it once. Rule by rule the functions
//! have the names they have there and say the same, which a test holds them to; the matrix products between them stay
//! the implementation's own.
//!
//! Values come in f64; errors and bounds, in units of u = 2⁻²⁴, are f32. A row is the last axis, of the width that is
//! given. Sums run in [`LANES`] lanes which are joined in one order, and no product is fused with a sum, so that results
//! are the same bits on every processor.
//!
//! Where f32 does not hold a bound, or an operand is not finite, a rule answers `None`: then the NumPy rule, in f64, has
//! the word.
//!
//! A rule is a [`pulp::WithSimd`]: compiled for each instruction set there is, with all that it calls inlined, and picked
//! at run time.
//!
//! Architecture invariants: no Python, no tensors, no threads; slices in, vectors out.
//!
//! # Panics
//! All rules do where operands of one shape have different lengths or are not whole rows.
#![forbid(unsafe_code)]

mod elementwise;
mod layer_norm;
mod product;
mod rows;
mod softmax;

pub use elementwise::{add, gelu};
pub use layer_norm::layer_norm;
pub use product::{Weighed, complete, weigh};
pub use rows::{Confidence, LANES};
pub use softmax::softmax;

/// What a flushed result costs, in units of u: 2⁻¹²⁶/u.
pub const FLUSHED: f32 = f32::MIN_POSITIVE * (1 << 24) as f32;
const UNIT: f32 = 1.0 / (1 << 24) as f32;
