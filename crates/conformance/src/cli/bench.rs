//! `bench`: measurements that anyone can repeat.

mod budget;
mod detection;
mod forward;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench budget                       what the oracle's replay and its bounds cost, in forward passes
  cargo xtask bench detection                    how small a bug is seen, and how often correct code is accused
  cargo xtask bench forward                      the Rust GPT-2's forward pass beside PyTorch eager's
  cargo xtask bench forward --model synthetic:gpt2 --tokens 64
  cargo xtask bench verify                       verification of a bundle beside plain SHA-256";

/// What `bench` takes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Time the oracle's replay with and without error bounds, in f64 forward passes
    Budget(budget::Arguments),
    /// Find the smallest bug that each rule sees, and count false alarms on correct code
    Detection(detection::Arguments),
    /// Time the Rust GPT-2's forward pass beside PyTorch eager's
    Forward(forward::Arguments),
    /// Time the verification of a bundle beside plain SHA-256 of its files, and say how much memory it takes
    Verify(verify::Arguments),
}

/// Runs the command.
pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Budget(arguments) => budget::run(&arguments),
        Command::Detection(arguments) => detection::run(&arguments),
        Command::Forward(arguments) => forward::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
    }
}
