use super::*;
use serde_json::json;

fn gpt2() -> Family {
    Family::parse(include_str!("../../families/gpt2/family.toml")).unwrap()
}

fn config() -> Value {
    json!({"n_layer": 2, "n_embd": 12, "n_head": 3, "n_positions": 8, "vocab_size": 20, "n_inner": null,
           "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new"})
}

#[test]
fn sizes_come_from_the_config_and_from_each_other() {
    let architecture = gpt2().architecture(&config()).unwrap();
    assert_eq!((architecture.layers, architecture.sizes["Dh"], architecture.sizes["F"]), (2, 4, 48));
    assert!((architecture.constants["epsilon"] - 1e-5).abs() <= 0.0);
    let weights = gpt2().weights(&architecture).unwrap();
    assert_eq!(weights["h.1.attn.c_attn.weight"], [12, 36]);
    assert_eq!(weights.len(), 4 + 2 * 12);
}

#[test]
fn what_changes_the_computation_is_refused_by_name() {
    let refused = |name: &str, value: Value| {
        let mut config = config();
        config[name] = value;
        gpt2().architecture(&config).unwrap_err().to_string()
    };
    for (name, value) in [
        ("activation_function", json!("silu")),
        ("model_type", json!("gpt_neo")),
        ("add_cross_attention", json!(true)),
        ("reorder_and_upcast_attn", json!(true)),
        ("quantization_config", json!({"bits": 4})),
    ] {
        assert!(refused(name, value).contains(name), "{name}");
    }
    assert!(refused("n_head", json!(5)).contains("Dh"));
    assert!(refused("n_embd", json!("wide")).contains("n_embd"));
}

#[test]
fn prefixes_and_buffers_are_no_part_of_a_name() {
    let family = gpt2();
    assert_eq!(family.canonical("transformer.h.0.ln_1.weight"), Some("h.0.ln_1.weight"));
    assert_eq!(family.canonical("h.0.attn.bias"), None);
    assert_eq!(family.canonical("h.0.attn.c_attn.bias"), Some("h.0.attn.c_attn.bias"));
}

#[test]
fn options_that_are_described_are_features() {
    let features = |name: &str, value: Value| {
        let mut config = config();
        config[name] = value;
        let architecture = gpt2().architecture(&config).unwrap();
        let weights = gpt2().weights(&architecture).unwrap().len();
        (architecture.features.into_iter().collect::<Vec<_>>().join(" "), weights)
    };
    for (name, value, expected, weights) in [
        ("activation_function", json!("gelu_new"), "", 28),
        ("activation_function", json!("gelu_pytorch_tanh"), "", 28),
        ("activation_function", json!("gelu"), "gelu-erf", 28),
        ("activation_function", json!("relu"), "relu", 28),
        ("scale_attn_weights", json!(false), "unscaled", 28),
        ("scale_attn_by_inverse_layer_idx", json!(true), "scaled-by-layer", 28),
        ("tie_word_embeddings", json!(false), "untied-head", 29),
        ("tie_word_embeddings", json!(null), "", 28),
    ] {
        assert_eq!(features(name, value.clone()), (expected.to_owned(), weights), "{name} {value}");
    }
}

#[test]
fn a_feature_that_is_not_declared_or_decided_by_nothing_does_not_load() {
    let text = include_str!("../../families/gpt2/family.toml");
    let problem = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Family::parse(&text.replacen(from, to, 1)).unwrap_err().to_string()
    };
    let undeclared = problem("when = [\"untied-head\"]", "when = [\"untied-tail\"]");
    assert!(undeclared.contains("`untied-tail`") && undeclared.contains("untied-head"), "{undeclared}");
    assert!(problem("is = [\"relu\"]", "otherwise = 1").contains("`relu`"));
    assert!(
        problem("any = [[{ path = \"activation_function\", is = [\"relu\"] }]]", "any = []")
            .contains("`relu`")
    );
    assert!(problem("name = \"relu\"", "name = \"ReLU\"").contains("`ReLU`"));
}
