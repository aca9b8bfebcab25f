//! Exit codes, and the problems that carry one.

use std::process::ExitCode;

/// Invalid evidence: the dump cannot be read.
const INVALID_EVIDENCE: u8 = 2;
/// The command or what it names cannot be used.
const USAGE: u8 = 64;
/// The work could not be done.
const INTERNAL: u8 = 70;

/// What stopped the work, in words: what was found, what was expected, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The dump is none.
    #[error("{0}")]
    Dump(String),
    /// An option, a model or a map cannot be used.
    #[error("{0}")]
    Usage(String),
    /// The work could not be done.
    #[error("{0}")]
    Internal(String),
}

impl Problem {
    pub(crate) fn usage(problem: impl ToString) -> Self {
        Self::Usage(problem.to_string())
    }

    pub(crate) fn internal(problem: impl ToString) -> Self {
        Self::Internal(problem.to_string())
    }

    /// The exit code of a program that it stopped.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Dump(_) => INVALID_EVIDENCE,
            Self::Usage(_) => USAGE,
            Self::Internal(_) => INTERNAL,
        }
    }

    pub(crate) fn tell(&self) -> ExitCode {
        eprintln!("error: {}", report::plain(&self.to_string()));
        ExitCode::from(self.code())
    }
}
