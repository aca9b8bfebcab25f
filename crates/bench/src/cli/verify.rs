//! `bench verify`: verification beside plain SHA-256.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use checkpoint_spec::Extent;
use clap::Args;
use conformance::cli::print;
use conformance::rust::RustGpt2;
use conformance::screen;

use super::means;
use crate::verify;
use conformance::source::ModelSource;
use harness::bundle::write_bundle;
use harness::exit::usage;
use harness::place::Place;
use harness::request::Request;
use harness::run;

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
fn make(arguments: &Arguments, folder: &Path) -> Result<PathBuf> {
    let place = Place::find()?;
    let means = means(place, None)?;
    let progress = screen::progress(false);
    let model = arguments.model.clone().unwrap_or(ModelSource::Bundled).open(&means, &progress)?;
    let request = Request::plain(RustGpt2::subject(), model, &[], &means, Extent::None)?;
    let outcome = run::run(&request, &means, &progress)?;
    write_bundle(folder, &request, &means, &outcome, &progress)
}
