//! The second family: its models by their configuration, and what the graph computes against what plain loops do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod configurations;
mod plain;

use std::collections::BTreeMap;

use capture::Case;
use checkpoint_spec::{SpecSet, Traits, family_of, required};
use configurations::{all, changed, llama};
use graph::{Architecture, Family};
use oracle::{ApplyError, Array, Chain, Exact, Model, Operand, Weights};
use plain::Plain;
use serde_json::{Value, json};

fn family() -> Family {
    family_of(&llama()).unwrap()
}

fn refused(config: &Value) -> String {
    match family().architecture(config) {
        Ok(architecture) => panic!("{config} is accepted as {architecture:?}"),
        Err(error) => error.to_string(),
    }
}

/// In ±1, as name and index say.
fn uniform(name: &str, index: usize) -> f32 {
    let seed =
        name.bytes().fold(index as u64, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mixed = (seed ^ (seed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40;
    mixed as f32 / 8_388_608.0 - 1.0
}

fn weights(architecture: &Architecture) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let shapes = family().weights(architecture).unwrap();
    let fill = |(name, shape): (String, Vec<usize>)| {
        let count = shape.iter().product();
        let scale = if name.ends_with("norm.weight") { 0.2 } else { 0.4 };
        let mean = if name.ends_with("norm.weight") { 1.0 } else { 0.0 };
        let values = (0..count).map(|index| mean + scale * uniform(&name, index)).collect();
        (name, (shape, values))
    };
    shapes.into_iter().map(fill).collect()
}

fn model(config: &Value) -> Model {
    let architecture = family().architecture(config).unwrap();
    let specs = SpecSet::of_model(&architecture).unwrap();
    let weights = Weights::new(weights(&architecture));
    Model { graph: specs.graph(), architecture, weights }
}

#[test]
fn the_graph_computes_what_plain_loops_do_in_one_step_and_in_several() {
    for (name, config) in all() {
        let model = model(&config);
        model.graph.check(&model.architecture).unwrap();
        let plain = Plain { config: &config, weights: &weights(&model.architecture) };
        let rows: Vec<Vec<i64>> =
            (0..2).map(|row| (0..24).map(|position| (position * 7 + row * 5) % 31).collect()).collect();
        let expected: Vec<f64> = rows.iter().flat_map(|ids| plain.logits(ids)).flatten().collect();
        let largest = expected.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
        for schedule in [vec![24], vec![17, 1, 6]] {
            let mut chain = Chain::new(&model, Exact).unwrap();
            let (mut found, mut past): (Vec<Vec<f64>>, _) = (vec![Vec::new(); 2], 0);
            for new in schedule {
                let ids = rows.iter().flat_map(|row| row[past..past + new].to_vec()).collect();
                past += new;
                chain
                    .step::<ApplyError>(&Array { shape: vec![2, new], values: ids }, |node, value| {
                        if let ("logits", Operand::Floats(logits)) = (node.name.as_str(), value) {
                            let rows = logits.values.chunks(logits.values.len() / 2);
                            found.iter_mut().zip(rows).for_each(|(found, row)| found.extend(row));
                        }
                        Ok(())
                    })
                    .unwrap();
            }
            for (index, (found, expected)) in found.concat().iter().zip(&expected).enumerate() {
                assert!((found - expected).abs() <= 1e-12 * largest, "{name} {index}: {found} {expected}");
            }
        }
        assert!(largest > 0.5, "{name}: {largest} is no logit of a model that does something");
    }
}

#[test]
fn every_variant_requires_what_it_has_and_nothing_else() {
    let case = Case {
        id: "case".to_owned(),
        token_ids: vec![vec![1; 4]],
        texts: None,
        schedule: vec![3, 1],
        generate: 2,
        forced: None,
    };
    let traits = Traits { preallocated_cache: false, tokenizer: true };
    let counts = all().map(|(name, config)| {
        let architecture = family().architecture(&config).unwrap();
        let specs = SpecSet::of_model(&architecture).unwrap();
        let plan = required(&specs, &architecture, &case, traits, capture::Precision::F32).unwrap();
        (name, plan.len())
    });
    // Two layers: 9 weights in each and 3 outside, the tied head; 21 activations in each layer and 11 outside, in two
    // steps; what is generated. A tied head has a weight less, biases add 3 weights, norms of queries and keys 2 weights and 2
    // activations of each layer, a bias of the projection one weight.
    let plain = 2 * 9 + 3 + 1 + 2 * (2 * 21 + 11) + 2;
    let expected = [
        ("llama", plain),
        ("llama3", plain),
        ("linear", plain),
        ("attention-bias", plain + 2 * 4),
        ("mistral", plain),
        ("qwen2", plain + 2 * 3 - 1),
        ("qwen2-window", plain + 2 * 3 - 1),
        ("qwen3", plain + 2 * 2 + 2 * 2 * 2),
    ];
    assert_eq!(counts.to_vec(), expected.to_vec());
}

#[test]
fn features_follow_from_the_configuration() {
    let features = |config: &Value| {
        let architecture = family().architecture(config).unwrap();
        architecture.features.into_iter().collect::<Vec<_>>().join(" ")
    };
    let expected = [
        "theta-10000",
        "rope-llama3",
        "rope-linear theta-10000",
        "out-bias qkv-bias theta-10000",
        "theta-10000 window",
        "epsilon-1e-6 qkv-bias tied-head",
        "epsilon-1e-6 qkv-bias tied-head window",
        "epsilon-1e-6 qk-norm",
    ];
    for ((name, config), expected) in all().into_iter().zip(expected) {
        assert_eq!(features(&config), expected, "{name}");
    }
    let [_, _, _, _, (_, windowed), ..] = all();
    let mistral = |window: Value| features(&changed(&windowed, &[("sliding_window", window)]));
    assert_eq!(mistral(json!(null)), "theta-10000", "null is no window");
    let mut silent = windowed;
    silent.as_object_mut().unwrap().remove("sliding_window");
    assert_eq!(features(&silent), "theta-10000 window", "transformers' default is 4096");
}

#[test]
fn angles_are_read_from_configurations_of_both_generations() {
    let of = |rope: &[(&str, Value)]| {
        let mut config = llama();
        config.as_object_mut().unwrap().remove("rope_parameters");
        family().architecture(&changed(&config, rope)).unwrap()
    };
    let old = of(&[
        ("rope_theta", json!(500_000.0)),
        (
            "rope_scaling",
            json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                   "original_max_position_embeddings": 16}),
        ),
    ]);
    let [_, (_, new), ..] = all();
    assert_eq!(old, family().architecture(&new).unwrap());
    assert!((of(&[]).constants["theta"] - 10_000.0).abs() <= 0.0, "transformers' default");
    let linear = of(&[("rope_scaling", json!({"type": "linear", "factor": 2.0}))]);
    assert!(linear.features.contains("rope-linear"));
}

