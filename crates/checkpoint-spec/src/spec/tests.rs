//! The bundled specs, and what must not pass for one.

use super::{SpecError, SpecSet};
use crate::Check;

fn bundled() -> SpecSet {
    SpecSet::bundled("gpt2").unwrap()
}

/// The bundled files with one text replaced in one of them; the replacement must have happened.
fn edited(file: &str, from: &str, to: &str) -> Result<SpecSet, SpecError> {
    let mut sources = SpecSet::sources("gpt2").unwrap();
    let (_, text) = sources.iter_mut().find(|(name, _)| name == file).unwrap();
    assert!(text.contains(from), "{file} holds no {from:?}");
    *text = text.replacen(from, to, 1);
    SpecSet::parse("gpt2", sources)
}

#[track_caller]
fn rejected(file: &str, from: &str, to: &str, expected: &str) {
    let message = edited(file, from, to).unwrap_err().to_string();
    assert!(message.contains(file), "{message:?} does not name {file}");
    assert!(message.contains(expected), "{message:?} does not say {expected:?}");
}

#[test]
fn the_bundled_specs_are_thirteen_and_consistent() {
    let names: Vec<String> =
        bundled().specs.iter().map(|spec| format!("{} {}", spec.id, spec.name)).collect();
    assert_eq!(
        names,
        [
            "00 foundation",
            "01 layer-norm",
            "02 qkv",
            "03 kv-cache",
            "04 attention-scores",
            "05 attention-output",
            "06 ffn",
            "07 block",
            "08 logits",
            "09 selected-logits",
            "10 argmax",
            "11 softmax-probs",
            "12 end-to-end",
        ]
    );
}

#[test]
fn every_check_is_bound_to_a_requirement() {
    let specs = bundled();
    for check in Check::ALL {
        let used = specs.specs.iter().flat_map(|spec| &spec.requirements).any(|r| r.check == check);
        assert!(used, "no requirement has the check {check:?}");
    }
}

#[test]
fn every_activation_of_the_design_is_there() {
    let specs = bundled();
    let weights = specs.activations().filter(|(_, _, a)| a.name.starts_with("weights.")).count();
    assert_eq!(weights, 16);
    let others: Vec<&str> = specs
        .activations()
        .map(|(_, _, activation)| activation.name.as_str())
        .filter(|name| !name.starts_with("weights."))
        .collect();
    assert_eq!(
        others,
        [
            "head.tied",
            "prompt.ids",
            "token_ids",
            "embd",
            "h.{l}.ln_1.normalized",
            "h.{l}.ln_1",
            "h.{l}.ln_2.normalized",
            "h.{l}.ln_2",
            "ln_f.normalized",
            "ln_f",
            "h.{l}.attn.q",
            "h.{l}.attn.k",
            "h.{l}.attn.v",
            "h.{l}.attn.cache",
            "h.{l}.attn.cached_k",
            "h.{l}.attn.cached_v",
            "h.{l}.attn.scores",
            "h.{l}.attn.mask",
            "h.{l}.attn.probs",
            "h.{l}.attn.context",
            "h.{l}.attn.out",
            "whole/h.{l}.attn.out",
            "h.{l}.mlp.fc",
            "h.{l}.mlp.act",
            "h.{l}.mlp.out",
            "whole/h.{l}.mlp.out",
            "h.{l}.mid",
            "h.{l}.out",
            "whole/h.{l}.out",
            "logits",
            "whole/logits",
            "logits.last",
            "token",
            "probs.t0.5",
            "probs.t1",
            "probs.t2",
            "generated.logits",
            "generated",
        ]
    );
}

#[test]
fn the_ceilings_are_those_of_the_design() {
    let specs = bundled();
    for (spec, _, activation) in specs.activations() {
        if let super::Rule::Classic { tolerance, .. } = activation.rule {
            let expected = match spec {
                1 => 1e-5,
                8 | 12 => 1e-3,
                11 => 1e-6,
                _ => 1e-4,
            };
            assert_eq!(tolerance.atol().to_bits(), f64::to_bits(expected), "{}", activation.name);
            assert!(tolerance.rtol() > 0.0 && tolerance.rtol() <= 1e-4, "{}", activation.name);
        }
    }
}

