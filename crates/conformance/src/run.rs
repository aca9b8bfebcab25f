//! One run: captures → assay → judge.

mod captures;
mod digest;
mod facts;
mod laws;
mod repeats;
mod schedule;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use capture::{CaptureFile, Case, Identity, Precision};
use checkpoint_spec::{
    CaseAssay, CaseEvidence, Diagnosis, Extent, Incident, Keep, ReferenceCaptures, Results, RunFacts,
    Setting, SpecSet, assay, confidence, culprits, diagnose, judge,
};
use oracle::Model;
use proof_bundle::Role;

pub use captures::{Produced, source};
pub use digest::files_below;
pub(crate) use facts::facts;
pub(crate) use schedule::{generated, produce};

use crate::cases::{self, PlannedCase};
use crate::fault::{self, Ground};
use crate::implementation::{ImplementationName, Means, REFERENCES, RustGpt2, traits};
use crate::model::Model as ModelFiles;
use crate::progress::Progress;

/// What the user asked for.
#[derive(Debug)]
pub struct Request {
    /// The model that the references get.
    pub model: ModelFiles,
    /// The subject's own weights, when it has them.
    pub subject_model: Option<ModelFiles>,
    /// Who is under test.
    pub subject: ImplementationName,
    /// Who judges, in order of precedence.
    pub references: Vec<String>,
    /// The cases.
    pub cases: Vec<PlannedCase>,
    /// Cases that do not fit the model, with the reason.
    pub do_not_fit: Vec<(String, String)>,
    /// Checkpoints to report; all when empty.
    pub selected: Vec<String>,
    /// Threads to compute with.
    pub threads: usize,
    /// How long a worker may take for one job.
    pub time_limit: Duration,
    /// How many of the declared faults are put in.
    pub faults: Extent,
    /// Compute references anew, even where their captures are cached.
    pub fresh: bool,
    /// The options that named model, subject and references, as given.
    pub options: Vec<String>,
    /// Which tensors the bundle is to hold.
    pub keep: Keep,
}

impl Request {
    /// The Rust GPT-2 before every reference in these cases (all that fit, where none is named), with every tensor kept.
    pub(crate) fn of_rust(
        model: ModelFiles,
        cases: &[String],
        means: &Means,
        faults: Extent,
    ) -> Result<Self> {
        let (cases, do_not_fit) = cases::plan(&model, cases, 0)?;
        Ok(Self {
            model,
            subject_model: None,
            subject: ImplementationName { name: RustGpt2::NAME.to_owned(), precision: Precision::F32 },
            references: REFERENCES.map(str::to_owned).to_vec(),
            cases,
            do_not_fit,
            selected: Vec::new(),
            threads: means.threads,
            time_limit: means.time_limit,
            faults,
            fresh: false,
            options: Vec::new(),
            keep: Keep::Full,
        })
    }
}

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

/// Runs subject and references on every case, compares and judges.
pub fn run(request: &Request, means: &Means, progress: &Progress) -> Result<Outcome> {
    let specs = request.model.specs()?;
    std::fs::create_dir_all(means.place.cache.join("work"))?;
    let work = tempfile::Builder::new().prefix("run-").tempdir_in(means.place.cache.join("work"))?;
    let cases: Vec<&Case> = request.cases.iter().map(|planned| &planned.case).collect();
    let confidence = confidence(&specs, &request.model.architecture, &cases)?;
    let model = request.model.oracle(&specs)?;
    let law = Law { specs: &specs, confidence, model: &model };
    let mut produced = produce(request, means, progress, work.path())?;
    let part = progress.part("comparing", request.cases.len());
    let mut assays = Vec::new();
    for planned in &request.cases {
        means.interrupt.check()?;
        part.say(planned.case.id.clone());
        assays.push(with_evidence(request, means, law, planned, &produced, assay)??);
        part.step();
    }
    part.finish("compared");
    let repeats = repeats::repeats(request, means, progress, work.path(), &specs, &mut produced)?;
    let laws = laws::laws(request, means, progress, work.path(), law, &mut produced)?;
    let mut facts = RunFacts { repeats, laws, ..facts(request, means, &produced)? };
    let ground = Ground { request, means, produced: &produced, law, facts: &facts };
    facts.faults = fault::examine(ground, progress)?;
    let mut results = judge(&specs, &facts, &assays)?;
    results.diagnoses = diagnoses(request, means, law, &produced, &results)?;
    Ok(Outcome { results, assays, captures: produced.paths(), work })
}

