//! `bundle`: what an auditor does with a proof bundle.

mod attest;
mod golden;
mod status;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::print;
use harness::exit::usage;

const EXAMPLES: &str = "\
Examples:
  cargo xtask bundle status                                  which bundles are current, stale or superseded
  cargo xtask bundle verify proof-bundles/0123456789ab-01234567-89abcdef
  cargo xtask bundle verify --all
  cargo xtask bundle verify proof-bundles/golden --historical
  cargo xtask bundle sign proof-bundles/NAME --key ~/.ssh/id_ed25519
  cargo xtask bundle verify proof-bundles/NAME --allowed-signers signers --require-signature
  cargo xtask bundle verify proof-bundles/NAME --challenge 7     fresh inputs that nobody could prepare for
  cargo xtask bundle attest proof-bundles/NAME > statement.json";

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
    Verify(verify::Arguments),
    /// Say of every bundle whether it is current, stale or superseded, and by what
    Status(status::Arguments),
    /// Sign a bundle with an SSH key, so that `ssh-keygen -Y verify` can check it
    Sign(Sign),
    /// Write an in-toto statement about a bundle that verifies, for Sigstore and its like
    Attest(attest::Arguments),
    /// Make proof-bundles/golden anew, the small bundle that is committed: a tiny model, two small cases
    Golden,
}

const SIGN_HELP: &str = "\
What is signed is tagmanifest-sha256.txt, which stands for every other file. Without this tool:
  ssh-keygen -Y sign -n checkpoint-proof -f KEY < DIR/tagmanifest-sha256.txt > DIR.sig
  ssh-keygen -Y verify -n checkpoint-proof -f ALLOWED_SIGNERS -I WHO -s DIR.sig < DIR/tagmanifest-sha256.txt";

#[derive(Debug, Args)]
#[command(after_help = SIGN_HELP)]
struct Sign {
    /// The bundle's directory
    directory: PathBuf,
    /// Private key in OpenSSH's format, Ed25519 or ECDSA P-256, without a passphrase
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

/// Runs the command.
pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Sign(arguments) => {
            let signed = proof_bundle::sign(&arguments.directory, &arguments.key);
            let path = signed.map_err(|error| usage(error.to_string()))?;
            print(&format!("{}\n", path.display()))
        }
        Command::Attest(arguments) => attest::run(&arguments),
        Command::Golden => golden::make(),
    }
}
