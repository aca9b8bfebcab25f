//! The denominator, counted by hand; and the order.

use std::collections::{BTreeMap, BTreeSet};

use capture::{Case, DType, Precision};

use super::{Required, Traits, direct_inputs, matches_template, required};
use crate::Architecture;
use crate::spec::{SpecError, SpecSet, Steps};

const BARE: Traits = Traits { preallocated_cache: false, tokenizer: false };
const FULL: Traits = Traits { preallocated_cache: true, tokenizer: true };

fn specs() -> SpecSet {
    SpecSet::bundled("gpt2").unwrap()
}

fn architecture(layers: usize) -> Architecture {
    let sizes = [("C", 16), ("D", 6), ("H", 2), ("Dh", 3), ("F", 24), ("V", 10)];
    Architecture {
        family: "gpt2".to_owned(),
        layers,
        sizes: sizes.map(|(symbol, size)| (symbol.to_owned(), size)).into(),
        constants: BTreeMap::new(),
        features: std::collections::BTreeSet::new(),
    }
}

fn case(schedule: &[usize], generate: usize) -> Case {
    Case {
        id: "case".to_owned(),
        token_ids: vec![vec![1; schedule.iter().sum()]; 2],
        texts: Some(vec!["text".to_owned(); 2]),
        schedule: schedule.to_vec(),
        generate,
        forced: None,
    }
}

fn plan(layers: usize, case: &Case, traits: Traits) -> Vec<Required> {
    required(&specs(), &architecture(layers), case, traits, Precision::F32).unwrap()
}

fn names(plan: &[Required]) -> Vec<String> {
    plan.iter().map(|required| required.name.to_string()).collect()
}

#[test]
fn one_step_of_one_layer_in_order_of_execution() {
    let plan = plan(1, &case(&[3], 0), BARE);
    let of_step: Vec<String> =
        names(&plan).into_iter().filter_map(|name| name.strip_prefix("step0/").map(str::to_owned)).collect();
    assert_eq!(
        of_step,
        [
            "token_ids",
            "embd",
            "h.0.ln_1.normalized",
            "h.0.ln_1",
            "h.0.attn.q",
            "h.0.attn.k",
            "h.0.attn.v",
            "h.0.attn.cached_k",
            "h.0.attn.cached_v",
            "h.0.attn.scores",
            "h.0.attn.mask",
            "h.0.attn.probs",
            "h.0.attn.context",
            "h.0.attn.out",
            "h.0.mid",
            "h.0.ln_2.normalized",
            "h.0.ln_2",
            "h.0.mlp.fc",
            "h.0.mlp.act",
            "h.0.mlp.out",
            "h.0.out",
            "ln_f.normalized",
            "ln_f",
            "logits",
            "logits.last",
            "token",
            "probs.t0.5",
            "probs.t1",
            "probs.t2",
        ]
    );
    // 16 weights and the tied head stand before.
    assert_eq!(plan.len(), 17 + 29);
    assert_eq!(plan[0].name.to_string(), "weights.wte.weight");
}

#[test]
fn counts_are_those_counted_by_hand() {
    // A step: 19 activations in every layer and 10 outside.
    let step = |layers: usize| 19 * layers + 10;
    // The case: 12 weights in every layer, 4 outside, the tied head.
    let of_case = |layers: usize| 12 * layers + 5;
    for layers in [1, 2, 5] {
        let (one, three) = (case(&[3], 0), case(&[3, 1, 1], 4));
        assert_eq!(plan(layers, &one, BARE).len(), of_case(layers) + step(layers));
        assert_eq!(plan(layers, &one, FULL).len(), of_case(layers) + 1 + step(layers) + layers);
        assert_eq!(plan(layers, &three, BARE).len(), of_case(layers) + 3 * step(layers) + 2);
        // The prompt's ids once, the cache after the first and the last step.
        let full = of_case(layers) + 1 + 3 * step(layers) + 2 * layers + 2;
        assert_eq!(plan(layers, &three, FULL).len(), full);
    }
    assert_eq!(plan(2, &case(&[3, 1, 1], 4), FULL).len(), 180);
}

#[test]
fn prompt_ids_need_texts() {
    let mut case = case(&[3], 0);
    assert!(names(&plan(1, &case, FULL)).contains(&"prompt.ids".to_owned()));
    case.texts = None;
    assert!(!names(&plan(1, &case, FULL)).contains(&"prompt.ids".to_owned()));
}

#[test]
fn what_is_generated_comes_last_and_logits_first() {
    let plan = names(&plan(2, &case(&[3, 1], 4), FULL));
    assert_eq!(plan[plan.len() - 2..], ["generated.logits", "generated"]);
}

#[test]
fn every_activation_comes_after_its_inputs_and_layers_ascend() {
    let (specs, architecture, case) = (specs(), architecture(3), case(&[2, 1, 1], 2));
    let plan = required(&specs, &architecture, &case, FULL, Precision::F32).unwrap();
    let all: BTreeSet<_> = plan.iter().map(|required| required.name.clone()).collect();
    assert_eq!(all.len(), plan.len(), "a tensor is required twice");
    let (mut seen, mut last) = (BTreeSet::new(), (0, 0));
    for required in &plan {
        for input in direct_inputs(&specs, &architecture, &case, required) {
            assert!(seen.contains(&input), "{} comes before its input {input}", required.name);
        }
        seen.insert(required.name.clone());
        if let (Some(step), Some(layer)) = (required.name.step, required.layer) {
            assert!((step, layer) >= last, "{} comes after {last:?}", required.name);
            last = (step, layer);
        }
    }
}

