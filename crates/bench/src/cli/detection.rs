//! `bench detection`: how often correct code is accused, and how small a bug is seen.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use conformance::cli::print;
use conformance::screen;

use super::means;
use crate::detection::{self, Part, Request};
use conformance::source::ModelSource;
use harness::exit::NOT_CONFORMING;
use harness::place::Place;

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench detection
  cargo xtask bench detection --part gates --only naive
  cargo xtask bench detection --model ./my-gpt2 --format json > detection.json

Exit codes: 0 no correct implementation was accused; 1 one was; 64 usage, 70 internal error, 130 interrupted.";

/// What `bench detection` takes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Model in which bugs are looked for; may be given more than once [default: the bundled gpt2-rustbook and
    /// synthetic:gpt2]
    #[arg(long, value_parser = ModelSource::parse)]
    model: Vec<ModelSource>,
    /// What is measured; may be given more than once [default: everything]
    #[arg(long, value_enum)]
    part: Vec<Measured>,
    /// Run only the gates that have this in model or subject, as in "width 40" or "naive"
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Threads to compute with [default: what the machine has]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// What is written to standard output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// No progress on standard error
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables
    #[default]
    Markdown,
    /// Every figure as JSON (schema trialplate/detection/2)
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Measured {
    /// Whole gates over correct implementations: how many end with another exit code than 0
    Gates,
    /// Bugs: how small they may be before each rule sees them, and the bugs with names
    Bugs,
    /// The declared faults before the rules of other harnesses
    Faults,
}

impl From<Measured> for Part {
    fn from(part: Measured) -> Self {
        match part {
            Measured::Gates => Self::Gates,
            Measured::Bugs => Self::Bugs,
            Measured::Faults => Self::Faults,
        }
    }
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let place = Place::find()?;
    let means = means(place, arguments.threads)?;
    let models = match arguments.model.as_slice() {
        [] => vec![ModelSource::Bundled, ModelSource::Synthetic("gpt2".to_owned())],
        models => models.to_vec(),
    };
    let parts = match arguments.part.as_slice() {
        [] => vec![Part::Gates, Part::Bugs, Part::Faults],
        parts => parts.iter().copied().map(Part::from).collect(),
    };
    let request = Request { models, only: arguments.only.clone(), parts };
    let report = detection::run(&request, &means, &screen::progress(arguments.quiet))?;
    print(&match arguments.format {
        Format::Markdown => detection::markdown(&report),
        Format::Json => serde_json::to_string_pretty(&report)? + "\n",
    })?;
    Ok(if report.accuses_correct_code() { ExitCode::from(NOT_CONFORMING) } else { ExitCode::SUCCESS })
}
