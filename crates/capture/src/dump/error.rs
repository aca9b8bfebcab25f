//! Why a dump is not read.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::FileError;

/// Characters of a name that are shown.
const NAME: usize = 200;
/// Characters of a problem that are shown.
const PROBLEM: usize = 800;

/// Why a dump cannot be read or written: what was found, what was expected, what to do.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The operating system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The strict reader of safetensors refused the file.
    #[error(transparent)]
    Safetensors(#[from] FileError),
    /// The file is not what its format asks for.
    #[error("{path}: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found, what was expected, and where.
        problem: String,
    },
    /// One tensor is not what it must be.
    #[error("{path}: tensor {tensor:?}: {problem}")]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What was found, what was expected.
        problem: String,
    },
    /// Two tensors have one name, so that neither is meant.
    #[error(
        "{path}: two tensors have the name {tensor:?}; the other is in {other}. Keep one of them, or check one file at a time"
    )]
    Duplicate {
        /// The file with the second.
        path: PathBuf,
        /// The name of both.
        tensor: String,
        /// The file with the first.
        other: PathBuf,
    },
    /// More than [`Limits`](super::Limits) allow.
    #[error("{path}: {what} {found}, at most {limit} accepted")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is too large, and its unit: `"the tensor \"a\" has so many bytes:"`.
        what: String,
        /// How large it is, or says it is.
        found: u64,
        /// How large it may be.
        limit: u64,
    },
    /// The pickle would have Python call something, which a tensor does not need.
    #[error(
        "{path}: the pickle asks for {global}, which is not part of a tensor; nothing was executed. Save a dict of plain tensors: torch.save({{name: tensor.detach().cpu(), …}}, file)"
    )]
    Forbidden {
        /// The file.
        path: PathBuf,
        /// What it asks for: the Python name, or the opcode.
        global: String,
    },
    /// No format that is read.
    #[error(
        "{path}: {found}. A dump is a safetensors, npy or npz file, a dict of tensors by torch.save, a folder of these, or raw little-endian f32 with a shape"
    )]
    Unknown {
        /// The file or folder.
        path: PathBuf,
        /// What it is.
        found: String,
    },
}

impl DumpError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn malformed(path: &Path, problem: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_owned(), problem: shown(&problem.into(), PROBLEM) }
    }

    pub(super) fn tensor(path: &Path, tensor: &str, problem: impl Into<String>) -> Self {
        let (tensor, problem) = (shown(tensor, NAME), shown(&problem.into(), PROBLEM));
        Self::Tensor { path: path.to_owned(), tensor, problem }
    }

    pub(super) fn forbidden(path: &Path, global: &str) -> Self {
        let global = shown(&global.escape_debug().to_string(), NAME);
        Self::Forbidden { path: path.to_owned(), global }
    }

    pub(super) fn unknown(path: &Path, found: impl Into<String>) -> Self {
        Self::Unknown { path: path.to_owned(), found: found.into() }
    }

    pub(super) fn too_large(path: &Path, what: impl Into<String>, found: u64, limit: u64) -> Self {
        Self::TooLarge { path: path.to_owned(), what: what.into(), found, limit }
    }
}

/// The beginning of a text that a stranger may have made as long as he likes.
fn shown(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
