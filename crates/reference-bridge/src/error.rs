//! What stops the worker, with the exit code that says so, and what fails a job.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;

use capture::worker::WorkListError;
use pyo3::{PyErr, Python};

/// Says something on standard error, if anybody listens: `eprintln!` would panic when nobody does.
pub fn note(message: impl Display) {
    let _ = writeln!(std::io::stderr(), "reference-bridge: {message}");
}

/// What stops the worker. A job that fails does not: it becomes an event.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Standard input does not hold a work list that can be done.
    #[error(transparent)]
    WorkList(#[from] WorkListError),
    /// Python, a package or the reference is not there.
    #[error("{0}; run `cargo xtask setup` to install the locked Python environment")]
    Environment(String),
    /// The reference was found and could not be opened.
    #[error("the reference `{implementation}` could not be opened: {problem}")]
    Session {
        /// The implementation asked for.
        implementation: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// The command line says something.
    #[error("unexpected argument {0:?}; expected none, and a work list on standard input")]
    Argument(OsString),
    /// The events cannot be delivered.
    #[error("standard output: {0}")]
    Answers(std::io::Error),
}

impl WorkerError {
    /// Exit code of a malformed work list.
    pub const USAGE: u8 = 64;
    /// Exit code of everything else that stops the worker.
    pub const INTERNAL: u8 = 70;

    /// The exit code of the process.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::WorkList(_) | Self::Argument(_) => Self::USAGE,
            Self::Environment(_) | Self::Session { .. } | Self::Answers(_) => Self::INTERNAL,
        }
    }
}

/// Why a job gave no capture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    /// Python raised: the exception's type and message.
    #[error("{0}")]
    Raised(String),
    /// What came back is not a capture.
    #[error("{0}")]
    Refused(String),
}

impl From<PyErr> for JobError {
    fn from(error: PyErr) -> Self {
        Python::attach(|py| Self::Raised(crate::python::raised(py, &error)))
    }
}
