//! `bundle attest`: an in-toto statement about a bundle, to be signed by somebody else.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use proof_bundle::{Demands, statement, verify_as};

use super::super::print;
use harness::exit::usage;

const HELP: &str = "\
The subject of the statement is tagmanifest-sha256.txt, whose SHA-256 stands for every file of the bundle. Only a bundle
that verifies is attested; whether it conforms is in the predicate.";

/// What `bundle attest` takes.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// The bundle's directory
    directory: PathBuf,
    /// The predicate alone, for tools that make the statement themselves, such as GitHub's actions/attest
    #[arg(long)]
    predicate: bool,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if !arguments.directory.is_dir() {
        return Err(usage(format!("no bundle at {}; expected its directory", arguments.directory.display())));
    }
    let verification = verify_as(&arguments.directory, &Demands { partial: true, ..Demands::default() })?;
    let Some(statement) = statement(&verification) else {
        eprintln!("{}", verification.lines.join("\n"));
        return Ok(ExitCode::from(verification.exit_code));
    };
    let text = if arguments.predicate { &statement["predicate"] } else { &statement };
    print(&format!("{text:#}\n"))
}
