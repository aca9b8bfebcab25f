//! Every number and every verdict, computed again from the stored tensors.

use std::path::Path;

use capture::{CaptureFile, Case};
use checkpoint_spec::{
    CaseAssay, CaseCaptures, CaseEvidence, Diagnosis, Results, RunFacts, Setting, SpecError, SpecSet, Traits,
    assay, confidence, culprits, diagnose, judge, recorded,
};
use oracle::Model;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::bag::SoundBag;
use super::records::{Law, Records};
use super::{Problem, Room, sound_if_none};
use crate::ModelFiles;
use crate::layout::{self, Role, assay_path, capture_path};

/// Assays and judges again, and compares the record with what comes out. Without the model the numbers stand by themselves.
pub(super) fn check(
    directory: &Path,
    bag: &SoundBag,
    records: &Records,
    law: &Law,
    model: Option<&ModelFiles>,
) -> Room<()> {
    let load = |files: &ModelFiles| load(files, records, law);
    let again = || {
        let model = model.map(load).transpose()?;
        Verifier { directory, bag, records, specs: &law.set, model: model.as_ref() }.judge()
    };
    match again() {
        Ok(results) => {
            let problems = differences(&records.results, &results);
            sound_if_none(problems.into_iter().map(|what| Problem::at(layout::RESULTS, what)).collect(), ())
        }
        Err(problem) => Ok(Err(vec![problem])),
    }
}

/// The model, of the sizes and constants that its own configuration gives: weights of the same shapes can be read with other
/// heads, and nothing in them tells an epsilon.
fn load(files: &ModelFiles, records: &Records, law: &Law) -> Result<Model, Problem> {
    let problem = |what: String| Problem::at(layout::MODEL, what);
    let (graph, recorded) = (law.set.graph(), &records.results.architecture);
    let config = files.config(&records.materials).map_err(|error| problem(error.to_string()))?;
    let configured = graph.family.architecture(&config).map_err(|error| problem(error.to_string()))?;
    if configured != *recorded {
        let what = format!("config.json is of {configured:?}, results.json of {recorded:?}");
        return Err(problem(what));
    }
    Model::load(files.folder(), graph, configured).map_err(|error| problem(error.to_string()))
}

/// What numbers are computed again from.
struct Verifier<'a> {
    directory: &'a Path,
    bag: &'a SoundBag,
    records: &'a Records,
    specs: &'a SpecSet,
    model: Option<&'a Model>,
}

