//! Every number and every verdict, computed again from the stored tensors.

use std::collections::BTreeSet;
use std::path::Path;

use capture::{CaptureFile, Case, Precision, TensorSource};
use checkpoint_spec::{
    Captures, CaseAssay, CaseEvidence, ReferenceCaptures, Results, RunFacts, Setting, SpecSet, Traits, assay,
    confidence, judge, recorded,
};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::bag::SoundBag;
use super::records::{Law, Records};
use super::{Problem, Room, sound_if_none};
use crate::layout::{self, Role, assay_path, capture_path};

/// Captures of one implementation and case, opened.
#[derive(Default)]
struct Opened {
    run: Option<CaptureFile>,
    replay: Option<CaptureFile>,
}

/// Assays and judges again, and compares the record with what comes out.
pub(super) fn check(directory: &Path, bag: &SoundBag, records: &Records, law: &Law) -> Room<()> {
    match again(directory, bag, records, &law.set) {
        Ok(results) => {
            let problems = differences(&records.results, &results);
            sound_if_none(problems.into_iter().map(|what| Problem::at(layout::RESULTS, what)).collect(), ())
        }
        Err(problem) => Ok(Err(vec![problem])),
    }
}

fn again(directory: &Path, bag: &SoundBag, records: &Records, specs: &SpecSet) -> Result<Results, Problem> {
    let results = &records.results;
    let unlawful = |error: checkpoint_spec::SpecError| Problem::at(layout::RESULTS, error.to_string());
    let facts = facts(records);
    let cases: Vec<&Case> = records.cases.iter().collect();
    let confidence = confidence(specs, &results.architecture, &cases).map_err(unlawful)?;
    let assay = |case: &Case| assay_case(directory, bag, records, specs, case, confidence);
    let assays: Vec<Result<CaseAssay, Problem>> = records.cases.par_iter().map(assay).collect();
    // The first problem in the order of the cases, not in that of time.
    let assays: Result<Vec<CaseAssay>, Problem> = assays.into_iter().collect();
    judge(specs, &facts, &assays?).map_err(unlawful)
}

fn assay_case(
    directory: &Path,
    bag: &SoundBag,
    records: &Records,
    specs: &SpecSet,
    case: &Case,
    confidence: f64,
) -> Result<CaseAssay, Problem> {
    let results = &records.results;
    let label = results.subject.to_string();
    let traits = Traits::of(&results.subject.name, case.texts.is_some());
    let setting = Setting { specs, architecture: &results.architecture, traits, confidence, subject: &label };
    if let Some(record) = records.assays.get(&case.id) {
        return from_record(&setting, case, results, record);
    }
    let open = |role: Role| Opened::of(directory, bag, results, &role, &case.id);
    let subject = open(Role::Subject)?;
    let mut opened = Vec::new();
    for identity in &results.references {
        let name = &identity.name;
        let at = |precision| open(Role::Reference { name: name.clone(), precision });
        opened.push((name, at(results.subject.precision.peer())?, at(Precision::F64)?));
    }
    let references: Vec<ReferenceCaptures<'_>> = opened
        .iter()
        .map(|(name, peer, f64)| ReferenceCaptures {
            name: (*name).clone(),
            peer: peer.view(),
            f64: f64.view(),
        })
        .collect();
    let nothing = BTreeSet::new();
    let evidence = CaseEvidence {
        case,
        subject: subject.view(),
        not_contiguous: subject.run.as_ref().map_or(&nothing, CaptureFile::not_contiguous),
        references: &references,
    };
    assay(&setting, &evidence).map_err(|error| Problem::at(layout::case_path(&case.id), error.to_string()))
}

