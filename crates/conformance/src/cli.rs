//! The command line of the conformance program.

mod bench;
mod bundle;
mod cache;
mod checkpoint;
mod describe;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit::{USAGE, report_error};

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
    /// Measure, so that every figure in the documentation can be reproduced
    Bench(bench::Arguments),
    /// Say what is kept between runs, and remove it
    Cache(cache::Arguments),
    /// Be a worker: the Rust GPT-2, given a work list on standard input
    #[command(hide = true)]
    Worker,
}

/// Runs the program; the exit code says what became of it.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let done = match arguments.command {
        Command::Checkpoint(arguments) => checkpoint::run(arguments),
        Command::Bundle(arguments) => bundle::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Cache(arguments) => cache::run(&arguments),
        Command::Worker => worker::run(),
    };
    done.unwrap_or_else(|error| report_error(&error))
}
