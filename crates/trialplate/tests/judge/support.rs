//! Models in memory or beside the repository, and dumps of engines that compute them, rightly or not.

use std::collections::BTreeMap;
use std::path::Path;

use capture::Case;
use capture::dump::{Dump, DumpDtype, DumpTensor};
use checkpoint_spec::{PartResults, SpecSet, family_of};
use graph::{Computation, Node, Step};
use oracle::{ApplyError, Array, Chain, HalfFormat, Model, Operand, Replica, Way, Weights, scheduled};
use serde_json::{Value, json};
use trialplate::{CheckOptions, Subject, check};

/// The bundled GPT-2.
pub(crate) fn bundled() -> Subject {
    Subject::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/models/gpt2-rustbook"))
        .unwrap()
}

/// A small Qwen3, seeded.
pub(crate) fn qwen3() -> Subject {
    seeded(&json!({
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_act": "silu", "vocab_size": 61,
        "hidden_size": 48, "intermediate_size": 72, "num_hidden_layers": 3, "num_attention_heads": 6, "head_dim": 12,
        "num_key_value_heads": 3, "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "tie_word_embeddings": false,
        "use_sliding_window": false, "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
    }))
}

fn seeded(config: &Value) -> Subject {
    let architecture = family_of(config).unwrap().architecture(config).unwrap();
    let specs = SpecSet::of_model(&architecture).unwrap();
    let graph = specs.graph();
    let weights = Weights::seeded(&graph, &architecture, 5).unwrap();
    Subject::of("seeded", specs, Model { graph, architecture, weights })
}

/// Rows of token ids that follow from a seed.
pub(crate) fn case(subject: &Subject, rows: usize, tokens: usize, schedule: &[usize]) -> Case {
    let vocabulary = subject.architecture().sizes["V"] as u64;
    // A linear congruential generator, as in Numerical Recipes.
    let mut state = 7_u64;
    let mut id = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i64::try_from((state >> 16) % vocabulary).unwrap()
    };
    let token_ids = (0..rows).map(|_| (0..tokens).map(|_| id()).collect()).collect();
    Case { id: "dump".into(), token_ids, texts: None, schedule: schedule.to_vec(), generate: 0, forced: None }
}

/// What an engine dumps that computes some activations otherwise: all of its activations, in the model's own names.
pub(crate) fn dump(
    subject: &Subject,
    case: &Case,
    mutations: &BTreeMap<String, Computation>,
) -> Option<Dump> {
    let arithmetic = Replica { way: Way::REPLICAS[1], half: None };
    let mut chain = Chain::mutated(&subject.model, arithmetic, mutations).ok()?;
    let mut tensors = BTreeMap::new();
    let several = case.schedule.len() > 1;
    for (index, positions) in case.steps().enumerate() {
        let step = Step { index, batch: case.batch(), past: positions.start, new: positions.len() };
        let name = |name: &str| if several { format!("step{index}/{name}") } else { name.to_owned() };
        let ids = scheduled(case, step);
        tensors.insert(name("token_ids"), integers(&ids.shape, &ids.values));
        let see = |node: &Node, value: &Operand<Array<f32>>| {
            let tensor = match value {
                Operand::Floats(floats) => floats32(&floats.shape, &floats.values),
                Operand::Tokens(ids) => integers(&ids.shape, &ids.values),
            };
            tensors.insert(name(&node.name), tensor);
            Ok::<_, ApplyError>(())
        };
        chain.step(&ids, see).ok()?;
    }
    Some(Dump { tensors, notes: Vec::new() })
}

/// What a correct engine dumps that stores its results in half precision.
pub(crate) fn stored_in(subject: &Subject, format: HalfFormat) -> Dump {
    let arithmetic = Replica { way: Way::REPLICAS[2], half: Some(format) };
    let mut chain = Chain::new(&subject.model, arithmetic).unwrap();
    let ids = case(subject, 1, 9, &[9]).token_ids.concat();
    let ids = Array { shape: vec![1, 9], values: ids };
    let mut tensors: BTreeMap<String, DumpTensor> =
        [("token_ids".to_owned(), integers(&ids.shape, &ids.values))].into();
    let see = |node: &Node, value: &Operand<Array<f32>>| {
        let tensor = match value {
            Operand::Floats(floats) => halves(format, &floats.shape, &floats.values),
            Operand::Tokens(ids) => integers(&ids.shape, &ids.values),
        };
        tensors.insert(node.name.clone(), tensor);
        Ok::<_, ApplyError>(())
    };
    chain.step(&ids, see).unwrap();
    Dump { tensors, notes: Vec::new() }
}

/// Halves that f32 holds exactly: the upper half of its bits, or those of an f16.
fn halves(format: HalfFormat, shape: &[usize], values: &[f32]) -> DumpTensor {
    let (dtype, bytes): (DumpDtype, fn(f32) -> [u8; 2]) = match format {
        HalfFormat::Bf16 => (DumpDtype::Bf16, |value| half::bf16::from_f32(value).to_le_bytes()),
        HalfFormat::F16 => (DumpDtype::F16, |value| half::f16::from_f32(value).to_le_bytes()),
    };
    DumpTensor::new(dtype, shape, values.iter().flat_map(|value| bytes(*value)).collect()).unwrap()
}

/// What a correct engine dumps of one prompt.
pub(crate) fn right(subject: &Subject, rows: usize, tokens: usize) -> Dump {
    dump(subject, &case(subject, rows, tokens, &[tokens]), &BTreeMap::new()).unwrap()
}

pub(crate) fn floats32(shape: &[usize], values: &[f32]) -> DumpTensor {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    DumpTensor::new(DumpDtype::F32, shape, bytes).unwrap()
}

pub(crate) fn integers(shape: &[usize], values: &[i64]) -> DumpTensor {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    DumpTensor::new(DumpDtype::I64, shape, bytes).unwrap()
}

/// What a check says of it, without a word from the user.
pub(crate) fn checked(dump: &Dump, subject: &Subject) -> PartResults {
    check("dump", dump, subject, &CheckOptions::default()).unwrap()
}

/// Only the tensors whose names pass.
pub(crate) fn only(dump: &Dump, keep: impl Fn(&str) -> bool) -> Dump {
    let kept = dump.tensors.iter().filter(|(name, _)| keep(name));
    Dump { tensors: kept.map(|(name, tensor)| (name.clone(), tensor.clone())).collect(), notes: Vec::new() }
}
