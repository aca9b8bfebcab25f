//! Why a bundle cannot be written.

use std::io;
use std::path::{Path, PathBuf};

/// Why a bundle cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The operating system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The contents contradict each other.
    #[error("the bundle would contradict itself: {problem}")]
    Inconsistent {
        /// What contradicts what.
        problem: String,
    },
    /// A record cannot be written as JSON.
    #[error("the record cannot be written: {0}")]
    Record(#[from] serde_json::Error),
    /// A report cannot be rendered.
    #[error("the report cannot be rendered: {problem}")]
    Report {
        /// What is wrong.
        problem: String,
    },
}

/// What turns an I/O error into one that names the path.
pub(crate) fn io_at(path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_owned();
    move |source| WriteError::Io { path, source }
}
