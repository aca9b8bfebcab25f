//! `verify`: what a proof bundle says for itself. What it is held against in the repository it was made in, `cargo xtask bundle
//! verify` looks up.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use proof_bundle::{AllowedSigners, Demands, verify_as};

use super::print;
use crate::exit::Problem;

const HELP: &str = "\
Examples:
  trialplate verify gpt2-2026-11-29.bundle --model ./gpt2
  trialplate verify bundle --allowed-signers signers --require-signature

Exit codes: 0 conforming, 1 not conforming, 2 invalid evidence, 4 incomplete, partial or digest-only, 64 usage, 70 internal error.";

/// What `verify` takes.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// The bundle's directory
    bundle: PathBuf,
    /// The folder of the model that it must be about
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// The commit that it must be of, or how it begins
    #[arg(long, value_name = "COMMIT")]
    expect_commit: Option<String>,
    /// Accept evidence about fewer checkpoints or cases than there are
    #[arg(long)]
    partial: bool,
    /// Whose signatures count: a file as `ssh-keygen -Y verify` reads it
    #[arg(long, value_name = "FILE")]
    allowed_signers: Option<PathBuf>,
    /// Without a signature of theirs the evidence is invalid
    #[arg(long, requires = "allowed_signers")]
    require_signature: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Problem> {
    let directory = &arguments.bundle;
    if !directory.is_dir() {
        return Err(Problem::Usage(format!("no bundle at {}; expected its directory", directory.display())));
    }
    let signers = arguments.allowed_signers.as_deref().map(AllowedSigners::read).transpose();
    let signers = signers.map_err(Problem::usage)?;
    let demands = Demands {
        model: arguments.model.as_deref(),
        expected_commit: arguments.expect_commit.as_deref(),
        signers: signers.as_ref(),
        signature_required: arguments.require_signature,
        partial: arguments.partial,
        ..Demands::default()
    };
    let verification = verify_as(directory, &demands).map_err(Problem::internal)?;
    print(&(verification.lines.join("\n") + "\n"))?;
    Ok(ExitCode::from(verification.exit_code))
}
