//! Trialplate for everybody's engine: a dump of one forward pass is judged, operation by operation, and the bug is named.
//!
//! [`check`] judges a dump against its model, [`compare`] lays two dumps side by side. What comes out is data
//! ([`checkpoint_spec::PartResults`], [`Comparison`]); the binary renders it.
//!
//! Architecture invariant: no Python, no model of this repository, and no reference. The dump is brought over by names and axes
//! alone; what its tensors must be comes from the family's graph.
#![forbid(unsafe_code)]

mod axes;
mod bring;
mod check;
mod cli;
mod compare;
mod exit;
mod guess;
mod layouts;
mod map;
mod model;
mod presets;
mod template;

pub use axes::{Axes, AxesError};
pub use bring::{BringError, Brought};
pub use check::{CheckOptions, Names, Tokens, check};
pub use cli::main;
pub use compare::{Bounds, CompareOptions, ComparedTensor, Comparison, compare};
pub use exit::Problem;
pub use map::{Entry, Map, MapError};
pub use model::Subject;
