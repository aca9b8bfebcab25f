//! What is told before a bundle is written: the golden run honestly, or with a lie that runs through everything. Numbers,
//! words, digests, reports and manifests are then made anew by the functions that an honest run uses.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};

use capture::{Capture, Case, Tensor, TensorName};
use checkpoint_spec::{
    CaseAssay, FaultObservation, FaultResult, FaultWord, Incident, Killer, Repeated, Reservation, Results,
    RunFacts, SpecSet, Traits, Verdict, activation_digest, judge, repeat_digest, repeated_activations,
};
use proof_bundle::{BundleContents, DIRTY, Known, Materials};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::golden::{self, Evidence, GOLDEN};

/// What is told otherwise than it was.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Told {
    /// Values of the golden record, by JSON pointer, before anything is judged. What follows from them is derived.
    record: Vec<Edit>,
    /// Cases that are not there at all.
    without_cases: Vec<String>,
    /// A case, and the one whose contents and captures it is told to have.
    played_by: BTreeMap<String, String>,
    /// How many layers the model has.
    layers: Option<usize>,
    /// Checkpoints that were asked for.
    checkpoints: Vec<String>,
    /// The subject's captures are copies of the first reference's.
    subject_is_a_reference: bool,
    /// A tensor of the subject's first case: its first element is multiplied by that.
    scaled: BTreeMap<String, f64>,
    /// A tensor of everyone's first case whose first element is NaN.
    not_a_number: Option<String>,
    /// The same of the subject's, and the numbers are those from before.
    hidden_not_a_number: Option<String>,
    /// A fault that is declared to change nothing, and changes something.
    matters: Option<String>,
    /// A note, and what an implementation wrote before it crashed.
    note: Option<String>,
    incident: Option<String>,
    /// Whether the work tree was dirty, and whether that is told as a reservation.
    dirty: bool,
    dirty_is_told: bool,
    /// The commit.
    commit: Option<String>,
    /// No reference beside the first.
    one_reference: bool,
    /// The weights are not in the bundle.
    without_weights: bool,
}

/// One value told otherwise.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    pointer: String,
    /// TOML has no null: nothing stands for it.
    #[serde(default)]
    value: Value,
}

impl Edit {
    /// Sets the value.
    pub(crate) fn apply(record: &mut Value, pointer: &str, value: &Value) {
        *record.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value.clone();
    }
}

/// Bundles that were written already, by what was told.
static WRITTEN: Mutex<BTreeMap<String, (TempDir, PathBuf)>> = Mutex::new(BTreeMap::new());

/// Leaves a copy of the bundle in `folder`, and returns where.
pub(crate) fn write(told: &Told, folder: &Path) -> PathBuf {
    let mut written = WRITTEN.lock().unwrap();
    let (_, original) = written.entry(format!("{told:?}")).or_insert_with(|| {
        let place = tempfile::tempdir().unwrap();
        let bundle = first(told, place.path());
        (place, bundle)
    });
    let copy = folder.join("bundle");
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        fs::create_dir_all(copy.join(&below)).unwrap();
        for entry in fs::read_dir(original.join(&below)).unwrap() {
            let name = below.join(entry.unwrap().file_name());
            if original.join(&name).is_dir() {
                folders.push(name);
            } else {
                fs::copy(original.join(&name), copy.join(&name)).unwrap();
            }
        }
    }
    copy
}

fn first(told: &Told, folder: &Path) -> PathBuf {
    let specs = SpecSet::bundled("gpt2").unwrap();
    let mut evidence = evidence(told);
    let mut facts = facts(told, &evidence);
    let assays = golden::assays(&specs, &facts, &evidence);
    if let Some(name) = &told.hidden_not_a_number {
        first_element(&mut evidence[0].subject.capture, name, |_| f64::NAN);
    }
    let results = results(told, &specs, &mut facts, &assays, &evidence);
    let cases: Vec<Case> = evidence.iter().map(|evidence| evidence.case.clone()).collect();
    let model = golden::model();
    let contents = BundleContents {
        results: &results,
        materials: &materials(told),
        diff: None,
        model: (!told.without_weights).then_some(model.as_path()),
        specs: &SpecSet::sources("gpt2").unwrap(),
        cases: &cases,
        captures: &golden::store(&evidence, folder),
        assays: &assays,
        day: UNIX_EPOCH + Duration::from_secs(1_735_689_600),
    };
    proof_bundle::write(&folder.join("bundles"), &contents).unwrap()
}

