//! Why a model cannot be loaded.

use std::io;
use std::path::PathBuf;

use capture::{DType, FileError};

/// Why a model cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The operating system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// `config.json` is malformed, contradicts itself or asks for something that is not supported.
    #[error("{path}: {problem}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        problem: String,
    },
    /// There are no weights.
    #[error(
        "{directory}: neither model.safetensors nor model.safetensors.index.json is there; convert other formats with `save_pretrained(…, safe_serialization=True)`"
    )]
    NoWeights {
        /// The model's directory.
        directory: PathBuf,
    },
    /// A file of weights cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// `model.safetensors.index.json` does not fit the shards.
    #[error("{path}: {problem}")]
    Index {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        problem: String,
    },
    /// A tensor is stored more than once.
    #[error("{directory}: `{name}` is stored as {first} and as {second}; keep one of them")]
    Duplicate {
        /// The model's directory.
        directory: PathBuf,
        /// The tensor, without prefix.
        name: String,
        /// Where first, as file and stored name.
        first: String,
        /// Where again.
        second: String,
    },
    /// A tensor that the config calls for is not there.
    #[error("{directory}: the weights hold no `{name}` of shape {expected:?}, which config.json calls for")]
    Missing {
        /// The model's directory.
        directory: PathBuf,
        /// The tensor, without prefix.
        name: String,
        /// Its shape.
        expected: Vec<usize>,
    },
    /// A tensor has another shape than the config says.
    #[error("{path}: `{name}` has shape {found:?}; by config.json it must be {expected:?}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor, without prefix.
        name: String,
        /// The shape found.
        found: Vec<usize>,
        /// The shape expected.
        expected: Vec<usize>,
    },
    /// A tensor has a dtype that is not supported.
    #[error("{path}: `{name}` is {found}; F32, F16 and BF16 can be loaded")]
    DType {
        /// The file.
        path: PathBuf,
        /// The tensor, without prefix.
        name: String,
        /// The dtype found.
        found: DType,
    },
    /// Tensors that no GPT-2 of this config has.
    #[error(
        "{directory}: the weights hold {} tensors that a GPT-2 of this config.json does not have: {}; is it the config.json of these weights?",
        names.len(), names.join(", ")
    )]
    Unexpected {
        /// The model's directory.
        directory: PathBuf,
        /// The tensors, without prefix.
        names: Vec<String>,
    },
    /// `lm_head.weight` is not `wte.weight`.
    #[error(
        "{path}: `lm_head.weight` differs from `wte.weight`, first in row {row}; GPT-2's head is tied to its token embedding, so leave it out or store the same values"
    )]
    UntiedHead {
        /// The file.
        path: PathBuf,
        /// The first row (token id) that differs.
        row: usize,
    },
}
