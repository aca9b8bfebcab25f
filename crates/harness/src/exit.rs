//! Exit codes, and the error that is the user's to mend.

use std::fmt;

/// Conforming.
pub const CONFORMING: u8 = 0;
/// Not conforming.
pub const NOT_CONFORMING: u8 = 1;
/// Invalid evidence.
pub const INVALID_EVIDENCE: u8 = 2;
/// Stale evidence.
pub const STALE: u8 = 3;
/// Incomplete: something required was not compared, or a reference did not answer.
pub const INCOMPLETE: u8 = 4;
/// The command or what it names cannot be used.
pub const USAGE: u8 = 64;
/// The work could not be done.
pub const INTERNAL: u8 = 70;
/// Stopped by the user (128 + SIGINT).
pub const INTERRUPTED: u8 = 130;

/// What the user gave cannot be used: a model, a case, a flag.
#[derive(Debug)]
pub struct UsageError(pub String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// A usage error with that message.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    UsageError(message.into()).into()
}
