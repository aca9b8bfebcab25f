//! Which bug is it: every bug that an activation may have is put in, on models that nothing was tuned on, and named.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use capture::{Capture, Case, Tensor, TensorName};
use checkpoint_spec::{
    CaseEvidence, Comparison, ComparisonVerdict, Mode, NamedChange, Observation, Outcome, Reason, Required,
    Setting, SpecSet, Traits, assay, confidence, diagnose, family_of,
};
use graph::{Computation, Node};
use oracle::{Array, Chain, Model, Operand, Replica, Way, Weights, scheduled};
use serde_json::{Value, json};

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
    fn new(config: &Value, seed: u64) -> Self {
        let architecture = family_of(config).unwrap().architecture(config).unwrap();
        let specs = SpecSet::of_model(&architecture).unwrap();
        let graph = specs.graph();
        let weights = Weights::seeded(&graph, &architecture, seed).unwrap();
        let vocabulary = architecture.sizes["V"] as u64;
        // A linear congruential generator, as in Numerical Recipes.
        let mut state = seed;
        let mut id = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 16) % vocabulary) as i64
        };
        let token_ids = (0..2).map(|_| (0..14).map(|_| id()).collect()).collect();
        let case = Case {
            id: "seeded".to_owned(),
            token_ids,
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

fn gpt2(layers: usize, width: usize, heads: usize) -> Value {
    json!({
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu_new",
        "n_layer": layers, "n_embd": width, "n_head": heads, "n_positions": 24, "vocab_size": 61,
        "layer_norm_epsilon": 1e-5,
    })
}

/// Of the Llama family, with what is peculiar to one of its models.
fn llama(model_type: &str, class: &str, width: usize, own: &Value) -> Value {
    let mut config = json!({
        "architectures": [class], "model_type": model_type, "hidden_act": "silu", "vocab_size": 61,
        "hidden_size": width, "intermediate_size": 72, "num_hidden_layers": 2, "num_attention_heads": 6,
        "num_key_value_heads": 3, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": false,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0},
    });
    for (name, value) in own.as_object().unwrap() {
        config[name] = value.clone();
    }
    config
}

/// How often the first name is the right one, over models and seeds.
fn named(models: &[(Value, u64)]) {
    let (mut right, mut wrong, mut unseen) = (0, Vec::new(), BTreeSet::new());
    for (config, seed) in models {
        let tally = Ground::new(config, *seed).name_all();
        right += tally.right;
        wrong.extend(tally.wrong);
        unseen.extend(tally.unseen);
    }
    println!("{right} named, {} not, {} unseen", wrong.len(), unseen.len());
    println!("{}\nunseen: {unseen:?}", wrong.join("\n"));
    assert!(
        right > 100 && right >= 9 * wrong.len(),
        "{right} named rightly, the rest:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn of_gpt2_the_first_name_is_the_right_one() {
    named(&[(gpt2(3, 48, 3), 11), (gpt2(2, 40, 5), 12), (gpt2(3, 48, 3), 13)]);
}

#[test]
fn of_the_llama_family_the_first_name_is_the_right_one() {
    let qwen3 = llama("qwen3", "Qwen3ForCausalLM", 48, &json!({"head_dim": 12, "use_sliding_window": false}));
    let mistral = llama("mistral", "MistralForCausalLM", 60, &json!({"sliding_window": 6}));
    named(&[(qwen3.clone(), 21), (mistral, 22), (qwen3, 23)]);
}

#[test]
fn of_a_correct_run_nothing_is_refused_and_so_nothing_is_named() {
    let qwen3 = llama("qwen3", "Qwen3ForCausalLM", 48, &json!({"head_dim": 12, "use_sliding_window": false}));
    for config in [gpt2(2, 48, 3), qwen3] {
        let ground = Ground::new(&config, 31);
        let run = ground.run(&BTreeMap::new()).unwrap();
        ground.look(&run, |setting, evidence| {
            let assayed = assay(setting, evidence).unwrap();
            let compared = |found: &&Observation| matches!(found.outcome, Outcome::Compared { .. });
            assert!(assayed.observations.iter().filter(compared).count() > 100);
            assert!(!assayed.observations.iter().any(is_refused));
        });
    }
}
