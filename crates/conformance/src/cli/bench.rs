//! `bench`: measurements that anyone can repeat.

mod detection;
mod forward;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench forward                      the Rust GPT-2's forward pass beside PyTorch eager's
  cargo xtask bench forward --model synthetic:gpt2 --tokens 64
  cargo xtask bench detection                    how often correct code is accused, and how small a bug is seen
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
    /// Count the gates that refuse correct implementations, and look how small a bug may be before it is seen
    Detection(detection::Arguments),
    /// Time the Rust GPT-2's forward pass beside PyTorch eager's
    Forward(forward::Arguments),
    /// Time the verification of a bundle beside plain SHA-256 of its files, and say how much memory it takes
    Verify(verify::Arguments),
}

/// Runs the command.
pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Detection(arguments) => detection::run(&arguments),
        Command::Forward(arguments) => forward::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
    }
}
