//! Exit codes, and the errors that carry one.

use std::fmt;
use std::process::ExitCode;

pub use crate::interrupt::INTERRUPTED;
use crate::interrupt::Interrupted;

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

/// Prints an error's chain on standard error and gives its exit code.
pub fn report_error(error: &anyhow::Error) -> ExitCode {
    let code = if error.chain().any(<dyn std::error::Error>::is::<Interrupted>) {
        INTERRUPTED
    } else if error.chain().any(<dyn std::error::Error>::is::<UsageError>) {
        USAGE
    } else {
        INTERNAL
    };
    eprintln!("error: {}", causes(error).join("\n  caused by: "));
    ExitCode::from(code)
}

/// The chain in words. An error that told its cause already is not followed by it once more.
fn causes(error: &anyhow::Error) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        if !causes.last().is_some_and(|told| told.contains(&cause)) {
            causes.push(cause);
        }
    }
    causes
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context;

    use super::causes;

    #[test]
    fn a_cause_is_told_once() {
        let source = || io::Error::new(io::ErrorKind::StorageFull, "no space left");
        let told = capture::FileError::Io { path: "a.safetensors".into(), source: source() };
        let error = Err::<(), _>(told).context("the capture cannot be written").unwrap_err();
        assert_eq!(causes(&error), ["the capture cannot be written", "a.safetensors: no space left"]);
        let untold = Err::<(), _>(source()).context("a.safetensors").unwrap_err();
        assert_eq!(causes(&untold), ["a.safetensors", "no space left"]);
    }
}