/// By what a run is judged.
#[derive(Clone, Copy, Debug)]
pub struct Law<'a> {
    /// The specs.
    pub specs: &'a SpecSet,
    /// `c` of their rounding budgets.
    pub confidence: f64,
    /// The model, as the oracle computes it.
    pub model: &'a Model,
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
            found.extend(with_evidence(request, means, law, planned, produced, look)??);
        }
    }
    Ok(found)
}

/// Lays one case's captures before `look`.
fn with_evidence<T>(
    request: &Request,
    means: &Means,
    law: Law<'_>,
    planned: &PlannedCase,
    produced: &Produced,
    look: impl FnOnce(&Setting<'_>, &CaseEvidence<'_>) -> T,
) -> Result<T> {
    let subject = request.subject.start(means)?;
    let setting = Setting {
        specs: law.specs,
        architecture: &request.model.architecture,
        model: Some(law.model),
        traits: traits(subject.as_ref(), planned.case.texts.is_some()),
        confidence: law.confidence,
        subject: &subject.label(),
    };
    let id = &planned.case.id;
    let subject = produced.subject.open(id)?;
    let opened = open_references(request, produced, id)?;
    let references = views(&opened);
    let nothing = std::collections::BTreeSet::new();
    let evidence = CaseEvidence {
        case: &planned.case,
        subject: source(&subject),
        not_contiguous: subject.as_ref().map_or(&nothing, CaptureFile::not_contiguous),
        references: &references,
    };
    Ok(look(&setting, &evidence))
}

/// A reference's captures of one case.
pub(crate) struct OpenedReference {
    name: String,
    peer: Option<CaptureFile>,
    f64: Option<CaptureFile>,
}

/// One case's captures of every reference, in order of precedence.
pub(crate) fn open_references(
    request: &Request,
    produced: &Produced,
    case: &str,
) -> Result<Vec<OpenedReference>> {
    let of = |name: &String| {
        let at = |precision| match produced.reference(name, precision) {
            Some(captures) => captures.open(case),
            None => Ok(None),
        };
        let peer = at(request.subject.precision.peer())?;
        Ok(OpenedReference { name: name.clone(), peer, f64: at(Precision::F64)? })
    };
    request.references.iter().map(of).collect()
}

/// References as evidence.
pub(crate) fn views(opened: &[OpenedReference]) -> Vec<ReferenceCaptures<'_>> {
    opened
        .iter()
        .map(|reference| ReferenceCaptures {
            name: reference.name.clone(),
            peer: source(&reference.peer),
            f64: source(&reference.f64),
        })
        .collect()
}

/// Identity and incidents of everyone who took part.
fn incidents(produced: &Produced) -> Vec<Incident> {
    produced.everyone().flat_map(|captures| captures.incidents.iter().cloned()).collect()
}

/// The identity of a reference for the record: its f32 side if it answered, else its f64 side, else its name alone.
fn reference_identity(produced: &Produced, name: &str) -> Identity {
    [Precision::F64, Precision::F32]
        .into_iter()
        .find_map(|precision| {
            produced.reference(name, precision).and_then(|captures| captures.identity.clone())
        })
        .unwrap_or_else(|| Identity {
            name: name.to_owned(),
            version: "did not answer".to_owned(),
            precision: Precision::F64,
            device: "unknown".to_owned(),
        })
}

/// Where cached captures of references live.
pub(crate) fn capture_cache(means: &Means) -> PathBuf {
    means.place.cache.join("captures")
}
