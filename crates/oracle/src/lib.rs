//! The operations of a transformer, each of them three times: its exact value, in f64; a bound on the error of every
//! element that a correct f32 implementation computes; and such an implementation, in any of many [`Way`]s.
//!
//! One file of [`operation`] is one operation: its derivation, its sources, its numbers. [`rounding`] has what all bounds
//! rest on, [`storage`] what half precision adds, [`product`] the rule of matrix products, [`order`] the ways of an f32
//! implementation.
//!
//! # Same bits
//!
//! Sums run in one order: matrix products in that of [`ordered_product`], all others in fixed lanes. Elementary functions
//! are those of `libm`, compiled from Rust. So results depend neither on threads, nor on shapes, nor on a system's
//! library; on a CPU without fused multiply-add the last bits of a matrix product are others.
//!
//! Architecture invariants: operations know no graph, no file and no tolerance; arrays in, arrays out. [`Model`], [`Chain`] and
//! [`Observed`] apply them as a graph says. What is not finite gives bounds that
//! are not, never a panic.
//!
//! # Panics
//! All operations do where the shapes of their operands do not fit.
#![forbid(unsafe_code)]

mod apply;
mod arithmetic;
mod array;
mod chain;
mod change;
mod isolated;
mod model;
mod operand;
pub mod operation;
pub mod order;
pub mod product;
pub mod rounding;
mod seeded;
pub mod storage;
mod sum;
#[cfg(test)]
mod test_support;
mod unit;
mod weights;
mod wrong;

pub use arithmetic::{Bounds, Exact, Replica};
pub use array::{Array, Bounded, Weight};
pub use chain::{Chain, Computed};
pub use change::{Action, Numbers};
pub use isolated::{Computing, Cut, IsolatedError, Observed, scheduled};
pub use model::Model;
pub use operand::{ApplyError, Operand};
pub use operation::Arithmetic;
pub use order::Way;
pub use rounding::{Constants, Rounding};
pub use storage::{HalfFormat, Rounds, Storage};
pub use unit::{FLUSHED, UNIT};
pub use weights::{Weights, WeightsError};
pub use wrong::wrong_ways;
