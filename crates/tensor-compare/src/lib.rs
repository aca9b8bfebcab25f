//! The ruler: typed tensors, the proof that two of them may be compared, and statistics in one pass.
//!
//! Architecture invariant: no I/O, no threads of its own policy, no knowledge of checkpoints, models or files.
//! A value comparison takes a [`MatchedPair`] or an [`OraclePair`], and neither can be built from tensors whose
//! shapes differ, or whose dtypes are not the declared ones.

#![forbid(unsafe_code)]

mod budget;
mod dtype;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod lanes;
mod number;
mod oracle;
mod pair;
mod partial;
mod pass;
mod rounding_budget;
mod shape;
#[cfg(any(test, fuzzing))]
mod slow;
mod statistics;
mod systematic;
mod tensor;
mod ulp;
mod worst;

pub use dtype::DType;
pub use oracle::{BudgetStatistics, OracleError, OracleStatistics, compare_with_oracle};
pub use pair::{LayoutMismatch, MatchedPair, OraclePair};
pub use pass::compare;
pub use rounding_budget::{RoundingBudget, Slice};
pub use shape::{Shape, ShapeError};
pub use statistics::{Criterion, Element, NonFinite, Statistics, Tolerance, ToleranceError};
pub use systematic::Systematic;
pub use tensor::{Tensor, TensorError, TensorView};
