//! `trialplate`: judges a dump of a forward pass, and compares two dumps.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    trialplate::main()
}
