//! The command line of the bench program.

mod detection;
mod forward;
mod verify;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::{Parser, Subcommand};
use conformance::cli::{begin, worker};
use conformance::start;
use harness::implementation::Means;
use harness::place::Place;

use crate::naive::Naive;

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench forward                      the Rust GPT-2's forward pass beside PyTorch eager's
  cargo xtask bench forward --model synthetic:gpt2 --tokens 64
  cargo xtask bench detection                    how often correct code is accused, and how small a bug is seen
  cargo xtask bench verify                       verification of a bundle beside plain SHA-256";

/// What `bench` takes.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench", version, about, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Count the gates that refuse correct implementations, and look how small a bug may be before it is seen
    Detection(detection::Arguments),
    /// Time the Rust GPT-2's forward pass beside PyTorch eager's
    Forward(forward::Arguments),
    /// Time the verification of a bundle beside plain SHA-256 of its files, and say how much memory it takes
    Verify(verify::Arguments),
    /// Be a worker: the Rust GPT-2, given a work list on standard input
    #[command(hide = true)]
    Worker,
}

/// Runs the program; the exit code says what became of it.
pub fn main() -> ExitCode {
    begin(|arguments: Arguments| match arguments.command {
        Command::Detection(arguments) => detection::run(&arguments),
        Command::Forward(arguments) => forward::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Worker => worker::run(),
    })
}

/// The means of a bench.
fn means(place: Place, threads: Option<usize>) -> Result<Means> {
    let mut means = start::means(place, start::threads(threads)?, start::TIME_LIMIT)?;
    means.locals.push(Arc::new(Naive));
    Ok(means)
}
