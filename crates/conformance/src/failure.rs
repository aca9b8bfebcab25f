//! What is said of an error, and the exit code that it means.

use std::process::ExitCode;

use harness::exit::{INTERNAL, INTERRUPTED, USAGE, UsageError};
use harness::interrupt::Interrupted;

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
