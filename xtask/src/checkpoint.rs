//! `cargo xtask checkpoint …`: everything behind it belongs to the conformance binary.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::conformance::{self, Build, CONFORMANCE};
use crate::failure::Failure;
use crate::repository::Repository;

/// The command.
pub(crate) fn run(repository: &Repository, arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let build = if only_reads(arguments) { Build::Alone } else { Build::WithReferences };
    conformance::become_it(repository, CONFORMANCE, Some("checkpoint"), arguments, build)
}

/// What only reads the specs starts at once, also on a machine without Python.
fn only_reads(arguments: &[OsString]) -> bool {
    let reads = arguments.first().is_some_and(|first| first == "list" || first == "show" || first == "help");
    reads || conformance::asks_for_help(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_runs_need_the_references() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(only_reads(&words(&["list"])));
        assert!(only_reads(&words(&["show", "03"])));
        assert!(only_reads(&words(&["--help"])));
        assert!(!only_reads(&words(&["all"])));
        assert!(!only_reads(&words(&["01", "kv-cache", "--format", "json"])));
    }
}
