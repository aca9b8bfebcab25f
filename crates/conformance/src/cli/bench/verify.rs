//! `bench verify`: verification beside plain SHA-256.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use checkpoint_spec::Extent;
use clap::Args;

use super::super::checkpoint::{print, threads};
use crate::bench::verify;
use crate::exit::usage;
use crate::implementation::Means;
use crate::interrupt::Interrupt;
use crate::materials;
use crate::model::ModelSource;
use crate::place::Place;
use crate::progress::Progress;
use crate::run::{self, Request};

/// How long a reference may take for one job.
const TIME_LIMIT: Duration = Duration::from_secs(600);

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench verify                                      a bundle of the bundled model, made for this
  cargo xtask bench verify --bundle proof-bundles/NAME
  cargo xtask bench verify --model synthetic:8,512,8,8192,256   about 2 GB
  TMPDIR=/var/tmp cargo xtask bench verify                      where the bundle is made, and removed

Exit codes: 0 measured, whatever the times are; 64 usage, 70 internal error, 130 interrupted.";

/// What `bench verify` takes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// A bundle that is there
    #[arg(long, value_name = "DIR", conflicts_with = "model")]
    bundle: Option<PathBuf>,
    /// Model to make a bundle of [default: the bundled gpt2-rustbook]
    #[arg(long, value_parser = ModelSource::parse)]
    model: Option<ModelSource>,
    /// Measurements of each
    #[arg(long, value_name = "N", default_value_t = 3)]
    repetitions: usize,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.repetitions == 0 {
        return Err(usage("--repetitions 0: at least one measurement is needed"));
    }
    if let Some(bundle) = &arguments.bundle {
        if !bundle.is_dir() {
            return Err(usage(format!("no bundle at {}; expected its directory", bundle.display())));
        }
        return print(&verify::markdown(&verify::measure(bundle, arguments.repetitions)?));
    }
    let folder = tempfile::tempdir()?;
    let bundle = make(arguments, folder.path())?;
    print(&verify::markdown(&verify::measure(&bundle, arguments.repetitions)?))
}

/// Writes a bundle to measure.
fn make(arguments: &Arguments, folder: &std::path::Path) -> Result<PathBuf> {
    let place = Place::find()?;
    let means = Means {
        logs: place.cache.join("logs"),
        place,
        threads: threads(None)?,
        time_limit: TIME_LIMIT,
        interrupt: Interrupt::install()?,
    };
    let progress = Progress::new(false);
    let model = arguments.model.clone().unwrap_or(ModelSource::Bundled).open(&means, &progress)?;
    let request = Request::of_rust(model, &[], &means, Extent::None)?;
    let outcome = run::run(&request, &means, &progress)?;
    materials::write_bundle(folder, &request, &means, &outcome, &progress)
}
