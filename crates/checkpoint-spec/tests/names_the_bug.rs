//! Which bug is it: every bug that an activation may have is put in, on models that nothing was tuned on, and named.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use capture::{Capture, Case, Tensor, TensorName};
use checkpoint_spec::{
    CaseEvidence, Comparison, ComparisonVerdict, Mode, NamedChange, Observation, Outcome, Reason, Required,
    Setting, SpecSet, Traits, assay, confidence, diagnose, required,
};
use graph::{Computation, Node};
use oracle::{Array, Chain, Model, Operand, Replica, Way, Weights, scheduled};

/// A model in memory, and a case of it.
struct Ground {
    specs: SpecSet,
    model: Model,
    case: Case,
}

/// What became of all bugs.
#[derive(Debug, Default)]
struct Tally {
    right: usize,
    wrong: Vec<String>,
    unseen: BTreeSet<String>,
}

impl Ground {
    fn gpt2(config: &str, seed: u64) -> Self {
        let specs = SpecSet::bundled("gpt2").unwrap();
        let config: serde_json::Value = serde_json::from_str(config).unwrap();
        let graph = specs.graph();
        let architecture = graph.family.architecture(&config).unwrap();
        let weights = weights(&graph.family.weights(&architecture).unwrap(), seed);
        let vocabulary = architecture.sizes["V"];
        let mut random = Random(seed.wrapping_mul(77) | 1);
        let rows = (0..2).map(|_| (0..14).map(|_| random.below(vocabulary)).collect()).collect();
        let case = Case {
            id: "seeded".to_owned(),
            token_ids: rows,
            texts: None,
            schedule: vec![11, 1, 2],
            generate: 0,
            forced: None,
        };
        Self { specs, model: Model { graph, architecture, weights }, case }
    }

    /// What a run leaves in which nodes are computed otherwise.
    fn run(&self, mutations: &BTreeMap<String, Computation>) -> Option<Capture> {
        let arithmetic = Replica { way: Way::REPLICAS[0], half: None };
        let mut chain = Chain::mutated(&self.model, arithmetic, mutations).ok()?;
        let mut capture = Capture::default();
        for (index, positions) in self.case.steps().enumerate() {
            let step =
                graph::Step { index, batch: self.case.batch(), past: positions.start, new: positions.len() };
            let see = |node: &Node, value: &Operand<Array<f32>>| {
                let name = TensorName::of_step(index, node.name.clone());
                capture.tensors.insert(name, tensor(value));
                Ok::<_, oracle::ApplyError>(())
            };
            chain.step(&scheduled(&self.case, step), see).ok()?;
        }
        Some(capture)
    }

    fn look<T>(&self, capture: &Capture, look: impl FnOnce(&Setting<'_>, &CaseEvidence<'_>) -> T) -> T {
        let setting = Setting {
            specs: &self.specs,
            architecture: &self.model.architecture,
            model: Some(&self.model),
            traits: Traits { preallocated_cache: false, tokenizer: false },
            confidence: confidence(&self.specs, &self.model.architecture, &[&self.case]).unwrap(),
            subject: "rust@f32",
        };
        let not_contiguous = BTreeSet::new();
        let evidence = CaseEvidence {
            case: &self.case,
            subject: Some(capture),
            not_contiguous: &not_contiguous,
            references: &[],
        };
        look(&setting, &evidence)
    }

    /// Puts every bug of every activation in, in the last layer, and has it named where it is first refused.
    fn name_all(&self) -> Tally {
        let last = self.model.architecture.layers - 1;
        let mut tally = Tally::default();
        let order = self.model.graph.order(self.model.architecture.layers).unwrap();
        for node in order.iter().filter(|node| node.layer.is_none_or(|layer| layer == last)) {
            let name = &self.model.graph.activations[node.activation].name;
            let (_, _, activation) = self.specs.activations().find(|(_, _, a)| a.name == *name).unwrap();
            for bug in self.specs.changes_at(activation) {
                self.name(node, bug, &mut tally);
            }
        }
        tally
    }

