//! A whole run in memory: one subject and two references, each chained and isolated, and what the law makes of them.

pub(crate) mod laws;
pub(crate) mod model;
pub(crate) mod repeats;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use capture::{Capture, Case, FileError, Identity, Precision, Tensor, TensorName, TensorSource};
use checkpoint_spec::{
    Architecture, Captures, CaseAssay, CaseEvidence, CheckpointResult, Comparison, Extent, FaultFacts,
    FaultObservation, FaultSpec, Keep, Killer, Mode, ReferenceCaptures, Repeated, Results, RunFacts, Setting,
    SpecSet, Traits, Verdict, assay, confidence, judge,
};
use model::Implementation;

/// Rounding units, as a share of the largest value, that the oracle allows every element: far above any rounding of
/// so small a model, far below any fault put into it.
const UNITS: f64 = 256.0;

/// A capture, and tensors of it that cannot be read.
#[derive(Clone, Default)]
pub(crate) struct Source {
    pub(crate) capture: Capture,
    pub(crate) broken: BTreeSet<TensorName>,
}

/// What one implementation hands in for one case.
#[derive(Clone, Default)]
pub(crate) struct Pair {
    pub(crate) run: Option<Source>,
    pub(crate) replay: Option<Source>,
}

/// What one reference hands in for one case.
#[derive(Clone)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) f32: Pair,
    pub(crate) f64: Pair,
}

/// Everything handed in for one case.
#[derive(Clone)]
pub(crate) struct Evidence {
    pub(crate) case: Case,
    pub(crate) subject: Pair,
    pub(crate) references: Vec<Reference>,
}

/// Who computes, and how.
#[derive(Clone, Copy)]
pub(crate) struct Cast {
    pub(crate) subject: Implementation,
    /// `first` and `second`, each at f32 and at f64.
    pub(crate) references: [[Implementation; 2]; 2],
}

/// What was claimed and what was handed in.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) specs: SpecSet,
    pub(crate) facts: RunFacts,
    pub(crate) evidence: Vec<Evidence>,
}

impl Cast {
    /// Correct, with three orders of summation between them.
    pub(crate) fn correct() -> Self {
        let [f32, f64] = [Precision::F32, Precision::F64].map(Implementation::correct);
        let backward = |forward| Implementation { backward: true, ..forward };
        Self { subject: f32, references: [[backward(f32), f64], [f32, backward(f64)]] }
    }

    fn play(self, case: &Case) -> Evidence {
        let given = self.references[0][0].run(case);
        let pair = |how: Implementation| {
            let mut replay = how.replay(case, &given);
            if how.precision == Precision::F64 {
                add_magnitudes(&mut replay);
            }
            let source = |capture| Some(Source { capture, broken: BTreeSet::new() });
            Pair { run: source(how.run(case)), replay: source(replay) }
        };
        let reference = |(name, [f32, f64]): (&str, [Implementation; 2])| Reference {
            name: name.to_owned(),
            f32: pair(f32),
            f64: pair(f64),
        };
        let references = ["first", "second"].into_iter().zip(self.references).map(reference).collect();
        Evidence { case: case.clone(), subject: pair(self.subject), references }
    }
}

/// Puts beside every replayed float that is rounded how far a correct result may be off.
fn add_magnitudes(replay: &mut Capture) {
    let moved = |name: &str| name.ends_with(".last") || name.contains(".cached_") || name.ends_with(".mask");
    let mut magnitudes = BTreeMap::new();
    for (name, tensor) in &replay.tensors {
        if tensor.dtype().is_float() && !moved(&name.activation) {
            let largest = tensor.view().to_f64_lossy().into_iter().map(f64::abs).fold(1e-3, f64::max);
            let bound = vec![UNITS * largest; tensor.shape().elements()];
            let bound = Tensor::from_f64(tensor.shape().dimensions(), &bound).unwrap();
            let activation = format!("magnitude/{}", name.activation);
            magnitudes.insert(TensorName { step: name.step, activation }, bound);
        }
    }
    replay.tensors.append(&mut magnitudes);
}

/// The short panel, with every fault treated as declared.
pub(crate) fn declared_panel(specs: &SpecSet) -> FaultFacts {
    let observe = |(checkpoint, fault): (&str, &FaultSpec)| FaultObservation {
        id: fault.id.clone(),
        changed: true,
        killer: Some(Killer {
            by: fault.killer(checkpoint).to_owned(),
            reason: fault.reasons[0],
            tensor: None,
            mode: None,
            margin: None,
            message: String::new(),
        }),
        refusals: BTreeMap::new(),
        verdict: Verdict::Fail,
    };
    let fast = specs.faults().filter(|(_, fault)| fault.fast);
    FaultFacts { extent: Extent::Fast, observations: fast.map(observe).collect(), problem: None }
}

impl Scene {
    /// Everyone correct: two rows, a prefill of five tokens, two of one, three generated.
    pub(crate) fn correct() -> Self {
        Self::of(Cast::correct(), &[model::case(2, &[5, 1, 1], 3)])
    }

