//! `bench`: measurements that anyone can repeat.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench forward                      the Rust GPT-2's forward pass beside PyTorch eager's
  cargo xtask bench forward --model synthetic:gpt2 --tokens 64";

/// What `bench` takes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {}

/// Runs the command.
pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {}
}
