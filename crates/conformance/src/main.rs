//! The conformance program. `cargo xtask checkpoint`, `bundle` and `bench` start it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    conformance::cli::main()
}
