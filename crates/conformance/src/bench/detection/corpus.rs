//! The declared faults on the bundled model, before the judge and before the rules of other harnesses.

use std::path::Path;

use anyhow::Result;
use capture::{Case, Precision};
use checkpoint_spec::{Extent, Keep, SpecSet, confidence};

use crate::cases;
use crate::fault::{Ground, PeerTable, against_peers};
use crate::implementation::{ImplementationName, Means, REFERENCES, RustGpt2};
use crate::model::ModelSource;
use crate::progress::Progress;
use crate::run::{self, Request};

/// The case with a place for every fault.
const CASE: &str = "batch-decode";

/// Who sees which fault.
pub(super) fn table(specs: &SpecSet, means: &Means, progress: &Progress, work: &Path) -> Result<PeerTable> {
    let request = request(means, progress)?;
    let cases: Vec<&Case> = request.cases.iter().map(|planned| &planned.case).collect();
    let confidence = confidence(specs, &request.model.architecture, &cases)?;
    let produced = run::produce(&request, means, progress, work, (specs, confidence))?;
    let facts = run::facts(&request, means, &produced)?;
    let ground = Ground { request: &request, means, produced: &produced, specs, confidence, facts: &facts };
    against_peers(ground, progress)
}

/// A run of the bundled model on that case, with every fault.
fn request(means: &Means, progress: &Progress) -> Result<Request> {
    let model = ModelSource::Bundled.open(means, progress)?;
    let (cases, do_not_fit) = cases::plan(&model, &[CASE.to_owned()], 0)?;
    Ok(Request {
        subject_model: None,
        subject: ImplementationName { name: RustGpt2::NAME.to_owned(), precision: Precision::F32 },
        references: REFERENCES.map(str::to_owned).to_vec(),
        cases,
        do_not_fit,
        selected: Vec::new(),
        threads: means.threads,
        time_limit: means.time_limit,
        faults: Extent::All,
        fresh: false,
        options: Vec::new(),
        keep: Keep::Full,
        model,
    })
}