    pub(crate) fn of(cast: Cast, cases: &[Case]) -> Self {
        let identity = |name: &str| Identity {
            name: name.to_owned(),
            version: "1".to_owned(),
            precision: Precision::F32,
            device: "cpu".to_owned(),
        };
        let facts = RunFacts {
            model: "tiny".to_owned(),
            architecture: model::architecture(),
            subject: identity("subject"),
            traits: Traits { preallocated_cache: true, tokenizer: true },
            references: ["first", "second"].map(identity).to_vec(),
            cases: cases.iter().map(|case| (case.clone(), String::new())).collect(),
            subject_weights: false,
            selected: Vec::new(),
            repeats: Vec::new(),
            laws: laws::KEPT.clone(),
            incidents: Vec::new(),
            reservations: Vec::new(),
            not_applicable: Vec::new(),
            faults: declared_panel(&SpecSet::bundled("gpt2").unwrap()),
            notes: Vec::new(),
            options: Vec::new(),
            keep: Keep::Full,
        };
        let evidence = cases.iter().map(|case| cast.play(case)).collect();
        Self { specs: SpecSet::bundled("gpt2").unwrap(), facts, evidence }
    }

    pub(crate) fn results(&self) -> Results {
        let repeats = vec![repeats::of_subject(self, |_, _| {})];
        self.results_with(repeats)
    }

    /// The results, with repeats of one's own.
    pub(crate) fn results_with(&self, repeats: Vec<Repeated>) -> Results {
        let facts = RunFacts { repeats, ..self.facts.clone() };
        judge(&self.specs, &facts, &self.assays()).unwrap()
    }

    pub(crate) fn assays(&self) -> Vec<CaseAssay> {
        self.each_case(|setting, evidence| assay(setting, evidence).unwrap())
    }

    /// What `look` sees in every case.
    pub(crate) fn each_case<T>(&self, look: impl Fn(&Setting<'_>, &CaseEvidence<'_>) -> T) -> Vec<T> {
        let subject = self.facts.subject.to_string();
        let cases: Vec<&Case> = self.evidence.iter().map(|evidence| &evidence.case).collect();
        let setting = Setting {
            specs: &self.specs,
            architecture: &self.facts.architecture,
            traits: self.facts.traits,
            confidence: confidence(&self.specs, &self.facts.architecture, &cases).unwrap(),
            subject: &subject,
        };
        self.evidence.iter().map(|evidence| evidence.shown_to(|shown| look(&setting, shown))).collect()
    }

    /// The subject's chained run of the first case.
    pub(crate) fn run(&mut self) -> &mut Source {
        self.evidence[0].subject.run.as_mut().unwrap()
    }

    /// The subject's replay of the first case.
    pub(crate) fn replay(&mut self) -> &mut Source {
        self.evidence[0].subject.replay.as_mut().unwrap()
    }

    /// A reference's chained run of the first case at f32.
    pub(crate) fn peer(&mut self, index: usize) -> &mut Source {
        self.evidence[0].references[index].f32.run.as_mut().unwrap()
    }

    /// A reference's chained run of the first case at f64.
    pub(crate) fn oracle(&mut self, index: usize) -> &mut Source {
        self.evidence[0].references[index].f64.run.as_mut().unwrap()
    }
}

impl Evidence {
    fn shown_to<T>(&self, look: impl Fn(&CaseEvidence<'_>) -> T) -> T {
        let references: Vec<ReferenceCaptures<'_>> = self
            .references
            .iter()
            .map(|r| ReferenceCaptures { name: r.name.clone(), peer: r.f32.view(), f64: r.f64.view() })
            .collect();
        let nothing = BTreeSet::new();
        let evidence = CaseEvidence {
            case: &self.case,
            subject: self.subject.view(),
            not_contiguous: self.subject.run.as_ref().map_or(&nothing, |run| &run.capture.not_contiguous),
            references: &references,
        };
        look(&evidence)
    }
}

impl Pair {
    fn view(&self) -> Captures<'_> {
        Captures {
            run: self.run.as_ref().map(|source| source as &dyn TensorSource),
            replay: self.replay.as_ref().map(|source| source as &dyn TensorSource),
        }
    }
}

impl TensorSource for Source {
    fn names(&self) -> BTreeSet<TensorName> {
        self.capture.names()
    }

    fn tensor(&self, name: &TensorName) -> Result<Option<Tensor>, FileError> {
        if self.broken.contains(name) {
            let path = PathBuf::from("capture.safetensors");
            return Err(FileError::Malformed { path, problem: format!("`{name}` is cut short") });
        }
        self.capture.tensor(name)
    }
}

impl Source {
    pub(crate) fn get(&self, name: &str) -> &Tensor {
        self.capture.require(&parsed(name)).unwrap()
    }

    pub(crate) fn put(&mut self, name: &str, tensor: Tensor) {
        self.capture.tensors.insert(parsed(name), tensor);
    }

    pub(crate) fn lose(&mut self, name: &str) {
        self.capture.tensors.remove(&parsed(name)).unwrap();
    }

    pub(crate) fn change(&mut self, name: &str, change: impl FnOnce(&mut Vec<f64>)) {
        let changed = model::changed(self.get(name), change);
        self.put(name, changed);
    }
}

fn parsed(name: &str) -> TensorName {
    TensorName::parse(name).unwrap()
}

pub(crate) fn checkpoint<'a>(results: &'a Results, id: &str) -> &'a CheckpointResult {
    results.checkpoints.iter().find(|checkpoint| checkpoint.id == id).unwrap()
}

/// The comparisons of one tensor.
pub(crate) fn comparisons<'a>(results: &'a Results, tensor: &str, mode: Mode) -> Vec<&'a Comparison> {
    let name = parsed(tensor);
    let all = results.checkpoints.iter().flat_map(|checkpoint| &checkpoint.comparisons);
    let found: Vec<_> = all.filter(|c| c.mode == mode && c.tensor_name() == name).collect();
    assert!(!found.is_empty(), "{tensor} is not compared");
    found
}
