//! What an implementation produced for one case: named activations, and the strict file that holds them.
//!
//! Architecture invariant: this crate knows no spec, no tolerance and no model. A capture says what was computed;
//! it cannot say what should have been.
#![forbid(unsafe_code)]

mod case;
pub mod dump;
mod error;
mod file;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod header;
mod identity;
mod json;
mod name;
pub mod protocol;
mod source;
mod stored;
mod weights;
pub mod worker;

pub use case::{Case, CaseError};
pub use error::FileError;
pub use file::{CaptureFile, CaptureWriter, write};
pub use identity::{Identity, Precision};
pub use name::TensorName;
pub use source::{Capture, MissingTensor, Sink, TensorSource};
pub use weights::WeightFile;

pub use tensor_compare::{DType, Shape, Tensor, TensorView};
