//! `cargo xtask`: sets up Python, starts the conformance binary, keeps the house in order.
//!
//! Architecture invariant: this crate links no other crate of the workspace, so that `cargo xtask --help` compiles in
//! seconds. What it starts does the work, and its exit code is passed on unchanged.
#![forbid(unsafe_code)]

mod bench;
mod bundle;
mod checkpoint;
mod conformance;
mod disk;
mod doctor;
mod failure;
mod fuzz;
mod mutants;
mod process;
mod progress;
mod python;
mod repository;
mod setup;
mod test;
mod tidy;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::{Failure, USAGE};
use crate::repository::Repository;

const EXAMPLES: &str = "\
Examples:
  cargo xtask checkpoint all             does the Rust GPT-2 compute what the references compute?
  cargo xtask checkpoint 01 kv-cache     only these checkpoints
  cargo xtask checkpoint show 03         what a checkpoint demands
  cargo xtask checkpoint --help          all that a run can be asked for
  cargo xtask check dump.npz --model DIR is this forward pass of somebody's engine right?
  cargo xtask test                       all that must hold before a change is merged
  cargo xtask doctor                     what is missing on this machine

Exit codes:
  0 conforming    1 not conforming, or a step of `test` or a rule of `tidy` failed
  2 invalid evidence    3 stale    4 incomplete    64 usage    70 internal error";

/// Trialplate: does a port of a transformer compute what its reference computes, at every checkpoint?
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judge a subject at its checkpoints (sets up Python first when needed)
    #[command(disable_help_flag = true)]
    Checkpoint(PassedOn),
    /// Work with proof bundles: verify one, show its state
    #[command(disable_help_flag = true)]
    Bundle(PassedOn),
    /// Judge a dump of somebody's forward pass under its model, without Python
    #[command(disable_help_flag = true)]
    Check(PassedOn),
    /// Lay two dumps side by side, without a model
    #[command(disable_help_flag = true)]
    Compare(PassedOn),
    /// Measure: speed, memory, the smallest bug that is seen
    #[command(disable_help_flag = true)]
    Bench(PassedOn),
    /// Say what is kept between runs, and remove it
    #[command(disable_help_flag = true)]
    Cache(PassedOn),
    /// Run everything that must hold: format, lints, tests of both languages, tidy, `checkpoint all`
    Test(test::Arguments),
    /// Fuzz what strangers write, guided by coverage (needs a nightly toolchain)
    Fuzz(fuzz::Arguments),
    /// Change the ruler and the judge in one place at a time: does a test see it?
    Mutants(mutants::Arguments),
    /// Hold the repository against its own rules: code map, dependency arrows, file sizes, escape hatches
    #[command(after_help = "Example:\n  cargo xtask tidy      exit code 1 and a list when a rule is broken")]
    Tidy,
    /// Make `.venv`: the locked Python packages of the references; does nothing when it is up to date
    Setup(setup::Arguments),
    /// Show on one screen what this machine has, what is missing, and the command that mends it
    #[command(after_help = "Example:\n  cargo xtask doctor    exit code 70 when something is missing")]
    Doctor,
}

/// What the conformance binary parses itself.
#[derive(clap::Args)]
struct PassedOn {
    /// Passed on untouched; `--help` explains them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.code)
        }
    }
}

fn run() -> Result<ExitCode, Failure> {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(refusal) => {
            let code = if refusal.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
            // Nobody may be reading any more.
            drop(refusal.print());
            return Ok(code);
        }
    };
    process::pass_signals_on()?;
    let repository = Repository::locate()?;
    match command {
        Command::Checkpoint(_) => checkpoint::run(&repository, &untouched_arguments()),
        Command::Bundle(_) => bundle::run(&repository, &untouched_arguments()),
        Command::Cache(_) => conformance::become_it(
            &repository,
            conformance::CONFORMANCE,
            Some("cache"),
            &untouched_arguments(),
            conformance::Build::Alone,
        ),
        Command::Check(_) => {
            conformance::become_program(&repository, "trialplate", "check", &untouched_arguments())
        }
        Command::Compare(_) => {
            conformance::become_program(&repository, "trialplate", "compare", &untouched_arguments())
        }
        Command::Bench(_) => bench::run(&repository, &untouched_arguments()),
        Command::Test(arguments) => test::run(&repository, &arguments),
        Command::Fuzz(arguments) => fuzz::run(&repository, &arguments),
        Command::Mutants(arguments) => mutants::run(&repository, &arguments),
        Command::Tidy => tidy::run(&repository),
        Command::Setup(arguments) => setup::run(&repository, &arguments),
        Command::Doctor => doctor::run(&repository),
    }
}

/// All that follows the command's name, also a leading `--`, which clap takes away.
fn untouched_arguments() -> Vec<OsString> {
    env::args_os().skip(2).collect()
}
