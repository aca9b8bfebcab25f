//! `cargo xtask bundle …`: everything behind it belongs to the conformance binary.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::conformance::{self, Build, CONFORMANCE};
use crate::failure::Failure;
use crate::repository::Repository;

/// The command.
pub(crate) fn run(repository: &Repository, arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let build = if computes(arguments) { Build::WithReferences } else { Build::Alone };
    conformance::become_it(repository, CONFORMANCE, Some("bundle"), arguments, build)
}

/// An auditor verifies without Python, unless everything is to be computed again.
fn computes(arguments: &[OsString]) -> bool {
    let asked = |argument: &OsString| {
        argument.to_str().is_some_and(|word| {
            ["golden", "--rerun"].contains(&word) || word.split('=').next() == Some("--challenge")
        })
    };
    !conformance::asks_for_help(arguments) && arguments.iter().any(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verifying_needs_no_python_unless_it_computes() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(!computes(&words(&["verify", "proof-bundles/golden"])));
        assert!(!computes(&words(&["verify", "--rerun", "--help"])));
        assert!(computes(&words(&["verify", "proof-bundles/golden", "--rerun"])));
        assert!(computes(&words(&["verify", "x", "--challenge", "7"])));
        assert!(computes(&words(&["verify", "x", "--challenge=7"])));
        assert!(computes(&words(&["golden"])));
    }
}
