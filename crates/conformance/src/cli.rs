//! The command line of the conformance program.

mod bundle;
mod cache;
mod checkpoint;
mod describe;
pub mod worker;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use harness::exit::USAGE;

use crate::failure::report_error;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    about = "Checkpoint conformance of transformer ports"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare a subject with its references at every checkpoint of the forward pass
    Checkpoint(checkpoint::Arguments),
    /// Verify proof bundles, and say which are current
    Bundle(bundle::Arguments),
    /// Say what is kept between runs, and remove it
    Cache(cache::Arguments),
    /// Be a worker: the Rust GPT-2, given a work list on standard input
    #[command(hide = true)]
    Worker,
}

/// Runs the program; the exit code says what became of it.
pub fn main() -> ExitCode {
    begin(|arguments: Arguments| match arguments.command {
        Command::Checkpoint(arguments) => checkpoint::run(arguments),
        Command::Bundle(arguments) => bundle::run(arguments),
        Command::Cache(arguments) => cache::run(&arguments),
        Command::Worker => worker::run(),
    })
}

/// Reads the arguments, and does what they say.
pub fn begin<A: Parser>(run: impl FnOnce(A) -> Result<ExitCode>) -> ExitCode {
    match A::try_parse() {
        Ok(arguments) => run(arguments).unwrap_or_else(|error| report_error(&error)),
        Err(error) => {
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
        }
    }
}

/// Writes to standard output.
pub fn print(text: &str) -> Result<ExitCode> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // A reader that has seen enough, such as `head`, is no failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
