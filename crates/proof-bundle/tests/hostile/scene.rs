//! The bundle that everything begins with: a whole run of a model small enough to compute in the test, honestly told,
//! or told with a lie that runs through everything.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};

use capture::{Case, Identity, Precision};
use checkpoint_spec::{Incident, Reservation, RunFacts, SpecSet, Traits};
use proof_bundle::{
    BundleContents, CapturePaths, Digest, Git, MATERIALS_SCHEMA, MaterialFile, Materials, Role, spec_digest,
};
use serde::Deserialize;
use tempfile::TempDir;

use crate::support::{Cast, Pair, Scene, Source, model};

/// What is told otherwise than it was, before anything is measured or written: everything that follows agrees with it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Told {
    /// Cases that are not there at all.
    without_cases: Vec<String>,
    /// How many layers the model has.
    layers: Option<usize>,
    /// How many steps the first case has.
    steps: Option<usize>,
    /// Checkpoints that were asked for.
    checkpoints: Vec<String>,
    /// The subject's captures are copies of the first reference's.
    subject_is_a_reference: bool,
    /// A tensor of the subject's first case: its first element is multiplied by that, in the chained run.
    scaled: BTreeMap<String, f64>,
    /// A tensor of everyone's first case whose first element is NaN, in the chained run.
    not_a_number: Option<String>,
    /// The model's name, a note, and what an implementation wrote before it crashed.
    model: Option<String>,
    note: Option<String>,
    incident: Option<String>,
    /// Whether the work tree was dirty, and whether that is told as a reservation.
    dirty: bool,
    dirty_is_told: bool,
    /// The commit.
    commit: Option<String>,
    /// References beside the first.
    one_reference: bool,
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
    let scene = scene(told);
    let specs = SpecSet::sources("gpt2").unwrap();
    let cases: Vec<Case> = scene.evidence.iter().map(|evidence| evidence.case.clone()).collect();
    let contents = BundleContents {
        results: &scene.results(),
        materials: &materials(told, spec_digest(&specs)),
        specs: &specs,
        cases: &cases,
        captures: &captures(&scene, folder),
        assays: &scene.assays(),
        day: UNIX_EPOCH + Duration::from_secs(1_735_689_600),
    };
    proof_bundle::write(&folder.join("bundles"), &contents).unwrap()
}

fn scene(told: &Told) -> Scene {
    let (mut tiny, mut short) = (model::case(1, &[2, 1], 2), model::case(1, &[2], 1));
    short.id = "short".to_owned();
    if let Some(steps) = told.steps {
        tiny.schedule.truncate(steps);
        let tokens = tiny.schedule.iter().sum();
        tiny.token_ids.iter_mut().for_each(|row| row.truncate(tokens));
    }
    let mut scene = Scene::of(Cast::correct(), &[tiny, short]);
    let named = |name: &str| Identity {
        name: name.to_owned(),
        version: "1".to_owned(),
        precision: Precision::F32,
        device: "cpu".to_owned(),
    };
    scene.facts.subject = named("rust");
    scene.facts.traits = Traits::of("rust", true);
    scene.evidence.retain(|evidence| !told.without_cases.contains(&evidence.case.id));
    scene.facts.cases.retain(|(case, _)| !told.without_cases.contains(&case.id));
    tell(told, &mut scene.facts);
    change(told, &mut scene);
    scene
}

fn tell(told: &Told, facts: &mut RunFacts) {
    facts.model = told.model.clone().unwrap_or_else(|| "tiny".to_owned());
    facts.selected.clone_from(&told.checkpoints);
    facts.notes.extend(told.note.clone());
    facts.architecture.layers = told.layers.unwrap_or(facts.architecture.layers);
    facts.incidents.extend(told.incident.clone().map(|message| Incident {
        implementation: "rust@f32".to_owned(),
        case: None,
        kind: "crashed".to_owned(),
        message,
    }));
    if told.dirty_is_told {
        let message = "the work tree has uncommitted changes".to_owned();
        facts.reservations.push(Reservation { checkpoint: None, message });
    }
    if told.one_reference {
        facts.references.truncate(1);
    }
}