    fn name(&self, node: &Node, bug: NamedChange<'_>, tally: &mut Tally) {
        let op = self.model.graph.operation(node).unwrap();
        let what = format!("{}: {}", node.name, bug.id);
        let computation = Computation::changed(op, [bug.change]).unwrap();
        let run = self.run(&[(node.name.clone(), computation)].into());
        let Some(run) = run else {
            tally.unseen.insert(what);
            return;
        };
        let culprit = self.look(&run, |setting, evidence| {
            let assayed = assay(setting, evidence).unwrap();
            assayed.observations.iter().find(|found| is_refused(found)).cloned()
        });
        let Some(culprit) = culprit.filter(|found| found.required.name.activation == node.name) else {
            tally.unseen.insert(what);
            return;
        };
        let diagnosis =
            self.look(&run, |setting, evidence| diagnose(setting, evidence, &comparison(culprit)).unwrap());
        let named: Vec<String> = diagnosis.into_iter().flat_map(|found| found.named).map(|n| n.id).collect();
        match named.first() {
            Some(first) if first == bug.id => tally.right += 1,
            _ => tally.wrong.push(format!("{what} is called {named:?}")),
        }
    }
}

fn is_refused(observation: &Observation) -> bool {
    let Outcome::Compared { statistics, .. } = &observation.outcome else { return false };
    let budget = statistics.budget.as_ref();
    statistics.violations > 0
        || budget.is_some_and(|found| found.violations > 0 || found.systematic_violation().is_some())
}

fn comparison(observation: Observation) -> Comparison {
    let Required { name, layer, .. } = observation.required;
    Comparison {
        name: name.activation,
        layer,
        step: name.step,
        case: observation.case,
        mode: Mode::Isolated,
        reference: observation.reference,
        outcome: observation.outcome,
        verdict: ComparisonVerdict::Fail,
        reason: Some(Reason::Budget),
        chained_allowed: None,
        downstream: false,
    }
}

fn tensor(value: &Operand<Array<f32>>) -> Tensor {
    match value {
        Operand::Floats(floats) => Tensor::from_f32(&floats.shape, &floats.values).unwrap(),
        Operand::Tokens(ids) => Tensor::from_i64(&ids.shape, &ids.values).unwrap(),
    }
}

/// Norms around 1, biases and matrices such that every part of a block matters.
fn weights(shapes: &BTreeMap<String, Vec<usize>>, seed: u64) -> Weights {
    let mut random = Random(seed | 1);
    let of = |(name, shape): (&String, &Vec<usize>)| {
        let count = shape.iter().product();
        let is_norm = shape.len() == 1 && name.ends_with("weight");
        let spread = if shape.len() == 1 { 0.3 } else { 1.5 / (shape[0] as f32).sqrt() };
        let values = (0..count).map(|_| f32::from(u8::from(is_norm)) + spread * random.normal()).collect();
        (name.clone(), (shape.clone(), values))
    };
    Weights::new(shapes.iter().map(of).collect())
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> i64 {
        (self.next() % end as u64) as i64
    }

    /// Near enough to a normal distribution.
    fn normal(&mut self) -> f32 {
        let uniform: f32 = (0..12).map(|_| (self.next() >> 40) as f32 / (1u64 << 24) as f32).sum();
        uniform - 6.0
    }
}

fn config(layers: usize, width: usize, heads: usize) -> String {
    serde_json::json!({
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu_new",
        "n_layer": layers, "n_embd": width, "n_head": heads, "n_positions": 24, "vocab_size": 61,
        "layer_norm_epsilon": 1e-5,
    })
    .to_string()
}

#[test]
fn the_first_name_is_the_right_one_on_three_seeds_and_two_shapes() {
    let (mut right, mut wrong, mut unseen) = (0, Vec::new(), BTreeSet::new());
    for (shape, seed) in [(config(3, 48, 3), 11), (config(2, 40, 5), 12), (config(3, 48, 3), 13)] {
        let tally = Ground::gpt2(&shape, seed).name_all();
        right += tally.right;
        wrong.extend(tally.wrong);
        unseen.extend(tally.unseen);
    }
    println!("{right} named, {} not, {} unseen", wrong.len(), unseen.len());
    println!("{}\nunseen: {unseen:?}", wrong.join("\n"));
    assert!(right >= 9 * wrong.len(), "{right} named rightly, the rest:\n{}", wrong.join("\n"));
}

#[test]
fn of_a_correct_run_nothing_is_refused_and_so_nothing_is_named() {
    let ground = Ground::gpt2(&config(2, 48, 3), 21);
    let run = ground.run(&BTreeMap::new()).unwrap();
    ground.look(&run, |setting, evidence| {
        let assayed = assay(setting, evidence).unwrap();
        let plan = required(
            setting.specs,
            setting.architecture,
            evidence.case,
            setting.traits,
            capture::Precision::F32,
        );
        assert!(plan.unwrap().len() > 100);
        assert!(!assayed.observations.iter().any(is_refused));
    });
}
