//! A wrong spec judges nobody: it does not load, or the references, who compute something else, contradict it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests look at more of a scene")]
mod support;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use checkpoint_spec::{Outcome, QuorumObservation, SpecError, SpecSet, Verdict, assay_references};
use graph::{Conditional, Operation};
use support::Scene;

/// Everyone correct, by the specs as they are.
static CORRECT: LazyLock<Scene> = LazyLock::new(Scene::correct);

/// Who refuses a wrong spec.
enum By {
    /// It does not load, and this is said.
    Load(&'static str),
    /// The first reference disagrees with the graph, and this activation is named.
    Quorum(&'static str),
}
use By::{Load, Quorum};

/// A file, what stands in it, what is put there, and who must refuse that.
type Edit = (&'static str, &'static str, &'static str, By);

#[rustfmt::skip]
const EDGES: [Edit; 15] = [
    ("01-layer-norm.toml", r#"x = "h.{l}.mid", epsilon = "epsilon", weight"#, r#"x = "embd | h.{l-1}.out", epsilon = "epsilon", weight"#, Quorum("h.0.ln_2")),
    ("01-layer-norm.toml", r#"x = "h.{L-1}.out", epsilon = "epsilon", weight"#, r#"x = "h.{L-1}.mid", epsilon = "epsilon", weight"#, Quorum("ln_f")),
    ("03-kv-cache.toml", r#"cache = { new = "h.{l}.attn.v" }"#, r#"cache = { new = "h.{l}.attn.k" }"#, Quorum("h.0.attn.cached_v")),
    ("04-attention-scores.toml", r#"k = "h.{l}.attn.cached_k""#, r#"k = "h.{l}.attn.cached_v""#, Quorum("h.0.attn.scores")),
    ("04-attention-scores.toml", r#"k = "h.{l}.attn.cached_k""#, r#"k = "h.{l}.attn.k""#, Load("h.0.attn.scores")),
    ("04-attention-scores.toml", r#"q = "h.{l}.attn.q", k = "h.{l}.attn.cached_k""#, r#"q = "h.{l}.attn.cached_k", k = "h.{l}.attn.q""#, Load("h.0.attn.scores")),
    ("05-attention-output.toml", r#"values = "h.{l}.attn.cached_v""#, r#"values = "h.{l}.attn.cached_k""#, Quorum("h.0.attn.context")),
    ("05-attention-output.toml", r#", mask = "h.{l}.attn.mask""#, "", Quorum("h.0.attn.probs")),
    ("06-ffn.toml", r#"gelu = { x = "h.{l}.mlp.fc""#, r#"gelu = { x = "h.{l}.mlp.act""#, Load("lead back to itself")),
    ("06-ffn.toml", r#"x = "h.{l}.ln_2""#, r#"x = "h.{l}.ln_1""#, Quorum("h.0.mlp.fc")),
    ("07-block.toml", r#"y = "h.{l}.mlp.out""#, r#"y = "h.{l}.attn.out""#, Quorum("h.0.out")),
    ("07-block.toml", r#"x = "h.{l}.mid""#, r#"x = "embd""#, Quorum("h.0.out")),
    ("08-logits.toml", r#"x = "ln_f""#, r#"x = "ln_f.normalized""#, Quorum("logits")),
    ("10-argmax.toml", r#"x = "logits.last""#, r#"x = "logits""#, Load("token")),
    ("family.toml", r#"last_logits = "logits.last""#, r#"last_logits = "probs.t0.5""#, Quorum("generated.logits")),
];

#[rustfmt::skip]
const WEIGHTS: [Edit; 12] = [
    ("00-foundation.toml", r#", positions = "wpe.weight""#, "", Quorum("embd")),
    ("00-foundation.toml", r#"table = "wte.weight", positions = "wpe.weight""#, r#"table = "wpe.weight", positions = "wte.weight""#, Quorum("embd")),
    ("01-layer-norm.toml", r#"weight = "h.{l}.ln_1.weight", bias = "h.{l}.ln_1.bias""#, r#"weight = "h.{l}.ln_1.bias", bias = "h.{l}.ln_1.weight""#, Quorum("h.0.ln_1")),
    ("01-layer-norm.toml", r#", weight = "ln_f.weight""#, "", Quorum("ln_f")),
    ("02-qkv.toml", r#", bias = "h.{l}.attn.c_attn.bias""#, "", Quorum("h.0.attn.q")),
    ("02-qkv.toml", "part = [0, 3]", "part = [1, 3]", Quorum("h.0.attn.q")),
    ("02-qkv.toml", "part = [0, 3]", "part = [0, 1]", Load("h.0.attn.q")),
    ("05-attention-output.toml", "h.{l}.attn.c_proj.weight", "h.0.attn.c_proj.weight", Quorum("h.1.attn.out")),
    ("05-attention-output.toml", "h.{l}.attn.c_proj.bias", "h.{l}.mlp.c_proj.bias", Quorum("h.0.attn.out")),
    ("05-attention-output.toml", "\"in-out\"", "\"out-in\"", Quorum("h.0.attn.out")),
    ("06-ffn.toml", "\"in-out\"", "\"out-in\"", Load("h.0.mlp.fc")),
    ("08-logits.toml", "\"out-in\"", "\"in-out\"", Load("logits")),
];

#[rustfmt::skip]
const NUMBERS_AND_SHAPES: [Edit; 9] = [
    ("01-layer-norm.toml", r#"epsilon = "epsilon""#, r#"epsilon = "range""#, Load("no constant `range`")),
    ("11-softmax-probs.toml", "temperature = 0.5", "temperature = 0.25", Quorum("probs.t0.5")),
    ("11-softmax-probs.toml", ", temperature = 2.0", "", Quorum("probs.t2")),
    ("02-qkv.toml", r#"["B", "S", "H", "Dh"]"#, r#"["B", "S", "Dh", "H"]"#, Load("h.0.attn.scores")),
    ("02-qkv.toml", r#"["B", "S", "H", "Dh"]"#, r#"["B", "H", "S", "Dh"]"#, Load("h.0.attn.q")),
    ("04-attention-scores.toml", r#"["B", "H", "S", "K"]"#, r#"["B", "H", "K", "S"]"#, Load("h.0.attn.scores")),
    ("04-attention-scores.toml", r#"["B", "S", "K"]"#, r#"["B", "S", "C"]"#, Load("h.{l}.attn.mask")),
    ("08-logits.toml", r#"["B", "S", "V"]"#, r#"["B", "S", "D"]"#, Load("logits")),
    ("family.toml", r#"logits = "logits""#, r#"logits = "logitz""#, Load("there is no activation `logitz`")),
];

fn edited(file: &str, from: &str, to: &str) -> Result<SpecSet, SpecError> {
    let mut sources = SpecSet::sources("gpt2").unwrap();
    let (_, text) = sources.iter_mut().find(|(name, _)| name == file).unwrap();
    assert!(text.contains(from), "{file} holds no {from:?}");
    *text = text.replacen(from, to, 1);
    // Where faults sit follows from the graph as it should be, and is not what is asked about here.
    sources.iter_mut().for_each(|(_, text)| *text = without_places(text));
    SpecSet::parse(sources)
}

fn without_places(text: &str) -> String {
    let Ok(mut table) = toml::from_str::<toml::Table>(text) else { return text.to_owned() };
    let faults = table.get_mut("fault").and_then(toml::Value::as_array_mut);
    for fault in faults.into_iter().flatten().filter_map(toml::Value::as_table_mut) {
        fault.remove("places");
    }
    toml::to_string(&table).unwrap()
}

/// The captures as they are, by specs that are not.
fn under(specs: SpecSet) -> Scene {
    let mut scene = CORRECT.clone();
    scene.model.as_mut().unwrap().graph = specs.graph();
    Scene { specs, ..scene }
}

fn refused(edits: &[Edit]) {
    for (file, from, to, by) in edits {
        let what = format!("{file}: {from} → {to}");
        match (edited(file, from, to), by) {
            (Err(error), Load(said)) => assert!(error.to_string().contains(said), "{what}: {error}"),
            (Ok(specs), Quorum(activation)) => {
                let results = under(specs).results();
                assert_eq!(results.quorum.verdict, Verdict::Error, "{what}");
                assert!(results.checkpoints.iter().all(|found| found.verdict == Verdict::Error), "{what}");
                let disagreement = results.quorum.disagreement.unwrap();
                assert!(disagreement.message.contains("first@f64 against graph@f64"), "{what}");
                let tensor = disagreement.tensor.trim_start_matches("step0/");
                assert_eq!(tensor, *activation, "{what}");
            }
            (Err(error), Quorum(_)) => panic!("{what} does not load: {error}"),
            (Ok(_), Load(_)) => panic!("{what} loads"),
        }
    }
}

#[test]
fn a_wrong_edge_is_refused() {
    refused(&EDGES);
}

#[test]
fn a_wrong_weight_part_or_layout_is_refused() {
    refused(&WEIGHTS);
}

#[test]
fn a_wrong_number_or_shape_is_refused() {
    refused(&NUMBERS_AND_SHAPES);
}

#[test]
fn another_constant_that_the_model_has_is_refused_by_the_quorum() {
    let mut sources = SpecSet::sources("gpt2").unwrap();
    for (file, text) in &mut sources {
        match file.as_str() {
            "family.toml" => {
                *text =
                    text.replacen("[constants]", "[constants]\nrange = { path = \"initializer_range\" }", 1)
            }
            "01-layer-norm.toml" => *text = text.replacen("epsilon = \"epsilon\"", "epsilon = \"range\"", 1),
            _ => {}
        }
    }
    let mut scene = under(SpecSet::parse(sources).unwrap());
    scene.model.as_mut().unwrap().architecture.constants.insert("range".to_owned(), 0.02);
    let disagreement = scene.results().quorum.disagreement.unwrap();
    assert_eq!(disagreement.tensor, "step0/h.0.ln_1.normalized");
}

fn agrees(observation: &QuorumObservation) -> bool {
    matches!(&observation.outcome, Outcome::Compared { statistics, .. } if statistics.violations == 0)
}

/// Whether specs load, apply, and agree with the references.
fn survives(sources: Vec<(String, String)>) -> bool {
    let Ok(specs) = SpecSet::parse(sources) else { return false };
    let agreed = under(specs).each_case(|setting, evidence| {
        assay_references(setting, evidence, None).is_ok_and(|found| found.quorum.iter().all(agrees))
    });
    agreed.into_iter().all(|agreed| agreed)
}

/// The inputs of an operation, to be written anew.
fn inputs_of(op: &mut Operation) -> Vec<&mut String> {
    match op {
        Operation::Rows { ids: x, .. }
        | Operation::LayerNorm { x, .. }
        | Operation::RmsNorm { x, .. }
        | Operation::Linear { x, .. }
        | Operation::Cache { new: x }
        | Operation::Gelu { x, .. }
        | Operation::Silu { x }
        | Operation::Relu { x }
        | Operation::Last { x }
        | Operation::Argmax { x } => vec![x],
        Operation::Scores { q: x, k: y, .. }
        | Operation::WeightedValues { probs: x, values: y }
        | Operation::Mul { x, y }
        | Operation::Add { x, y } => vec![x, y],
        Operation::Rope { x, cos, sin, .. } => vec![x, cos, sin],
        Operation::Softmax { x, mask, .. } => std::iter::once(x).chain(mask).collect(),
        Operation::Mask { .. } | Operation::RopeTable { .. } => Vec::new(),
    }
}

/// The weights of an operation, to be written anew.
fn weights_of(op: &mut Operation) -> Vec<&mut String> {
    match op {
        Operation::Rows { table, positions, .. } => std::iter::once(table).chain(positions).collect(),
        Operation::LayerNorm { weight, bias, .. } => weight.iter_mut().chain(bias).collect(),
        Operation::RmsNorm { weight, .. } => weight.iter_mut().collect(),
        Operation::Linear { weight, bias, .. } => std::iter::once(weight).chain(bias).collect(),
        _ => Vec::new(),
    }
}

/// Replaces every name that operations have in those places by every other; how many were tried, and those that nothing
/// refuses.
fn survivors(
    specs: &SpecSet,
    places: impl Fn(&mut Operation) -> Vec<&mut String>,
    names: &BTreeSet<String>,
) -> (usize, Vec<String>) {
    let (mut tried, mut survivors) = (0, Vec::new());
    for (spec, activation, found) in specs.activations() {
        let count = found.op.clone().map_or(0, |mut op| places(&mut op).len());
        for (place, other) in (0..count).flat_map(|place| names.iter().map(move |other| (place, other))) {
            let mut wrong = specs.specs[spec].clone();
            let mut op = found.op.clone().unwrap();
            let right = std::mem::replace(places(&mut op).swap_remove(place), other.clone());
            if right == *other {
                continue;
            }
            wrong.activations[activation].op = Some(op);
            let mut sources = SpecSet::sources("gpt2").unwrap();
            let file = wrong.file_name();
            let (_, text) = sources.iter_mut().find(|(name, _)| *name == file).unwrap();
            *text = toml::to_string(&wrong).unwrap();
            tried += 1;
            if survives(sources) {
                survivors.push(format!("{}: {right} → {other}", found.name));
            }
        }
    }
    (tried, survivors)
}

#[test]
fn no_wrong_input_of_any_operation_survives_but_one_that_gives_the_same() {
    let specs = SpecSet::bundled("gpt2").unwrap();
    let activations = specs.activations().map(|(_, _, activation)| activation.name.clone());
    let mut names: BTreeSet<String> = activations.filter(|name| !name.starts_with("weights.")).collect();
    let across = ["embd | h.{l-1}.out", "embd | h.{l-1}.mid", "h.{L-1}.out", "h.{L-1}.mid"];
    names.extend(across.map(str::to_owned));
    let (tried, survivors) = survivors(&specs, inputs_of, &names);
    assert!(tried > 1000, "{tried}");
    // The most probable token is that of the largest logit, at any temperature.
    let same = ["probs.t0.5", "probs.t1", "probs.t2"].map(|probs| format!("token: logits.last → {probs}"));
    assert_eq!(survivors, same);
}

#[test]
fn no_wrong_weight_of_any_operation_survives() {
    let specs = SpecSet::bundled("gpt2").unwrap();
    let weights = specs.family.weights.iter().filter(|weight| weight.exists(&specs.features));
    let mut names: BTreeSet<String> = weights.map(|weight| weight.name.clone()).collect();
    let of_one_layer: Vec<String> = names.iter().map(|name| name.replace("{l}", "1")).collect();
    names.extend(of_one_layer);
    let (tried, survivors) = survivors(&specs, weights_of, &names);
    assert!(tried > 400, "{tried}");
    assert_eq!(survivors, Vec::<String>::new());
}
