//! `bundle`: what an auditor does with a proof bundle.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

const EXAMPLES: &str = "\
Examples:
  cargo xtask bundle verify proof-bundles/0123456789ab-01234567
  cargo xtask bundle list";

/// What `bundle` takes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a bundle offline: manifests, strict parsing, and every verdict computed again from the stored tensors
    Verify {
        /// The bundle's directory
        directory: PathBuf,
    },
}

/// Runs the command.
pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Verify { directory } => verify(&directory),
    }
}

fn verify(directory: &std::path::Path) -> Result<ExitCode> {
    let verification = proof_bundle::verify(directory)?;
    for line in &verification.lines {
        println!("{line}");
    }
    Ok(ExitCode::from(verification.exit_code))
}
