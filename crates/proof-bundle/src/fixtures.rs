//! A small run for tests: one case, two references that left nothing, a subject that left one activation.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use capture::{Capture, Case, Identity, Precision, Tensor, TensorName};
use checkpoint_spec::{
    Architecture, Captures, CaseAssay, CaseEvidence, FaultFacts, Keep, ReferenceCaptures, RepeatDigests,
    Repeated, RepeatedActivation, Results, RunFacts, Setting, SpecSet, Traits, activation_digest, assay,
    compare_repeats, judge, repeated_activations,
};

use crate::bag::{TAG_FILES, TAG_MANIFEST};
use crate::layout::{CAPTURES, canonical, manifest};
use crate::{
    BundleContents, CaptureList, CapturePaths, Digest, Git, MATERIALS_SCHEMA, MaterialFile, Materials, Role,
    spec_digest, write,
};

/// What a bundle is made of, and the folder that its captures lie in.
pub(crate) struct Run {
    pub(crate) results: Results,
    pub(crate) materials: Materials,
    pub(crate) specs: Vec<(String, String)>,
    pub(crate) cases: Vec<Case>,
    pub(crate) captures: BTreeMap<Role, BTreeMap<String, CapturePaths>>,
    pub(crate) assays: Vec<CaseAssay>,
    pub(crate) day: SystemTime,
    pub(crate) folder: tempfile::TempDir,
}

impl Run {
    pub(crate) fn new() -> Self {
        Self::keeping(Keep::Full)
    }

    pub(crate) fn keeping(keep: Keep) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let case = Case {
            id: "tiny".to_owned(),
            token_ids: vec![vec![1, 2]],
            texts: None,
            schedule: vec![2],
            generate: 0,
            forced: None,
        };
        let capture = consumed_tokens(&[1, 2]);
        let path = folder.path().join("tiny.safetensors");
        capture::write(&path, &identity("rust", Precision::F32), &capture).unwrap();
        let paths = CapturePaths { run: Some(path), replay: None };
        let specs = SpecSet::sources("gpt2").unwrap();
        let (results, assays) = results(&case, &capture, keep);
        Self {
            results,
            assays,
            materials: materials(spec_digest(&specs)),
            specs,
            cases: vec![case],
            captures: BTreeMap::from([(Role::Subject, BTreeMap::from([("tiny".to_owned(), paths)]))]),
            day: UNIX_EPOCH + Duration::from_secs(1_735_689_600),
            folder,
        }
    }

    pub(crate) fn contents(&self) -> BundleContents<'_> {
        BundleContents {
            results: &self.results,
            materials: &self.materials,
            specs: &self.specs,
            cases: &self.cases,
            captures: &self.captures,
            assays: &self.assays,
            day: self.day,
        }
    }

    /// The folder that its bundles are written to.
    pub(crate) fn shelf(&self) -> PathBuf {
        self.folder.path().join("bundles")
    }

    pub(crate) fn write(&self) -> PathBuf {
        write(&self.shelf(), &self.contents()).unwrap()
    }
}

/// A subject's capture that holds nothing but the tokens it consumed.
pub(crate) fn consumed_tokens(ids: &[i64]) -> Capture {
    let tokens = Tensor::from_i64(&[1, ids.len()], ids).unwrap();
    Capture { tensors: [(TensorName::of_step(0, "token_ids"), tokens)].into(), ..Capture::default() }
}

pub(crate) fn identity(name: &str, precision: Precision) -> Identity {
    Identity { name: name.to_owned(), version: "1.2.3".to_owned(), precision, device: "cpu".to_owned() }
}

