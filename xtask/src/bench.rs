//! `cargo xtask bench NAME …`: everything behind it belongs to the bench binary, built with `--release`.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::conformance::{self, BENCH, Build};
use crate::failure::Failure;
use crate::repository::Repository;

/// The command.
pub(crate) fn run(repository: &Repository, arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let build = if conformance::asks_for_help(arguments) { Build::Alone } else { Build::ForBenches };
    conformance::become_it(repository, BENCH, None, arguments, build)
}