fn evidence(told: &Told) -> Vec<Evidence> {
    let mut all = GOLDEN.evidence.clone();
    for (case, by) in &told.played_by {
        let player = GOLDEN.evidence.iter().find(|evidence| evidence.case.id == *by).unwrap();
        let played = all.iter_mut().find(|evidence| evidence.case.id == *case).unwrap();
        *played = player.clone();
        played.case.id.clone_from(case);
    }
    all.retain(|evidence| !told.without_cases.contains(&evidence.case.id));
    for evidence in &mut all {
        change(told, evidence);
    }
    if let Some(first) = all.first_mut() {
        for (name, factor) in &told.scaled {
            first_element(&mut first.subject.capture, name, |value| value * factor);
        }
        if let Some(name) = &told.not_a_number {
            first.everyone().for_each(|left| first_element(&mut left.capture, name, |_| f64::NAN));
        }
    }
    all
}

fn change(told: &Told, evidence: &mut Evidence) {
    if told.one_reference {
        evidence.references.truncate(1);
    }
    if told.subject_is_a_reference {
        let mut copy = evidence.references[0].f32.clone();
        copy.identity = evidence.subject.identity.clone();
        add_cache(&evidence.subject.capture, &mut copy.capture);
        evidence.subject = copy;
    }
    if let Some(layers) = told.layers {
        let gone = format!("h.{layers}.");
        for left in evidence.everyone() {
            left.capture.tensors.retain(|name, _| !name.activation.contains(&gone));
        }
    }
}

/// What the subject alone has: a cache that is allocated for the whole context. It is that of the copied keys and
/// values: the golden cases have one row and one step each.
fn add_cache(own: &Capture, copy: &mut Capture) {
    for (name, cache) in own.tensors.iter().filter(|(name, _)| name.activation.ends_with(".cache")) {
        let half = cache.bytes().len() / 2;
        let part = |which: &str| {
            let activation = name.activation.replace(".cache", which);
            let mut bytes = copy.tensors[&TensorName { activation, ..name.clone() }].bytes().to_vec();
            bytes.resize(half, 0);
            bytes
        };
        let bytes = [part(".k"), part(".v")].concat();
        let cache = Tensor::new(cache.dtype(), cache.shape().clone(), bytes).unwrap();
        copy.tensors.insert(name.clone(), cache);
    }
}

fn first_element(capture: &mut Capture, name: &str, change: impl Fn(f64) -> f64) {
    let known = golden::known(capture);
    let tensor = capture.tensors.get_mut(&TensorName::parse(name).unwrap());
    let tensor = tensor.unwrap_or_else(|| panic!("no {name} among {known:?}"));
    let mut values = tensor.view().to_f64_lossy();
    values[0] = change(values[0]);
    let dimensions = tensor.shape().dimensions();
    *tensor = match tensor.dtype() {
        capture::DType::F64 => Tensor::from_f64(dimensions, &values).unwrap(),
        _ => Tensor::from_f32(dimensions, &values.iter().map(|&value| value as f32).collect::<Vec<_>>())
            .unwrap(),
    };
}

/// What the judge is told beside the numbers.
fn facts(told: &Told, evidence: &[Evidence]) -> RunFacts {
    let mut record = GOLDEN.results.clone();
    for Edit { pointer, value } in &told.record {
        Edit::apply(&mut record, pointer, value);
    }
    let mut results: Results = serde_json::from_value(record).unwrap();
    results.cases.retain(|summary| !told.without_cases.contains(&summary.id));
    let repeats = &mut results.determinism.implementations;
    repeats.iter_mut().for_each(|repeated| repeated.cases.retain(|case| !told.without_cases.contains(case)));
    repeats.retain(|repeated| told.without_cases.is_empty() || !repeated.cases.is_empty());
    let cases: Vec<Case> = evidence.iter().map(|evidence| evidence.case.clone()).collect();
    let mut facts = RunFacts::recorded(&results, &cases, false, false);
    if !told.checkpoints.is_empty() {
        facts.selected.clone_from(&told.checkpoints);
    }
    facts.notes.extend(told.note.clone());
    facts.architecture.layers = told.layers.unwrap_or(facts.architecture.layers);
    facts.incidents.extend(told.incident.clone().map(|message| Incident {
        implementation: "rust@f32".to_owned(),
        case: None,
        kind: "crashed".to_owned(),
        message,
    }));
    if told.dirty_is_told {
        facts.reservations.push(Reservation { checkpoint: None, message: DIRTY.to_owned() });
    }
    if told.one_reference {
        let gone: Vec<_> = facts.references.drain(1..).collect();
        facts.repeats.retain(|r| !gone.iter().any(|gone| r.implementation.starts_with(&gone.name)));
    }
    facts
}