#[test]
fn goldens_belong_to_the_weights_of_gpt2_medium() {
    let specs = bundled();
    let [hello, answer] = &specs.specs[12].goldens[..] else { panic!("two goldens are published") };
    assert_eq!(
        format!("{}{}", hello.prompt, hello.continuation),
        "Hello. I'm a little late to the party, but"
    );
    assert!(answer.continuation.starts_with("\n\nThe answer is"));
    for name in [
        "hf:openai-community/gpt2-medium",
        "hf:gpt2-medium",
        "hf:gpt2-medium@6dcaa7a952f72f9298047fd5137cd6e4f05f41da",
    ] {
        assert!(hello.applies_to(name), "{name}");
    }
    for name in ["gpt2-medium", "synthetic:gpt2-medium", "hf:gpt2", "hf:gpt2-medium-x", "./gpt2-medium"] {
        assert!(!hello.applies_to(name), "{name}");
    }
}

#[test]
fn an_unknown_family_is_named() {
    let message = SpecSet::bundled("llama").unwrap_err().to_string();
    assert!(message.contains("`llama`") && message.contains("gpt2"), "{message}");
}

#[test]
fn files_may_come_in_any_order() {
    let mut sources = SpecSet::sources("gpt2").unwrap();
    sources.reverse();
    assert_eq!(SpecSet::parse("gpt2", sources).unwrap(), bundled());
}

#[test]
fn a_checkpoint_left_out_is_noticed() {
    let mut sources = SpecSet::sources("gpt2").unwrap();
    sources.remove(4);
    let message = SpecSet::parse("gpt2", sources).unwrap_err().to_string();
    assert!(message.contains("`05` stands where `04` must be"), "{message}");
    let mut sources = SpecSet::sources("gpt2").unwrap();
    sources.pop();
    let message = SpecSet::parse("gpt2", sources).unwrap_err().to_string();
    assert!(message.contains("12 checkpoints found, 13 expected"), "{message}");
    let message = SpecSet::parse("gpt2", Vec::new()).unwrap_err().to_string();
    assert!(message.contains("0 checkpoints found"), "{message}");
}

#[test]
fn syntax_errors_name_file_and_line() {
    rejected("02-qkv.toml", "kind = \"float\"", "kind = \"floaty\"", "line 13");
    rejected("02-qkv.toml", "replay = true", "replay = true\nreplays = true", "unknown field `replays`");
    rejected("02-qkv.toml", "check = \"distinct\"", "check = \"distincd\"", "unknown variant `distincd`");
    rejected("02-qkv.toml", "atol = 1e-4", "atol = -1e-4", "finite and at least 0");
    rejected("02-qkv.toml", "atol = 1e-4", "atol = nan", "finite and at least 0");
    rejected("02-qkv.toml", "rtol = 1e-5", "rtol = inf", "finite and at least 0");
    rejected("02-qkv.toml", "rtol = 1e-5", "rtol = 1e-5, slack = 1", "unknown field `slack`");
    rejected("02-qkv.toml", ", rtol = 1e-5", "", "missing field `rtol`");
    rejected("02-qkv.toml", "title =", "titel =", "unknown field `titel`");
    rejected("02-qkv.toml", "name = \"qkv\"", "name = \"qkv\"\nname = \"qkv\"", "duplicate key");
}

#[test]
fn names_ids_and_order_are_held() {
    rejected("02-qkv.toml", "name = \"qkv\"", "name = \"kqv\"", "02-kqv.toml");
    rejected("06-ffn.toml", "\"h.{l}.mlp.fc\"", "\"h.{l}.attn.q\"", "already an activation of 02");
    rejected("02-qkv.toml", "id = \"02.2\"", "id = \"02.3\"", "stands where `02.2` must be");
    rejected("02-qkv.toml", "\"h.{l}.attn.q\"\nshape", "\"h {l}\"\nshape", "a name is letters");
    rejected(
        "02-qkv.toml",
        "prerequisites = [\"01\"]",
        "prerequisites = [\"00\"]",
        "the inputs come from [\"01\"]",
    );
}

#[test]
fn shapes_and_values_must_make_sense() {
    rejected("02-qkv.toml", "\"Dh\"", "\"Dk\"", "unknown symbol `Dk`");
    rejected("03-kv-cache.toml", "[\"2\",", "[\"0\",", "unknown symbol `0`");
    rejected("12-end-to-end.toml", "\"N\", \"V\"", "\"S\", \"V\"", "only a step has");
    rejected("02-qkv.toml", "range = [-1000.0, 1000.0]", "range = [1.0, 1.0]", "is no range");
    rejected(
        "02-qkv.toml",
        "replay = true",
        "replay = true\nnon_finite = \"negative-infinity-after-query\"",
        "[…, S, K]",
    );
    rejected(
        "02-qkv.toml",
        "kind = \"classic\", atol = 1e-4, rtol = 1e-5",
        "kind = \"tie\"",
        "a tie rule for tokens",
    );
    let reason = "reason = \"a selection moves bits and computes nothing\"";
    rejected("09-selected-logits.toml", reason, "reason = \" \"", "`reason` is empty");
}

