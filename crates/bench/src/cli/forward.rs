//! `bench forward`: the Rust GPT-2 beside PyTorch.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use conformance::cli::print;
use conformance::screen;

use super::means;
use crate::forward::{self, Request};
use conformance::source::ModelSource;
use harness::exit::usage;
use harness::place::Place;

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench forward
  cargo xtask bench forward --tokens 512 --threads 1
  cargo xtask bench forward --model ./my-gpt2 --repetitions 50 --format json > forward.json

Exit codes: 0 measured, whatever the times are; 64 usage, 70 internal error, 130 interrupted.";

/// What `bench forward` takes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Model: a directory in Hugging Face format, hf:OWNER/NAME[@REVISION], or
    /// synthetic:{gpt2|gpt2-medium|gpt2-large|gpt2-xl|L,D,H,V,C}[@SEED]
    #[arg(long, default_value = "synthetic:gpt2", value_parser = ModelSource::parse)]
    model: ModelSource,
    /// Length of the prompt
    #[arg(long, value_name = "N", default_value_t = 64)]
    tokens: usize,
    /// Threads that each side computes with [default: what the machine has]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Measurements of each side
    #[arg(long, value_name = "N", default_value_t = 30)]
    repetitions: usize,
    /// What is written to standard output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// No progress on standard error
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table
    #[default]
    Markdown,
    /// Every single time as JSON (schema trialplate/bench-forward/1)
    Json,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.repetitions == 0 {
        return Err(usage("--repetitions 0: at least one measurement is needed"));
    }
    let place = Place::find()?;
    forward::can_start(&place)?;
    let means = means(place, arguments.threads)?;
    let progress = screen::progress(arguments.quiet);
    let model = arguments.model.open(&means, &progress)?;
    let request = Request { model, tokens: arguments.tokens, repetitions: arguments.repetitions };
    let measurement = forward::run(&request, &means, &progress)?;
    print(&match arguments.format {
        Format::Markdown => forward::markdown(&measurement),
        Format::Json => forward::json(&measurement).to_string() + "\n",
    })
}