/// The record of a liar who has thought of everything: digests of repeats are those of the tensors, laws were compared in
/// as many parts as there must be, and what no fault was seen to do is made up.
fn results(
    told: &Told,
    specs: &SpecSet,
    facts: &mut RunFacts,
    assays: &[CaseAssay],
    evidence: &[Evidence],
) -> Results {
    let mut repeats = std::mem::take(&mut facts.repeats);
    for repeated in &mut repeats {
        repeat(specs, facts, evidence, repeated);
    }
    facts.repeats = repeats;
    let asked = judge(specs, facts, assays).unwrap();
    for (repeated, asked) in facts.repeats.iter_mut().zip(&asked.determinism.implementations) {
        if repeated.compared == repeated.required {
            repeated.compared = asked.required;
        }
    }
    for law in &mut facts.laws {
        let asked =
            asked.laws.numbers.iter().find(|a| a.law == law.law && a.implementation == law.implementation);
        if let Some(asked) = asked.filter(|_| law.compared == law.required) {
            law.compared = asked.required;
        }
    }
    if facts.faults.problem.is_none() {
        let missing = asked.faults.faults.iter().filter(|fault| fault.word == FaultWord::Missing);
        let matters = |fault: &FaultResult| told.matters.as_ref() == Some(&fault.id);
        facts.faults.observations.extend(missing.map(|fault| make_up(fault, matters(fault))));
    }
    let judged = judge(specs, facts, assays).unwrap();
    let diagnoses = golden::diagnoses(specs, facts, evidence, &judged);
    Results { diagnoses, ..judged }
}

/// Gives every repeat that was said to be as the first the digest of the tensors.
fn repeat(specs: &SpecSet, facts: &RunFacts, evidence: &[Evidence], repeated: &mut Repeated) {
    let name = repeated.implementation.split('@').next().unwrap();
    let is_subject = repeated.implementation == facts.subject.to_string();
    let cases: Vec<&Case> =
        facts.cases.iter().map(|(case, _)| case).filter(|case| repeated.cases.contains(&case.id)).collect();
    let run = |case: &str| {
        let evidence = evidence.iter().find(|evidence| evidence.case.id == case)?;
        let reference = evidence.references.iter().find(|reference| reference.name == name);
        let left =
            if is_subject { Some(&evidence.subject) } else { reference.map(|reference| &reference.f32) };
        left.map(|left| &left.capture as &dyn capture::TensorSource)
    };
    let traits = Traits::of(name, false);
    let activations = repeated_activations(specs, &facts.architecture, traits, cases).unwrap();
    let digests: Vec<_> = activations.iter().map(|a| activation_digest(&a.name, run(&a.case))).collect();
    let digest = repeat_digest(&activations, &digests);
    let recorded = GOLDEN.results["determinism"]["implementations"].as_array().unwrap();
    let recorded = recorded.iter().find(|r| r["implementation"] == repeated.implementation.as_str());
    let honest = recorded.map_or("", |recorded| recorded["repeats"][0]["sha256"].as_str().unwrap());
    for repeat in repeated.repeats.iter_mut().filter(|repeat| repeat.sha256 == honest) {
        repeat.sha256.clone_from(&digest);
    }
}

/// A fault that was treated as declared, as far as anybody can tell.
fn make_up(fault: &FaultResult, matters: bool) -> FaultObservation {
    let killer = Killer {
        by: fault.by.clone(),
        reason: fault.reasons[0],
        tensor: None,
        mode: None,
        margin: None,
        message: "made up".to_owned(),
    };
    let is_equivalent = fault.note.is_some() && !matters;
    FaultObservation {
        id: fault.id.clone(),
        changed: !is_equivalent,
        killer: (!is_equivalent).then_some(killer),
        refusals: BTreeMap::new(),
        verdict: if is_equivalent { Verdict::Pass } else { Verdict::Fail },
    }
}

fn materials(told: &Told) -> Materials {
    let mut materials = GOLDEN.materials.clone();
    let git = materials.git.as_mut().unwrap();
    git.dirty = told.dirty;
    materials.weights_in_bundle = !told.without_weights;
    if told.dirty {
        materials.diff = Known::Unknown("nobody kept it".to_owned());
    }
    if let Some(commit) = &told.commit {
        git.commit.clone_from(commit);
    }
    materials
}