#[test]
fn inputs_must_exist_and_be_reachable() {
    rejected("02-qkv.toml", "\"h.{l}.ln_1\"", "\"h.{l}.ln_0\"", "there is no such activation");
    rejected(
        "08-logits.toml",
        "inputs = [\"h.{L-1}.out\"]",
        "inputs = [\"h.{l}.out\"]",
        "the last layer is `{L-1}`",
    );
    rejected("01-layer-norm.toml", "\"embd | h.{l-1}.out\"", "\"h.{l-1}.out\"", "a stand-in for layer 0");
    rejected(
        "06-ffn.toml",
        "inputs = [\"h.{l}.mlp.act\"]",
        "inputs = [\"whole/h.{l}.mlp.out\"]",
        "nobody's input",
    );
    rejected("06-ffn.toml", "inputs = [\"h.{l}.ln_2\"]", "inputs = [\"h.{l}.mlp.act\"]", "lead back to");
    rejected(
        "00-foundation.toml",
        "inputs = [\"token_ids\"]",
        "inputs = [\"head.tied\"]",
        "no input of a step",
    );
    rejected("10-argmax.toml", "inputs = [\"logits.last\"]\n", "", "what is replayed needs inputs");
}

#[test]
fn replays_and_composites_must_be_possible() {
    rejected("06-ffn.toml", "composite = true", "", "composites, and nothing else");
    rejected("06-ffn.toml", "replay = true\ncomposite = true", "composite = true", "needs `replay = true`");
    rejected("12-end-to-end.toml", "range =", "replay = true\nrange =", "occurs in every step");
    rejected(
        "06-ffn.toml",
        "[\"h.{l}.mlp.act\"]\n\n[[requirement]]\nid = \"06.7\"",
        "[\"whole/h.{l}.mlp.out\"]\n\n[[requirement]]\nid = \"06.7\"",
        "is a composite",
    );
}

#[test]
fn requirements_must_leave_nothing_out() {
    let agreement = "check = \"agreement\"\nof = [\"h.{l}.attn.q\", \"h.{l}.attn.k\", \"h.{l}.attn.v\"]";
    rejected(
        "02-qkv.toml",
        agreement,
        "check = \"agreement\"\nof = [\"h.{l}.attn.q\"]",
        "`h.{l}.attn.k` compared",
    );
    let finite = agreement.replace("agreement", "finite");
    rejected("02-qkv.toml", &finite, "check = \"finite\"\nof = [\"h.{l}.attn.q\"]", "scanned for NaN");
    let range = agreement.replace("agreement", "plausible-range");
    rejected(
        "02-qkv.toml",
        &range,
        "check = \"plausible-range\"\nof = [\"h.{l}.attn.q\"]",
        "held against its range",
    );
    let distinct = agreement.replace("agreement", "distinct");
    rejected(
        "02-qkv.toml",
        &distinct,
        "check = \"distinct\"\nof = [\"h.{l}.attn.q\"]",
        "differs from itself",
    );
    rejected("02-qkv.toml", &distinct, "check = \"distinct\"\nof = []", "`of` must name");
    rejected(
        "02-qkv.toml",
        &distinct,
        "check = \"distinct\"\nof = [\"h.{l}.attn.q\", \"ln_f\"]",
        "is no activation of this checkpoint",
    );
    rejected(
        "02-qkv.toml",
        &distinct,
        "check = \"residual-sum\"\nof = [\"h.{l}.attn.q\"]",
        "is no sum of inputs",
    );
    rejected(
        "00-foundation.toml",
        "check = \"agreement\"\nof = [\"token_ids\"]",
        "check = \"finite\"\nof = [\"token_ids\"]",
        "holds no floats",
    );
}

#[test]
fn a_requirement_needs_a_check() {
    rejected("06-ffn.toml", "check = \"gelu-tanh-form\"\n", "", "missing field `check`");
}

#[test]
fn goldens_must_say_something() {
    rejected("12-end-to-end.toml", "tokens = 10", "tokens = 0", "says nothing");
    rejected("12-end-to-end.toml", "prompt = \"Hello.\"", "prompt = \"\"", "`golden.prompt` is empty");
    let models = "models = [\"hf:openai-community/gpt2-medium\", \"hf:gpt2-medium\"]";
    rejected("12-end-to-end.toml", models, "models = []", "the names of its models");
}
