//! The declared faults on the bundled model, before the judge and before the rules of other harnesses.

use std::path::Path;

use anyhow::Result;
use capture::Case;
use checkpoint_spec::{Extent, SpecSet, confidence};

use harness::fault::Ground;

use crate::peers::{PeerTable, against_peers};
use conformance::rust::RustGpt2;
use conformance::source::ModelSource;
use harness::events::Progress;
use harness::implementation::Means;
use harness::request::{Law, Request};
use harness::run;

/// The case with a place for every fault.
const CASE: &str = "batch-decode";

/// Who sees which fault.
pub(super) fn table(specs: &SpecSet, means: &Means, progress: &Progress, work: &Path) -> Result<PeerTable> {
    let model = ModelSource::Bundled.open(means, progress)?;
    let request = Request::plain(RustGpt2::subject(), model, &[CASE.to_owned()], means, Extent::All)?;
    let cases: Vec<&Case> = request.cases.iter().map(|planned| &planned.case).collect();
    let confidence = confidence(specs, &request.model.architecture, &cases)?;
    let model = request.model.oracle(specs)?;
    let law = Law { specs, confidence, model: &model };
    let produced = run::produce(&request, means, progress, work)?;
    let facts = run::facts(&request, means, &produced)?;
    let ground = Ground { request: &request, means, produced: &produced, law, facts: &facts };
    against_peers(ground, progress)
}
