use super::Config;

const PLAIN: &str =
    r#"{"n_layer":2,"n_embd":12,"n_head":3,"n_positions":8,"vocab_size":9,"layer_norm_epsilon":1e-5"#;

fn with(fields: &str) -> Result<Config, String> {
    Config::parse(&format!("{PLAIN},{fields}}}"))
}

fn refusal(fields: &str) -> String {
    with(fields).unwrap_err()
}

#[test]
fn sizes_are_read() {
    let config = with(r#""n_inner":null,"n_ctx":8,"resid_pdrop":0.1"#).unwrap();
    let expected =
        Config { layers: 2, width: 12, heads: 3, context: 8, vocabulary: 9, inner: 48, epsilon: 1e-5 };
    assert_eq!(config, expected);
    assert_eq!(config.head_dim(), 4);
    assert_eq!(with(r#""n_inner":7"#).unwrap().inner, 7);
}

#[test]
fn what_does_not_change_the_result_is_accepted() {
    for fields in [
        r#""activation_function":"gelu_new""#,
        r#""activation_function":"gelu_pytorch_tanh""#,
        r#""reorder_and_upcast_attn":true"#,
        r#""scale_attn_weights":true,"model_type":"gpt2""#,
    ] {
        with(fields).unwrap();
    }
}

#[test]
fn what_would_change_the_result_is_refused() {
    for (fields, message) in [
        (r#""activation_function":"gelu""#, "activation_function is gelu; this model computes gelu_new"),
        (r#""model_type":"gpt_neo""#, "model_type is gpt_neo"),
        (r#""scale_attn_weights":false"#, "scale_attn_weights is false; this model computes true only"),
        (r#""scale_attn_by_inverse_layer_idx":true"#, "scale_attn_by_inverse_layer_idx is true"),
        (r#""add_cross_attention":true"#, "add_cross_attention is true"),
        (r#""tie_word_embeddings":false"#, "tie_word_embeddings is false"),
    ] {
        let found = refusal(fields);
        assert!(found.starts_with(message), "{found}");
    }
}

#[test]
fn contradictions_and_nonsense_are_refused() {
    assert_eq!(
        refusal(r#""n_ctx":9"#),
        "n_ctx is 9 and n_positions 8: they must agree, or n_ctx be left out"
    );
    assert_eq!(refusal(r#""n_inner":0"#), "n_inner is 0, expected 1 to 1048576");
    let parse = |from: &str, to: &str| Config::parse(&format!("{PLAIN}}}").replace(from, to)).unwrap_err();
    assert_eq!(parse(r#""n_head":3"#, r#""n_head":5"#), "n_embd 12 is not a multiple of n_head 5");
    assert_eq!(parse("1e-5", "-1e-5"), "layer_norm_epsilon is -0.00001, expected a number above 0");
    assert!(parse(r#""n_layer":2"#, r#""n_layer":99999999999"#).starts_with("n_layer is 99999999999"));
    assert!(parse(r#""n_layer":2,"#, "").contains("missing field `n_layer`"));
    assert!(parse(r#""n_layer":2"#, r#""n_layer":-2"#).contains("invalid value"));
    assert!(refusal(r#""n_layer":3"#).contains("duplicate field"));
}
