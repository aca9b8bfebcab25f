//! A whole run in memory: one subject and two references, and what the law makes of them.

pub(crate) mod laws;
pub(crate) mod model;
pub(crate) mod repeats;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use capture::{Capture, Case, FileError, Identity, Precision, Tensor, TensorName, TensorSource};
use checkpoint_spec::{
    CaseAssay, CaseEvidence, CheckpointResult, Comparison, Extent, FaultFacts, FaultObservation, FaultSpec,
    Keep, Killer, ReferenceCaptures, Repeated, Results, RunFacts, Setting, SpecSet, Traits, Verdict, assay,
    confidence, judge,
};
use model::How;
use oracle::{Model, Weights};

/// A capture, and tensors of it that cannot be read.
#[derive(Clone, Default)]
pub(crate) struct Source {
    pub(crate) capture: Capture,
    pub(crate) broken: BTreeSet<TensorName>,
}

/// What one reference hands in for one case.
#[derive(Clone)]
pub(crate) struct Reference {
    pub(crate) name: String,
    /// At f32, or at the subject's half precision.
    pub(crate) peer: Option<Source>,
    pub(crate) f64: Option<Source>,
}

/// Everything handed in for one case.
#[derive(Clone)]
pub(crate) struct Evidence {
    pub(crate) case: Case,
    pub(crate) subject: Option<Source>,
    pub(crate) references: Vec<Reference>,
}

/// Who computes what, and how.
#[derive(Clone)]
pub(crate) struct Implementation {
    pub(crate) model: Model,
    pub(crate) how: How,
}

/// Everyone who computes.
#[derive(Clone)]
pub(crate) struct Cast {
    /// The model by which the oracle judges.
    pub(crate) model: Model,
    pub(crate) subject: Implementation,
    /// `first` and `second`, each at f32 and at f64.
    pub(crate) references: [[Implementation; 2]; 2],
}

/// What was claimed and what was handed in.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) specs: SpecSet,
    /// The model by which the oracle judges, if its weights are at hand.
    pub(crate) model: Option<Model>,
    pub(crate) facts: RunFacts,
    pub(crate) evidence: Vec<Evidence>,
}

impl Cast {
    /// Correct, with three orders of summation between them.
    pub(crate) fn correct() -> Self {
        Self::of(model::tiny(SpecSet::bundled("gpt2").unwrap().graph()))
    }

    /// The same, of another model.
    pub(crate) fn of(model: Model) -> Self {
        let by = |how| Implementation { model: model.clone(), how };
        let references =
            [[by(How::shuffled(1)), by(How::Exact)], [by(How::shuffled(5)), by(How::NearlyExact)]];
        Self { subject: by(How::shuffled(0)), references, model: model.clone() }
    }

    fn play(&self, case: &Case) -> Evidence {
        let reference = |(name, [peer, f64]): (&str, &[Implementation; 2])| Reference {
            name: name.to_owned(),
            peer: Some(self.run(peer, case)),
            f64: Some(self.run(f64, case)),
        };
        let references = ["first", "second"].into_iter().zip(&self.references).map(reference).collect();
        Evidence { case: case.clone(), subject: Some(self.run(&self.subject, case)), references }
    }

    /// Everyone states the weights that were handed to them, whatever they compute with.
    fn run(&self, implementation: &Implementation, case: &Case) -> Source {
        let mut capture = implementation.how.run(&implementation.model, case);
        capture.tensors.extend(model::given(&self.model, case));
        Source { capture, broken: BTreeSet::new() }
    }
}

impl Implementation {
    /// The model with the values of one weight changed.
    pub(crate) fn change(&mut self, weight: &str, change: impl FnOnce(&mut Vec<f32>)) {
        let names = self.model.graph.family.weights(&self.model.architecture).unwrap().into_keys();
        let copied = |name: String| {
            let found = self.model.weights.get(&name).unwrap();
            let (shape, values) = (found.shape.to_vec(), found.values.to_vec());
            (name, (shape, values))
        };
        let mut all: BTreeMap<_, _> = names.map(copied).collect();
        change(&mut all.get_mut(weight).unwrap().1);
        self.model.weights = Weights::new(all);
    }
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
        Self::of(Cast::correct(), &[usual_case()])
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
            architecture: cast.model.architecture.clone(),
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
        Self { specs: SpecSet::bundled("gpt2").unwrap(), model: Some(cast.model), facts, evidence }
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
            model: self.model.as_ref(),
            traits: self.facts.traits,
            confidence: confidence(&self.specs, &self.facts.architecture, &cases).unwrap(),
            subject: &subject,
        };
        self.evidence.iter().map(|evidence| evidence.shown_to(|shown| look(&setting, shown))).collect()
    }

    /// What the subject left of the first case.
    pub(crate) fn run(&mut self) -> &mut Source {
        self.evidence[0].subject.as_mut().unwrap()
    }

    /// What a reference left of the first case at f32.
    pub(crate) fn peer(&mut self, index: usize) -> &mut Source {
        self.evidence[0].references[index].peer.as_mut().unwrap()
    }

    /// What a reference left of the first case at f64.
    pub(crate) fn voice(&mut self, index: usize) -> &mut Source {
        self.evidence[0].references[index].f64.as_mut().unwrap()
    }
}

/// Two rows, a prefill of five tokens, two of one, three generated.
pub(crate) fn usual_case() -> Case {
    model::case(2, &[5, 1, 1], 3)
}

impl Evidence {
    fn shown_to<T>(&self, look: impl Fn(&CaseEvidence<'_>) -> T) -> T {
        let references: Vec<ReferenceCaptures<'_>> = self
            .references
            .iter()
            .map(|r| ReferenceCaptures { name: r.name.clone(), peer: view(&r.peer), f64: view(&r.f64) })
            .collect();
        let nothing = BTreeSet::new();
        let evidence = CaseEvidence {
            case: &self.case,
            subject: view(&self.subject),
            not_contiguous: self.subject.as_ref().map_or(&nothing, |run| &run.capture.not_contiguous),
            references: &references,
        };
        look(&evidence)
    }
}

fn view(source: &Option<Source>) -> checkpoint_spec::Source<'_> {
    source.as_ref().map(|source| source as &dyn TensorSource)
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
pub(crate) fn comparisons<'a>(results: &'a Results, tensor: &str) -> Vec<&'a Comparison> {
    let name = parsed(tensor);
    let all = results.checkpoints.iter().flat_map(|checkpoint| &checkpoint.comparisons);
    let found: Vec<_> = all.filter(|c| c.tensor_name() == name).collect();
    assert!(!found.is_empty(), "{tensor} is not compared");
    found
}
