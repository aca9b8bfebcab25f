//! `bundle golden`: makes the small bundle that is committed, and that tests and second verifiers read.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use checkpoint_spec::Extent;

use super::super::checkpoint::print;
use crate::exit::usage;
use crate::implementation::Means;
use crate::interrupt::Interrupt;
use crate::materials;
use crate::model::ModelSource;
use crate::place::Place;
use crate::progress::Progress;
use crate::run::{self, Request};

/// Two layers, width 16, two heads, 64 tokens, and a context of 8, which two small cases fit: nothing is left out.
const MODEL: &str = "synthetic:2,16,2,64,8";
/// Its folder among the bundles.
pub(super) const GOLDEN: &str = "golden";
/// How long a reference may take for one job.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// Runs the command.
pub(super) fn run() -> Result<ExitCode> {
    let place = Place::find()?;
    let interrupt = Interrupt::install()?;
    let means =
        Means { logs: place.cache.join("logs"), place, threads: 1, time_limit: TIME_LIMIT, interrupt };
    let progress = Progress::new(false);
    let model = ModelSource::parse(MODEL).map_err(usage)?.open(&means, &progress)?;
    let options = vec!["--model".to_owned(), MODEL.to_owned()];
    let request = Request { options, ..Request::of_rust(model, &[], &means, Extent::Fast)? };
    let outcome = run::run(&request, &means, &progress)?;
    let bundles = means.place.bundles();
    let folder = tempfile::Builder::new().prefix(".golden-").tempdir_in(&bundles)?;
    let bundle = materials::write_bundle(folder.path(), &request, &means, &outcome, &progress)?;
    put(&bundle, &bundles.join(GOLDEN))?;
    print(&format!("{}\n", bundles.join(GOLDEN).display()))
}

fn put(bundle: &Path, golden: &Path) -> Result<()> {
    if golden.symlink_metadata().is_ok() {
        fs::remove_dir_all(golden).with_context(|| golden.display().to_string())?;
    }
    fs::rename(bundle, golden).with_context(|| golden.display().to_string())
}