fn results(case: &Case, capture: &Capture, keep: Keep) -> (Results, Vec<CaseAssay>) {
    let sizes = [("C", 4), ("D", 4), ("H", 2), ("Dh", 2), ("F", 16), ("V", 8)];
    let architecture = Architecture {
        family: "gpt2".to_owned(),
        layers: 1,
        sizes: sizes.map(|(symbol, size)| (symbol.to_owned(), size)).into(),
        constants: BTreeMap::from([("epsilon".to_owned(), 1e-5)]),
    };
    let specs = SpecSet::bundled("gpt2").unwrap();
    let traits = Traits { preallocated_cache: true, tokenizer: false };
    let setting =
        Setting { specs: &specs, architecture: &architecture, traits, confidence: 5.0, subject: "rust@f32" };
    let reference = |name: &str| ReferenceCaptures {
        name: name.to_owned(),
        peer: Captures::default(),
        f64: Captures::default(),
    };
    let evidence = CaseEvidence {
        case,
        subject: Captures { run: Some(capture), replay: None },
        not_contiguous: &capture.not_contiguous,
        references: &[reference("torch"), reference("tinygrad")],
    };
    let assays = [assay(&setting, &evidence).unwrap()];
    let facts = RunFacts {
        model: "synthetic:tiny".to_owned(),
        architecture: architecture.clone(),
        subject: identity("rust", Precision::F32),
        traits,
        references: ["torch", "tinygrad"].map(|name| identity(name, Precision::F64)).to_vec(),
        cases: vec![(case.clone(), "the smallest of all".to_owned())],
        subject_weights: false,
        selected: vec![],
        laws: vec![],
        repeats: vec![repeated(&specs, &architecture, traits, case, capture)],
        incidents: vec![],
        reservations: vec![],
        not_applicable: vec![],
        faults: FaultFacts::default(),
        notes: vec!["the model has no tokenizer".to_owned()],
        options: Vec::new(),
        keep,
    };
    (judge(&specs, &facts, &assays).unwrap(), assays.into())
}

/// A subject that left the same in every repeat.
fn repeated(
    specs: &SpecSet,
    architecture: &Architecture,
    traits: Traits,
    case: &Case,
    capture: &Capture,
) -> Repeated {
    let activations = repeated_activations(specs, architecture, traits, [case]).unwrap();
    let digest = |a: &RepeatedActivation| activation_digest(&a.name, Some(capture));
    let digests: Vec<_> = activations.iter().map(digest).collect();
    let repeat = |(process, threads)| RepeatDigests { process, threads, digests: digests.clone() };
    let repeats = [(0, 2), (1, 2), (1, 2), (1, 2), (2, 1)].map(repeat);
    compare_repeats("rust@f32", vec![case.id.clone()], &activations, &repeats)
}

fn materials(specs: Digest) -> Materials {
    Materials {
        schema: MATERIALS_SCHEMA.to_owned(),
        git: Some(Git {
            commit: "0123456789abcdef".repeat(2),
            tree: "fedcba9876543210".repeat(2),
            dirty: false,
        }),
        cargo_lock: Digest::of(b"Cargo.lock"),
        python_lock: Digest::of(b"uv.lock"),
        reference_source: Digest::of(b"reference"),
        specs,
        weights: vec![MaterialFile {
            name: "model.safetensors".to_owned(),
            bytes: 7,
            sha256: Digest::of(b"weights"),
        }],
        tokenizer: vec![],
        subject_weights: None,
        toolchain: "rustc 1.95.0".to_owned(),
        cpu: "a CPU".to_owned(),
        os: "Linux".to_owned(),
        threads: 2,
    }
}

/// All files below a folder, by relative path.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Makes the list of captures say what is there, as a forger would.
pub(crate) fn forge_captures(bundle: &Path) {
    let mut list: CaptureList = serde_json::from_slice(&fs::read(bundle.join(CAPTURES)).unwrap()).unwrap();
    for entry in &mut list.captures {
        let bytes = fs::read(bundle.join(&entry.path)).unwrap();
        (entry.bytes, entry.sha256) = (bytes.len() as u64, Digest::of(&bytes));
    }
    fs::write(bundle.join(CAPTURES), canonical(&list).unwrap()).unwrap();
}

/// Makes the manifests say what is there, as a forger would.
pub(crate) fn forge_manifests(bundle: &Path) {
    let list = |of: &dyn Fn(&str) -> bool| {
        let files = files(bundle);
        let listed = files.iter().filter(|(path, _)| of(path.as_str()));
        manifest(listed.map(|(path, bytes)| (path.as_str(), Digest::of(bytes))))
    };
    let payload = files(bundle).into_iter().filter(|(path, _)| path.starts_with("data/"));
    let (count, octets) =
        payload.fold((0, 0), |(count, octets), (_, bytes)| (count + 1, octets + bytes.len()));
    let info = fs::read_to_string(bundle.join("bag-info.txt")).unwrap();
    let kept: String =
        info.lines().filter(|l| !l.starts_with("Payload-Oxum")).map(|l| format!("{l}\n")).collect();
    fs::write(bundle.join("bag-info.txt"), format!("{kept}Payload-Oxum: {octets}.{count}\n")).unwrap();
    fs::write(bundle.join(TAG_FILES[2]), list(&|path| path.starts_with("data/"))).unwrap();
    fs::write(bundle.join(TAG_MANIFEST), list(&|path| TAG_FILES.contains(&path))).unwrap();
}
