//! The committed golden bundle, taken apart: what everything here is made from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use capture::{Capture, CaptureFile, Case, Identity, Precision, TensorSource};
use checkpoint_spec::{
    CaseAssay, CaseEvidence, Comparison, Diagnosis, ReferenceCaptures, Results, RunFacts, Setting, SpecSet,
    Traits, assay, confidence, culprits, diagnose,
};
use oracle::Model;
use proof_bundle::{Materials, Role};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Read once.
pub(crate) static GOLDEN: LazyLock<Golden> = LazyLock::new(Golden::read);

/// The bundle's records and captures.
pub(crate) struct Golden {
    /// As JSON, so that anything in it can be told otherwise.
    pub(crate) results: Value,
    pub(crate) materials: Materials,
    pub(crate) evidence: Vec<Evidence>,
}

/// What one implementation left for one case.
#[derive(Clone)]
pub(crate) struct Left {
    pub(crate) identity: Identity,
    pub(crate) capture: Capture,
}

/// What one reference left for one case.
#[derive(Clone)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) f32: Left,
    pub(crate) f64: Left,
}

/// What everyone left for one case.
#[derive(Clone)]
pub(crate) struct Evidence {
    pub(crate) case: Case,
    pub(crate) subject: Left,
    pub(crate) references: Vec<Reference>,
}

/// Where it is.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proof-bundles/golden")
}

/// Where its model is.
pub(crate) fn model() -> PathBuf {
    folder().join("data/model")
}

impl Golden {
    fn read() -> Self {
        let results: Value = record("results");
        let evidence = |summary: &Value| {
            let case = summary["id"].as_str().unwrap();
            let named = |reference: &Value| {
                let name = reference["name"].as_str().unwrap().to_owned();
                let [f32, f64] =
                    ["f32", "f64"].map(|precision| Left::read(&format!("{name}@{precision}"), case));
                Reference { name, f32, f64 }
            };
            Evidence {
                case: record(&format!("cases/{case}")),
                subject: Left::read("subject-rust@f32", case),
                references: results["references"].as_array().unwrap().iter().map(named).collect(),
            }
        };
        let evidence = results["cases"].as_array().unwrap().iter().map(evidence).collect();
        Self { materials: record("materials"), evidence, results }
    }
}

fn record<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_slice(&fs::read(folder().join(format!("data/{name}.json"))).unwrap()).unwrap()
}

impl Left {
    fn read(folder_name: &str, case: &str) -> Self {
        let path = format!("data/captures/{folder_name}/{case}.safetensors");
        let file = CaptureFile::open(&folder().join(path)).unwrap();
        let tensors =
            file.names().into_iter().map(|name| (name.clone(), file.tensor(&name).unwrap().unwrap()));
        let capture = Capture { tensors: tensors.collect(), not_contiguous: file.not_contiguous().clone() };
        Self { identity: file.identity().clone(), capture }
    }
}

impl Reference {
    fn view(&self) -> ReferenceCaptures<'_> {
        let (peer, f64) = (&self.f32.capture, &self.f64.capture);
        ReferenceCaptures { name: self.name.clone(), peer: Some(peer), f64: Some(f64) }
    }
}

impl Evidence {
    /// What the subject left, and everyone else.
    pub(crate) fn everyone(&mut self) -> impl Iterator<Item = &mut Left> {
        let references = self.references.iter_mut().flat_map(|r| [&mut r.f32, &mut r.f64]);
        std::iter::once(&mut self.subject).chain(references)
    }

    fn shown_to<T>(&self, look: impl FnOnce(&CaseEvidence<'_>) -> T) -> T {
        let shown = self.references.iter().map(Reference::view);
        let references: Vec<ReferenceCaptures<'_>> = shown.collect();
        let evidence = CaseEvidence {
            case: &self.case,
            subject: Some(&self.subject.capture),
            not_contiguous: &self.subject.capture.not_contiguous,
            references: &references,
        };
        look(&evidence)
    }
}

/// The numbers of all cases.
pub(crate) fn assays(specs: &SpecSet, facts: &RunFacts, evidence: &[Evidence]) -> Vec<CaseAssay> {
    let assay = |setting: &Setting<'_>| {
        evidence.iter().map(|one| one.shown_to(|shown| assay(setting, shown).unwrap())).collect()
    };
    with_setting(specs, facts, evidence, assay)
}

/// Which bugs give what was refused.
pub(crate) fn diagnoses(
    specs: &SpecSet,
    facts: &RunFacts,
    evidence: &[Evidence],
    results: &Results,
) -> Vec<Diagnosis> {
    let diagnosed = |setting: &Setting<'_>| {
        let of = |culprit: &Comparison| {
            let its_case = evidence.iter().find(|one| one.case.id == culprit.case)?;
            its_case.shown_to(|shown| diagnose(setting, shown, culprit).unwrap())
        };
        culprits(results).into_iter().filter_map(of).collect()
    };
    with_setting(specs, facts, evidence, diagnosed)
}

fn with_setting<T>(
    specs: &SpecSet,
    facts: &RunFacts,
    evidence: &[Evidence],
    look: impl FnOnce(&Setting<'_>) -> T,
) -> T {
    let cases: Vec<&Case> = evidence.iter().map(|evidence| &evidence.case).collect();
    let model = Model::load(&model(), specs.graph(), facts.architecture.clone()).unwrap();
    let setting = Setting {
        specs,
        architecture: &facts.architecture,
        model: Some(&model),
        traits: Traits::of(&facts.subject.name, false),
        confidence: confidence(specs, &facts.architecture, &cases).unwrap(),
        subject: &facts.subject.to_string(),
    };
    look(&setting)
}

/// Writes every capture into a folder, and says which is whose.
pub(crate) fn store(evidence: &[Evidence], folder: &Path) -> BTreeMap<Role, BTreeMap<String, PathBuf>> {
    let mut captures: BTreeMap<Role, BTreeMap<String, PathBuf>> = BTreeMap::new();
    for Evidence { case, subject, references } in evidence {
        let of = |name: &str, precision| Role::Reference { name: name.to_owned(), precision };
        let mut everyone = vec![(Role::Subject, subject)];
        for Reference { name, f32, f64 } in references {
            everyone.extend([(of(name, Precision::F32), f32), (of(name, Precision::F64), f64)]);
        }
        for (number, (role, left)) in everyone.into_iter().enumerate() {
            let path = folder.join(format!("{}-{number}.safetensors", case.id));
            capture::write(&path, &left.identity, &left.capture).unwrap();
            captures.entry(role).or_default().insert(case.id.clone(), path);
        }
    }
    captures
}

/// Names of what is in some folder of captures, for a message.
pub(crate) fn known(capture: &Capture) -> BTreeSet<String> {
    capture.tensors.keys().map(ToString::to_string).collect()
}
