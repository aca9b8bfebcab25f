//! A small run for tests: one case, two references that left nothing, a subject that left one activation.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use capture::{Capture, Case, Identity, Precision, Tensor, TensorName};
use checkpoint_spec::{
    Architecture, CaseAssay, CaseEvidence, FaultFacts, Keep, ReferenceCaptures, RepeatDigests, Repeated,
    RepeatedActivation, Reservation, Results, RunFacts, Setting, SpecSet, Traits, activation_digest, assay,
    compare_repeats, confidence, judge, repeated_activations,
};

use crate::bag::TAG_FILES;
use crate::layout::TAG_MANIFEST;
use crate::layout::{CAPTURES, canonical, manifest};
use crate::{
    Build, BundleContents, CaptureList, Cpu, DIRTY, Diff, Digest, Git, Known, MaterialFile, Materials,
    RecordKind, Role, spec_digest, write,
};
use oracle::Model;

/// The configuration of the model, as its publisher gives it.
const CONFIG: &str = r#"{"n_layer":1,"n_embd":4,"n_head":2,"n_positions":4,"vocab_size":8,"layer_norm_epsilon":1e-5}
"#;

/// What a bundle is made of, and the folder that its captures lie in.
pub(crate) struct Run {
    pub(crate) results: Results,
    pub(crate) materials: Materials,
    pub(crate) specs: Vec<(String, String)>,
    pub(crate) cases: Vec<Case>,
    pub(crate) captures: BTreeMap<Role, BTreeMap<String, PathBuf>>,
    pub(crate) assays: Vec<CaseAssay>,
    pub(crate) day: SystemTime,
    /// The diff that comes with the bundle.
    pub(crate) diff: Option<PathBuf>,
    model: PathBuf,
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
        let model = folder.path().join("model");
        let weights = write_weights(&model);
        fs::write(model.join("config.json"), CONFIG).unwrap();
        let specs = SpecSet::sources("gpt2").unwrap();
        let (results, assays) = results(&case, &capture, &model, keep);
        Self {
            results,
            assays,
            materials: materials(spec_digest(&specs), &weights),
            specs,
            cases: vec![case],
            captures: BTreeMap::from([(Role::Subject, BTreeMap::from([("tiny".to_owned(), path)]))]),
            day: UNIX_EPOCH + Duration::from_secs(1_735_689_600),
            diff: None,
            model,
            folder,
        }
    }

    pub(crate) fn contents(&self) -> BundleContents<'_> {
        BundleContents {
            results: &self.results,
            materials: &self.materials,
            diff: self.diff.as_deref(),
            model: self.materials.weights_in_bundle.then_some(self.model.as_path()),
            specs: &self.specs,
            cases: &self.cases,
            captures: &self.captures,
            assays: &self.assays,
            day: self.day,
        }
    }

    /// Uncommitted changes, which come with the bundle.
    pub(crate) fn dirty(mut self, diff: &str) -> Self {
        let path = self.folder.path().join("materials.diff");
        fs::write(&path, diff).unwrap();
        if let Some(git) = &mut self.materials.git {
            git.dirty = true;
        }
        let (bytes, sha256) = (diff.len() as u64, Digest::of(diff.as_bytes()));
        self.materials.diff = Known::Value(Diff { bytes, sha256, in_bundle: true });
        self.results.reservations.insert(0, Reservation { checkpoint: None, message: DIRTY.to_owned() });
        self.diff = Some(path);
        self
    }

    /// The folder of its model.
    pub(crate) fn model(&self) -> PathBuf {
        self.model.clone()
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

fn architecture() -> Architecture {
    let sizes = [("C", 4), ("D", 4), ("H", 2), ("Dh", 2), ("F", 16), ("V", 8)];
    Architecture {
        family: "gpt2".to_owned(),
        layers: 1,
        sizes: sizes.map(|(symbol, size)| (symbol.to_owned(), size)).into(),
        constants: BTreeMap::from([("epsilon".to_owned(), 1e-5)]),
        features: std::collections::BTreeSet::new(),
    }
}

/// Writes weights of no meaning, none of which is that of its neighbours, and returns the file.
fn write_weights(folder: &Path) -> Vec<u8> {
    let family = SpecSet::bundled("gpt2").unwrap().graph().family;
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape) in family.weights(&architecture()).unwrap() {
        let start = data.len();
        for element in 0..shape.iter().product() {
            data.extend(((element % 7) as f32 * 0.25 - 0.75).to_le_bytes());
        }
        let entry =
            serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] });
        header.insert(name, entry);
    }
    let mut header = serde_json::to_string(&header).unwrap();
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
    fs::create_dir(folder).unwrap();
    fs::write(folder.join("model.safetensors"), &file).unwrap();
    file
}

fn results(case: &Case, capture: &Capture, model: &Path, keep: Keep) -> (Results, Vec<CaseAssay>) {
    let architecture = architecture();
    let specs = SpecSet::bundled("gpt2").unwrap();
    let traits = Traits { preallocated_cache: true, tokenizer: false };
    let model = Model::load(model, specs.graph(), architecture.clone()).unwrap();
    let setting = Setting {
        specs: &specs,
        architecture: &architecture,
        model: Some(&model),
        traits,
        confidence: confidence(&specs, &architecture, &[case]).unwrap(),
        subject: "rust@f32",
    };
    let reference = |name: &str| ReferenceCaptures { name: name.to_owned(), peer: None, f64: None };
    let evidence = CaseEvidence {
        case,
        subject: Some(capture),
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

fn materials(specs: Digest, weights: &[u8]) -> Materials {
    Materials {
        schema: RecordKind::Materials.schema(),
        git: Some(Git {
            commit: "0123456789abcdef".repeat(2),
            tree: "fedcba9876543210".repeat(2),
            dirty: false,
        }),
        diff: Known::Unknown("the work tree is clean".to_owned()),
        cargo_lock: Digest::of(b"Cargo.lock"),
        python_lock: Digest::of(b"uv.lock"),
        reference_source: Digest::of(b"reference"),
        specs,
        weights: [("model.safetensors", weights), ("config.json", CONFIG.as_bytes())]
            .map(|(name, bytes)| MaterialFile {
                name: name.to_owned(),
                bytes: bytes.len() as u64,
                sha256: Digest::of(bytes),
            })
            .into(),
        tokenizer: vec![],
        weights_in_bundle: true,
        subject_weights: None,
        subject_executable: Known::Value(MaterialFile {
            name: "conformance".to_owned(),
            bytes: 8,
            sha256: Digest::of(b"program"),
        }),
        subject_build: Known::Value(Build {
            profile: "release".to_owned(),
            rustc: "rustc 1.95.0".to_owned(),
            target: "x86_64-unknown-linux-gnu".to_owned(),
            opt_level: "3".to_owned(),
            target_features: ["fxsr", "sse", "sse2"].map(str::to_owned).into(),
        }),
        toolchain: Known::Value("rustc 1.95.0".to_owned()),
        cpu: Cpu {
            model: Known::Value("a CPU".to_owned()),
            features: Known::Unknown("there is no /proc/cpuinfo".to_owned()),
        },
        os: Known::Value("Linux".to_owned()),
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

/// Flips one bit of the last weight in a folder.
pub(crate) fn change_weight(folder: &Path) {
    let path = folder.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
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
