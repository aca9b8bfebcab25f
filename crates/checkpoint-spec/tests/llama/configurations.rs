//! Small models of the family, each with something that others have not.

use serde_json::{Value, json};

/// A configuration with other fields.
pub(crate) fn changed(config: &Value, fields: &[(&str, Value)]) -> Value {
    let mut config = config.clone();
    for (name, value) in fields {
        config[*name] = value.clone();
    }
    config
}

/// As transformers 5 writes it.
pub(crate) fn llama() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "vocab_size": 31, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}, "tie_word_embeddings": false,
        "attention_bias": false, "mlp_bias": false, "pretraining_tp": 1,
    })
}

fn of(model_type: &str, class: &str, fields: &[(&str, Value)]) -> Value {
    let own = [("model_type", json!(model_type)), ("architectures", json!([class]))];
    changed(&changed(&llama(), &own), fields)
}

pub(crate) fn all() -> [(&'static str, Value); 8] {
    let llama3 = json!({"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 8.0, "low_freq_factor": 1.0,
                        "high_freq_factor": 4.0, "original_max_position_embeddings": 16});
    let linear = json!({"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0});
    let wide = json!({"rope_type": "default", "rope_theta": 1_000_000.0});
    let qwen2 = [
        ("tie_word_embeddings", json!(true)),
        ("rms_norm_eps", json!(1e-6)),
        ("rope_parameters", wide.clone()),
        ("use_sliding_window", json!(false)),
        ("sliding_window", json!(null)),
    ];
    let window = [
        ("use_sliding_window", json!(true)),
        ("sliding_window", json!(5)),
        ("layer_types", json!(["sliding_attention", "sliding_attention"])),
    ];
    let qwen3 = [
        ("head_dim", json!(8)),
        ("rms_norm_eps", json!(1e-6)),
        ("rope_parameters", wide),
        ("use_sliding_window", json!(false)),
    ];
    let of_qwen2 = of("qwen2", "Qwen2ForCausalLM", &qwen2);
    [
        ("llama", llama()),
        ("llama3", changed(&llama(), &[("rope_parameters", llama3)])),
        ("linear", changed(&llama(), &[("rope_parameters", linear)])),
        ("attention-bias", changed(&llama(), &[("attention_bias", json!(true))])),
        ("mistral", of("mistral", "MistralForCausalLM", &[("sliding_window", json!(7))])),
        ("qwen2", of_qwen2.clone()),
        ("qwen2-window", changed(&of_qwen2, &window)),
        ("qwen3", of("qwen3", "Qwen3ForCausalLM", &qwen3)),
    ]
}