impl Verifier<'_> {
    fn judge(&self) -> Result<Results, Problem> {
        let (records, specs) = (self.records, self.specs);
        let results = &records.results;
        let unlawful = |error: checkpoint_spec::SpecError| Problem::at(layout::RESULTS, error.to_string());
        let facts = facts(records);
        let cases: Vec<&Case> = records.cases.iter().collect();
        let confidence = confidence(specs, &results.architecture, &cases).map_err(unlawful)?;
        let assays: Vec<Result<CaseAssay, Problem>> =
            records.cases.par_iter().map(|case| self.case(case, confidence)).collect();
        // The first problem in the order of the cases, not in that of time.
        let assays: Result<Vec<CaseAssay>, Problem> = assays.into_iter().collect();
        // The record's version is known to be one that is read, and says nothing of the run.
        let judged = judge(specs, &facts, &assays?).map_err(unlawful)?;
        let diagnoses = self.diagnoses(&judged, confidence)?;
        Ok(Results { schema: results.schema.clone(), diagnoses, ..judged })
    }

    /// Which bugs give what was refused. Of a case whose tensors are not here it is the record's word.
    fn diagnoses(&self, judged: &Results, confidence: f64) -> Result<Vec<Diagnosis>, Problem> {
        let results = &self.records.results;
        let mut found = Vec::new();
        for culprit in culprits(judged) {
            let Some(case) = self.records.cases.iter().find(|case| case.id == culprit.case) else { continue };
            if self.model.is_some() && results.tensors.holds(&case.id) {
                let label = results.subject.to_string();
                let setting = self.setting(case, confidence, &label);
                let problem = |error: SpecError| Problem::at(layout::case_path(&case.id), error.to_string());
                found.extend(
                    self.with_evidence(case, |evidence| diagnose(&setting, evidence, culprit))?
                        .map_err(problem)?,
                );
            } else {
                let is_of_it = |diagnosis: &&Diagnosis| {
                    (&diagnosis.case, &diagnosis.activation, diagnosis.step)
                        == (&culprit.case, &culprit.name, culprit.step)
                };
                found.extend(results.diagnoses.iter().find(is_of_it).cloned());
            }
        }
        Ok(found)
    }

    fn setting<'b>(&'b self, case: &Case, confidence: f64, subject: &'b str) -> Setting<'b> {
        let results = &self.records.results;
        Setting {
            specs: self.specs,
            architecture: &results.architecture,
            model: self.model,
            traits: Traits::of(&results.subject.name, case.texts.is_some()),
            confidence,
            subject,
        }
    }

    fn case(&self, case: &Case, confidence: f64) -> Result<CaseAssay, Problem> {
        let results = &self.records.results;
        let label = results.subject.to_string();
        let setting = self.setting(case, confidence, &label);
        let record = self.records.assays.get(&case.id);
        let record = record.map(|record| from_record(&setting, case, results, record)).transpose()?;
        match (record, self.model) {
            (Some(record), None) => Ok(record),
            (Some(record), Some(_)) if !results.tensors.holds(&case.id) => Ok(record),
            (record, Some(_)) => {
                let found = self.computed(&setting, case)?;
                match record {
                    Some(record) if record != found => {
                        let path = assay_path(&case.id);
                        Err(Problem::at(path, "the recorded numbers are not those that the tensors give"))
                    }
                    _ => Ok(found),
                }
            }
            (None, None) => Err(Problem::at(
                layout::MODEL,
                "the weights are neither in the bundle nor given, and no numbers are recorded",
            )),
        }
    }

    fn computed(&self, setting: &Setting<'_>, case: &Case) -> Result<CaseAssay, Problem> {
        self.with_evidence(case, |evidence| assay(setting, evidence))?
            .map_err(|error| Problem::at(layout::case_path(&case.id), error.to_string()))
    }

    /// Lays one case's captures before `look`.
    fn with_evidence<T>(&self, case: &Case, look: impl FnOnce(&CaseEvidence<'_>) -> T) -> Result<T, Problem> {
        let results = &self.records.results;
        let references = results.references.iter().map(|identity| identity.name.as_str());
        let captures = CaseCaptures::open(references, results.subject.precision.peer(), |whose| {
            let role = whose.map_or(Role::Subject, |(name, precision)| Role::Reference {
                name: name.to_owned(),
                precision,
            });
            self.open(&role, &case.id)
        })?;
        Ok(captures.show(case, look))
    }

    fn open(&self, role: &Role, case: &str) -> Result<Option<CaptureFile>, Problem> {
        let results = &self.records.results;
        let (expected, path) = (role.label(results), capture_path(&role.folder(results), case));
        let open = || {
            let file = CaptureFile::open(&self.directory.join(&path))
                .map_err(|error| Problem::at(&path, error.to_string()))?;
            let found = file.identity().to_string();
            if found != expected {
                return Err(Problem::at(&path, format!("was left by {found}, expected is {expected}")));
            }
            Ok(file)
        };
        self.bag.payload.contains_key(&path).then(open).transpose()
    }
}

/// The numbers of a case whose tensors are not here, or cannot be judged.
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
        ("the diagnoses", recorded.diagnoses != found.diagnoses),
        ("the faults", recorded.faults != found.faults),
        ("the peers", recorded.peers != found.peers),
        ("the growth of errors", recorded.growth != found.growth),
        ("determinism", recorded.determinism != found.determinism),
        ("the laws", recorded.laws != found.laws),
        ("the reservations", recorded.reservations != found.reservations),
        ("whose tensors are kept", recorded.tensors != found.tensors),
        ("the verdict", recorded.verdict != found.verdict),
        ("the exit code", recorded.exit_code != found.exit_code),
    ];
    parts.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part).collect()
}