#[test]
fn shapes_follow_from_the_positions_of_the_step() {
    let plan = plan(1, &case(&[3, 2], 4), FULL);
    let shape = |name: &str| {
        let required = plan.iter().find(|required| required.name.to_string() == name).unwrap();
        required.shape.dimensions().to_vec()
    };
    assert_eq!(shape("step0/h.0.attn.scores"), [2, 2, 3, 3]);
    assert_eq!(shape("step1/h.0.attn.scores"), [2, 2, 2, 5]);
    assert_eq!(shape("step1/h.0.attn.mask"), [2, 2, 5]);
    assert_eq!(shape("step1/h.0.attn.cached_k"), [2, 5, 2, 3]);
    assert_eq!(shape("step1/h.0.attn.cache"), [2, 2, 16, 2, 3]);
    assert_eq!(shape("step1/h.0.mlp.fc"), [2, 2, 24]);
    assert_eq!(shape("prompt.ids"), [2, 5]);
    assert_eq!(shape("generated"), [2, 4]);
    assert_eq!(shape("generated.logits"), [2, 4, 10]);
    assert_eq!(shape("step1/token"), [2]);
    assert_eq!(shape("weights.ln_f.bias"), [32]);
}

#[test]
fn dtypes_follow_from_kind_and_precision() {
    let case = case(&[1], 1);
    let plan = required(&specs(), &architecture(1), &case, FULL, Precision::F64).unwrap();
    for required in plan {
        let name = required.name.activation.as_str();
        let expected = match name {
            "token_ids" | "token" | "prompt.ids" | "generated" => DType::I64,
            "head.tied" => DType::U8,
            _ if name.starts_with("weights.") => DType::U8,
            _ => DType::F64,
        };
        assert_eq!(required.dtype, expected, "{name}");
    }
}

#[test]
fn inputs_are_resolved_by_layer_and_step() {
    let (specs, architecture, case) = (specs(), architecture(2), case(&[3, 1], 2));
    let plan = plan(2, &case, FULL);
    let inputs = |name: &str| -> Vec<String> {
        let required = plan.iter().find(|required| required.name.to_string() == name).unwrap();
        direct_inputs(&specs, &architecture, &case, required).iter().map(ToString::to_string).collect()
    };
    assert_eq!(inputs("step1/embd"), ["step1/token_ids"]);
    assert_eq!(inputs("step0/h.0.ln_1"), ["step0/embd"]);
    assert_eq!(inputs("step0/h.1.ln_1"), ["step0/h.0.out"]);
    assert_eq!(inputs("step0/h.0.attn.cached_k"), ["step0/h.0.attn.k"]);
    assert_eq!(inputs("step1/h.0.attn.cached_k"), ["step0/h.0.attn.cached_k", "step1/h.0.attn.k"]);
    assert_eq!(inputs("step0/h.0.attn.mask"), Vec::<String>::new());
    assert_eq!(inputs("step1/h.1.mid"), ["step1/h.0.out", "step1/h.1.attn.out"]);
    assert_eq!(inputs("step1/ln_f"), ["step1/h.1.out"]);
    assert_eq!(inputs("step0/h.0.attn.scores"), ["step0/h.0.attn.q", "step0/h.0.attn.cached_k"]);
    assert_eq!(inputs("step0/h.1.attn.probs"), ["step0/h.1.attn.scores", "step0/h.1.attn.mask"]);
    assert_eq!(
        inputs("step1/h.0.attn.cache"),
        ["step0/h.0.attn.cached_k", "step1/h.0.attn.k", "step0/h.0.attn.cached_v", "step1/h.0.attn.v"]
    );
    assert_eq!(inputs("generated.logits"), ["step1/logits.last"]);
    assert_eq!(inputs("generated"), ["generated.logits"]);
    assert_eq!(inputs("weights.wte.weight"), Vec::<String>::new());
}

#[test]
fn a_model_that_does_not_fit_is_an_error() {
    let reject = |architecture: &Architecture, expected: &str| {
        let error = required(&specs(), architecture, &case(&[1], 0), FULL, Precision::F32).unwrap_err();
        assert!(matches!(error, SpecError::Architecture { .. }));
        assert!(error.to_string().contains(expected), "{error}");
    };
    reject(&Architecture { layers: 0, ..architecture(1) }, "no layers");
    reject(&Architecture { family: "llama".to_owned(), ..architecture(1) }, "`llama`");
    let mut headless = architecture(1);
    headless.sizes.remove("Dh");
    reject(&headless, "gives no size `Dh`");
    let mut huge = architecture(1);
    huge.sizes.insert("V".to_owned(), usize::MAX / 2);
    reject(&huge, "more elements than memory");
}

#[test]
fn templates_match_their_own_layer_only() {
    assert!(matches_template("h.{l}.attn.q", "h.11.attn.q", Some(11)));
    assert!(!matches_template("h.{l}.attn.q", "h.1.attn.q", Some(11)));
    assert!(!matches_template("h.{l}.out", "h.1.attn.out", Some(1)));
    assert!(matches_template("ln_f", "ln_f", None));
    assert!(!matches_template("ln_f", "ln_f.normalized", None));
    assert!(!matches_template("h.{l}.out", "h.1.out", None));
}

#[test]
fn only_the_cache_is_left_out_between_first_and_last() {
    let specs = specs();
    let rare: Vec<&str> = specs
        .activations()
        .filter(|(_, _, activation)| activation.steps == Steps::FirstAndLast)
        .map(|(_, _, activation)| activation.name.as_str())
        .collect();
    assert_eq!(rare, ["h.{l}.attn.cache"]);
    let plan = names(&plan(1, &case(&[2, 1, 1], 0), FULL));
    let caches: Vec<&String> = plan.iter().filter(|name| name.ends_with(".cache")).collect();
    assert_eq!(caches, ["step0/h.0.attn.cache", "step2/h.0.attn.cache"]);
}
