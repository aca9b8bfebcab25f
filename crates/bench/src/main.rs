//! The bench program. `cargo xtask bench` starts it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    bench::cli::main()
}
