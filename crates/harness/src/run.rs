//! One run: captures → assay → judge.

mod desk;
mod facts;
mod laws;
mod repeats;
mod schedule;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use capture::Case;
use checkpoint_spec::{
    CaseAssay, CaseEvidence, Diagnosis, Results, RunFacts, Setting, assay, confidence, culprits, diagnose,
    judge,
};
use proof_bundle::Role;

pub use facts::facts;

use crate::captures::{Produced, with_evidence};
use crate::events::Progress;
use crate::fault::{self, Ground};
use crate::implementation::Means;
use crate::request::{Law, Request};
use desk::Desk;

/// What a run leaves.
#[derive(Debug)]
pub struct Outcome {
    /// The record.
    pub results: Results,
    /// What was measured, by case.
    pub assays: Vec<CaseAssay>,
    /// The captures it stands on, by role and case.
    pub captures: BTreeMap<Role, BTreeMap<String, PathBuf>>,
    /// Holds the subject's captures until the bundle has them.
    pub work: tempfile::TempDir,
}

/// Has everyone run every case, and nothing judged.
pub fn produce(request: &Request, means: &Means, progress: &Progress, work: &Path) -> Result<Produced> {
    schedule::produce(&Desk::new(request, means, progress, work)?)
}

/// Runs subject and references on every case, compares and judges.
pub fn run(request: &Request, means: &Means, progress: &Progress) -> Result<Outcome> {
    let specs = request.model.specs()?;
    let works = means.place.works();
    std::fs::create_dir_all(&works)?;
    let work = tempfile::Builder::new().prefix("run-").tempdir_in(works)?;
    let cases: Vec<&Case> = request.cases.iter().map(|planned| &planned.case).collect();
    let confidence = confidence(&specs, &request.model.architecture, &cases)?;
    let model = request.model.oracle(&specs)?;
    let law = Law { specs: &specs, confidence, model: &model };
    let desk = Desk::new(request, means, progress, work.path())?;
    let mut produced = schedule::produce(&desk)?;
    let part = progress.part("comparing", request.cases.len());
    let mut assays = Vec::new();
    for planned in &request.cases {
        means.interrupt.check()?;
        part.say(&planned.case.id);
        assays.push(with_evidence(request, law, planned, &produced, assay)??);
        part.step();
    }
    part.finish("compared");
    let repeats = repeats::repeats(&desk, &specs, &mut produced)?;
    let laws = laws::laws(&desk, law, &mut produced)?;
    let mut facts = RunFacts { repeats, laws, ..facts(request, means, &produced)? };
    let ground = Ground { request, means, produced: &produced, law, facts: &facts };
    facts.faults = fault::examine(ground, progress)?;
    let mut results = judge(&specs, &facts, &assays)?;
    results.diagnoses = diagnoses(request, means, law, &produced, &results)?;
    Ok(Outcome { results, assays, captures: produced.paths(), work })
}

/// Which bugs give what was refused.
fn diagnoses(
    request: &Request,
    means: &Means,
    law: Law<'_>,
    produced: &Produced,
    results: &Results,
) -> Result<Vec<Diagnosis>> {
    let mut found = Vec::new();
    for culprit in culprits(results) {
        means.interrupt.check()?;
        let planned = request.cases.iter().find(|planned| planned.case.id == culprit.case);
        if let Some(planned) = planned {
            let look =
                |setting: &Setting<'_>, evidence: &CaseEvidence<'_>| diagnose(setting, evidence, culprit);
            found.extend(with_evidence(request, law, planned, produced, look)??);
        }
    }
    Ok(found)
}
