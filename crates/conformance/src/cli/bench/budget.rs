//! `bench budget`: what the oracle's replay and its error bounds cost.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::super::checkpoint::{print, threads};
use crate::bench::budget::{self, Request};
use crate::exit::usage;
use crate::implementation::Means;
use crate::interrupt::Interrupt;
use crate::model::ModelSource;
use crate::place::Place;
use crate::progress::Progress;

/// How long making a model may take.
const TIME_LIMIT: Duration = Duration::from_secs(600);

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench budget
  cargo xtask bench budget --model ./my-gpt2 --tokens 128 --threads 1

Exit codes: 0 measured, whatever the times are; 64 usage, 70 internal error, 130 interrupted.";

/// What `bench budget` takes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Model; may be given more than once [default: the bundled gpt2-rustbook and synthetic:gpt2]
    #[arg(long, value_parser = ModelSource::parse)]
    model: Vec<ModelSource>,
    /// Length of the prompt
    #[arg(long, value_name = "N", default_value_t = 64)]
    tokens: usize,
    /// Threads to compute with [default: what the machine has]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Measurements of each
    #[arg(long, value_name = "N", default_value_t = 5)]
    repetitions: usize,
    /// No progress on standard error
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.repetitions == 0 {
        return Err(usage("--repetitions 0: at least one measurement is needed"));
    }
    let place = Place::find()?;
    let means = Means {
        logs: place.cache.join("logs"),
        place,
        threads: threads(arguments.threads)?,
        time_limit: TIME_LIMIT,
        interrupt: Interrupt::install()?,
    };
    let models = match arguments.model.as_slice() {
        [] => vec![ModelSource::Bundled, ModelSource::Synthetic("gpt2".to_owned())],
        models => models.to_vec(),
    };
    let progress = Progress::new(arguments.quiet);
    let mut measured = Vec::new();
    for model in models {
        let model = model.open(&means, &progress)?;
        let request = Request { model, tokens: arguments.tokens, repetitions: arguments.repetitions };
        measured.push(budget::run(&request, &means, &progress)?);
    }
    print(&budget::markdown(&measured))
}