#[test]
fn what_changes_the_computation_and_is_not_described_is_refused_by_name() {
    let [(_, llama), _, _, _, _, (_, qwen2), ..] = all();
    let yarn = json!({"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0});
    let partial = json!({"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5});
    let mixed = json!(["full_attention", "sliding_attention"]);
    for (config, name, value) in [
        (&llama, "hidden_act", json!("gelu")),
        (&llama, "mlp_bias", json!(true)),
        (&llama, "pretraining_tp", json!(2)),
        (&llama, "quantization_config", json!({"bits": 4})),
        (&llama, "rope_parameters", yarn.clone()),
        (&llama, "rope_scaling", json!({"type": "dynamic", "factor": 2.0})),
        (&llama, "rope_parameters", partial),
        (&llama, "rope_parameters", json!({"full_attention": {"rope_theta": 1e4}})),
        (&llama, "partial_rotary_factor", json!(0.25)),
        (&llama, "model_type", json!("gemma")),
        (&llama, "architectures", json!(["Qwen3ForCausalLM"])),
        (&llama, "model_type", json!(null)),
    ] {
        let mut config = config.clone();
        if name == "rope_scaling" {
            config.as_object_mut().unwrap().remove("rope_parameters");
        }
        let message = refused(&changed(&config, &[(name, value)]));
        assert!(message.contains(name), "{name}: {message}");
    }
    let window = [("use_sliding_window", json!(true)), ("sliding_window", json!(8))];
    let windowed = changed(&qwen2, &window);
    assert!(refused(&windowed).contains("max_window_layers"), "28 layers without one by default");
    assert!(refused(&changed(&windowed, &[("max_window_layers", json!(1))])).contains("max_window_layers"));
    assert!(refused(&changed(&windowed, &[("layer_types", mixed)])).contains("layer_types"));
    let unused = json!(["sliding_attention", "sliding_attention"]);
    assert!(refused(&changed(&qwen2, &[("layer_types", unused)])).contains("layer_types"));
}

#[test]
fn every_combination_of_features_that_can_be_has_consistent_specs() {
    let sources = || SpecSet::sources("llama").unwrap();
    let names: Vec<String> = family().features.into_iter().map(|feature| feature.name).collect();
    for chosen in 0..1_u32 << names.len() {
        let features = names.iter().enumerate().filter(|(bit, _)| chosen >> bit & 1 == 1);
        let features: graph::Features = features.map(|(_, name)| name.clone()).collect();
        let both = features.contains("rope-linear") && features.contains("rope-llama3");
        let found = SpecSet::parse_for(sources(), &features);
        assert_eq!(found.is_err(), both, "{features:?}: {:?}", found.err());
    }
    let unknown: graph::Features = ["sandwich-norm".to_owned()].into();
    let message = SpecSet::parse_for(sources(), &unknown).unwrap_err().to_string();
    assert!(message.contains("sandwich-norm") && message.contains("qk-norm"), "{message}");
}

#[test]
fn a_family_is_found_by_what_the_configuration_says() {
    let name =
        |config: Value| family_of(&config).map(|family| family.name).map_err(|error| error.to_string());
    assert_eq!(name(json!({"model_type": "qwen3"})), Ok("llama".to_owned()));
    assert_eq!(name(json!({"model_type": "gpt2"})), Ok("gpt2".to_owned()));
    assert_eq!(name(json!({"architectures": ["GPT2LMHeadModel"]})), Ok("gpt2".to_owned()));
    let message = name(json!({"model_type": "mamba"})).unwrap_err();
    assert!(message.contains("`mamba`") && message.contains("gpt2, llama"), "{message}");
}