/// The numbers of a case whose tensors are not here.
fn from_record(
    setting: &Setting<'_>,
    case: &Case,
    results: &Results,
    record: &CaseAssay,
) -> Result<CaseAssay, Problem> {
    let path = assay_path(&case.id);
    let references: Vec<String> = results.references.iter().map(|reference| reference.name.clone()).collect();
    let assay = recorded(setting, case, &references, record.clone());
    assay
        .map_err(|error| Problem::at(path.as_str(), error.to_string()))?
        .map_err(|what| Problem::at(path, what))
}

impl Opened {
    fn of(
        directory: &Path,
        bag: &SoundBag,
        results: &Results,
        role: &Role,
        case: &str,
    ) -> Result<Self, Problem> {
        let expected = role.label(results);
        let open = |replay| {
            let path = capture_path(&role.folder(results), case, replay);
            let open = || {
                let file = CaptureFile::open(&directory.join(&path))
                    .map_err(|error| Problem::at(&path, error.to_string()))?;
                let found = file.identity().to_string();
                if found != expected {
                    return Err(Problem::at(&path, format!("was left by {found}, expected is {expected}")));
                }
                Ok(file)
            };
            bag.payload.contains_key(&path).then(open).transpose()
        };
        Ok(Self { run: open(false)?, replay: open(true)? })
    }

    fn view(&self) -> Captures<'_> {
        Captures {
            run: self.run.as_ref().map(|file| file as &dyn TensorSource),
            replay: self.replay.as_ref().map(|file| file as &dyn TensorSource),
        }
    }
}

/// What the judge was told beside the numbers. It is taken from the record where it changes no verdict for the better.
fn facts(records: &Records) -> RunFacts {
    let Records { results, materials, cases, .. } = records;
    RunFacts::recorded(results, cases, !materials.tokenizer.is_empty(), materials.subject_weights.is_some())
}

/// What the record says and the tensors do not, in words.
fn differences(recorded: &Results, found: &Results) -> Vec<String> {
    if recorded == found {
        return Vec::new();
    }
    let mut differences = Vec::new();
    for (r, f) in recorded.checkpoints.iter().zip(&found.checkpoints).filter(|(r, f)| r != f) {
        let changed = r.comparisons.iter().zip(&f.comparisons).find(|(r, f)| r != f);
        let detail = match changed {
            Some((r, f)) => format!(
                "{} {} against {} ({:?}): recorded {:?}, {}; the tensors give {:?}, {}",
                r.case,
                r.tensor_name(),
                r.reference,
                r.mode,
                r.verdict,
                r.outcome,
                f.verdict,
                f.outcome
            ),
            None => format!(
                "recorded {:?}, {} of {} compared; the tensors give {:?}, {} of {}",
                r.verdict, r.compared, r.required, f.verdict, f.compared, f.required
            ),
        };
        differences.push(format!("checkpoint {}: {detail}", r.id));
    }
    if differences.is_empty() {
        differences.push(format!(
            "recorded {:?}, exit code {}; the tensors give {:?}, exit code {}; what differs: {}",
            recorded.verdict,
            recorded.exit_code,
            found.verdict,
            found.exit_code,
            other_parts(recorded, found).join(", ")
        ));
    }
    differences
}

/// What differs beside the checkpoints.
fn other_parts(recorded: &Results, found: &Results) -> Vec<&'static str> {
    let parts = [
        ("the list of checkpoints", recorded.checkpoints.len() != found.checkpoints.len()),
        ("the cases", recorded.cases != found.cases),
        ("the quorum", recorded.quorum != found.quorum),
        ("the first divergence", recorded.first_divergence != found.first_divergence),
        ("the faults", recorded.faults != found.faults),
        ("the peers", recorded.peers != found.peers),
        ("determinism", recorded.determinism != found.determinism),
        ("the laws", recorded.laws != found.laws),
        ("the reservations", recorded.reservations != found.reservations),
        ("whose tensors are kept", recorded.tensors != found.tensors),
        ("the verdict", recorded.verdict != found.verdict),
        ("the exit code", recorded.exit_code != found.exit_code),
    ];
    parts.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part).collect()
}