fn change(told: &Told, scene: &mut Scene) {
    if told.one_reference {
        scene.evidence.iter_mut().for_each(|evidence| evidence.references.truncate(1));
    }
    if told.subject_is_a_reference {
        for evidence in &mut scene.evidence {
            let mut copy = evidence.references[0].f32.clone();
            // What the subject alone has: a cache that is allocated for the whole context.
            for (name, tensor) in &evidence.subject.run.as_ref().unwrap().capture.tensors {
                copy.run
                    .as_mut()
                    .unwrap()
                    .capture
                    .tensors
                    .entry(name.clone())
                    .or_insert_with(|| tensor.clone());
            }
            evidence.subject = copy;
        }
    }
    for (name, factor) in &told.scaled {
        scene.run().change(name, |values| values[0] *= factor);
    }
    if let Some(name) = &told.not_a_number {
        scene.run().change(name, |values| values[0] = f64::NAN);
        for index in 0..2 {
            scene.peer(index).change(name, |values| values[0] = f64::NAN);
            scene.oracle(index).change(name, |values| values[0] = f64::NAN);
        }
    }
    if let Some(layers) = told.layers {
        for source in scene.evidence.iter_mut().flat_map(|evidence| {
            let pairs = evidence.references.iter_mut().flat_map(|r| [&mut r.f32, &mut r.f64]);
            std::iter::once(&mut evidence.subject).chain(pairs).flat_map(sources)
        }) {
            let gone = format!("h.{layers}.");
            source.capture.tensors.retain(|name, _| !name.activation.contains(&gone));
        }
    }
}

fn sources(pair: &mut Pair) -> impl Iterator<Item = &mut Source> {
    pair.run.iter_mut().chain(&mut pair.replay)
}

fn captures(scene: &Scene, folder: &Path) -> BTreeMap<Role, BTreeMap<String, CapturePaths>> {
    let mut captures: BTreeMap<Role, BTreeMap<String, CapturePaths>> = BTreeMap::new();
    let identity =
        |name: &str, precision| Identity { name: name.to_owned(), precision, ..scene.facts.subject.clone() };
    for evidence in &scene.evidence {
        let mut everyone = vec![(Role::Subject, identity("rust", Precision::F32), &evidence.subject)];
        for reference in &evidence.references {
            for (precision, pair) in [(Precision::F32, &reference.f32), (Precision::F64, &reference.f64)] {
                let role = Role::Reference { name: reference.name.clone(), precision };
                everyone.push((role, identity(&reference.name, precision), pair));
            }
        }
        for (number, (role, identity, pair)) in everyone.into_iter().enumerate() {
            let store = |source: &Option<Source>, kind: &str| {
                let path = folder.join(format!("{}-{number}-{kind}.safetensors", evidence.case.id));
                let source = source.as_ref()?;
                capture::write(&path, &identity, &source.capture).unwrap();
                Some(path)
            };
            let paths = CapturePaths { run: store(&pair.run, "run"), replay: store(&pair.replay, "replay") };
            captures.entry(role).or_default().insert(evidence.case.id.clone(), paths);
        }
    }
    captures
}

fn materials(told: &Told, specs: Digest) -> Materials {
    let file =
        |name: &str| MaterialFile { name: name.to_owned(), bytes: 7, sha256: Digest::of(name.as_bytes()) };
    Materials {
        schema: MATERIALS_SCHEMA.to_owned(),
        git: Some(Git {
            commit: told.commit.clone().unwrap_or_else(|| "0123456789abcdef".repeat(2)),
            tree: "fedcba9876543210".repeat(2),
            dirty: told.dirty,
        }),
        cargo_lock: Digest::of(b"Cargo.lock"),
        python_lock: Digest::of(b"uv.lock"),
        reference_source: Digest::of(b"reference"),
        specs,
        weights: vec![file("model.safetensors")],
        tokenizer: vec![file("tokenizer.json")],
        subject_weights: None,
        toolchain: "rustc 1.95.0".to_owned(),
        cpu: "a CPU".to_owned(),
        os: "Linux".to_owned(),
        threads: 2,
    }
}
