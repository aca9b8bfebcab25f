//! `bundle golden`: makes the small bundle that is committed, and that tests and second verifiers read.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use checkpoint_spec::Extent;
use harness::bundle::write_bundle;
use harness::exit::usage;
use harness::place::Place;
use harness::request::Request;
use harness::run::run;

use super::super::print;
use crate::rust::RustGpt2;
use crate::source::ModelSource;
use crate::{screen, start};

/// Two layers, width 16, two heads, 64 tokens, and a context of 8, which two small cases fit: nothing is left out.
const MODEL: &str = "synthetic:2,16,2,64,8";
/// Its folder among the bundles.
pub(super) const GOLDEN: &str = "golden";

/// Runs the command.
pub(super) fn make() -> Result<ExitCode> {
    let means = start::means(Place::find()?, 1, start::TIME_LIMIT)?;
    let progress = screen::progress(false);
    let model = ModelSource::parse(MODEL).map_err(usage)?.open(&means, &progress)?;
    let options = vec!["--model".to_owned(), MODEL.to_owned()];
    let request =
        Request { options, ..Request::plain(RustGpt2::subject(), model, &[], &means, Extent::Fast)? };
    let outcome = run(&request, &means, &progress)?;
    let bundles = means.place.bundles();
    let folder = tempfile::Builder::new().prefix(".golden-").tempdir_in(&bundles)?;
    let bundle = write_bundle(folder.path(), &request, &means, &outcome, &progress)?;
    put(&bundle, &bundles.join(GOLDEN))?;
    print(&format!("{}\n", bundles.join(GOLDEN).display()))
}

fn put(bundle: &Path, golden: &Path) -> Result<()> {
    if golden.symlink_metadata().is_ok() {
        fs::remove_dir_all(golden).with_context(|| golden.display().to_string())?;
    }
    fs::rename(bundle, golden).with_context(|| golden.display().to_string())
}
