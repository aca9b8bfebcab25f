//! Models that cannot be used: told of before a reference is started.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::scene::{Scene, Told};

/// References that leave a trace of having been started.
fn watchful() -> Scene {
    Scene::with_worker("touch started; exit 1")
}

/// Runs the model in `model`, which must be refused with these words before anything is started.
#[track_caller]
fn assert_refused(scene: &Scene, arguments: &[&str], parts: &[&str]) {
    let told: Told = scene.checkpoint(&[&["all"], arguments].concat());
    told.assert_error(64, parts);
    assert!(!scene.at("started").exists(), "a reference was started: {told:?}");
    scene.assert_nothing_left();
}

/// Refusal of the tiny model after a change to its directory.
#[track_caller]
fn assert_spoilt(spoil: impl FnOnce(&Path), parts: &[&str]) {
    let scene = watchful();
    spoil(&scene.model("model"));
    assert_refused(&scene, &["--model", "model"], &[&["/model"], parts].concat());
}

fn change_config(directory: &Path, change: impl FnOnce(&mut Value)) {
    let path = directory.join("config.json");
    let mut config = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut config);
    fs::write(path, config.to_string()).unwrap();
}

fn change_weights(directory: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let path = directory.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Changes the header and its length, not the data.
fn change_header(directory: &Path, change: impl FnOnce(&mut Value)) {
    change_weights(directory, |bytes| {
        let length = 8 + usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
        let mut header = serde_json::from_slice(&bytes[8..length]).unwrap();
        change(&mut header);
        let header = header.to_string();
        let mut changed = (header.len() as u64).to_le_bytes().to_vec();
        changed.extend(header.as_bytes());
        changed.extend(&bytes[length..]);
        *bytes = changed;
    });
}

#[test]
fn no_model() {
    let scene = watchful();
    fs::write(scene.at("file"), "").unwrap();
    for model in ["nowhere", "file"] {
        assert_refused(&scene, &["--model", model], &[model, "config.json", "hf:OWNER/NAME"]);
    }
}

#[test]
fn files_that_are_not_there() {
    assert_spoilt(
        |model| fs::remove_file(model.join("config.json")).unwrap(),
        &["config.json: No such file"],
    );
    assert_spoilt(
        |model| fs::remove_file(model.join("model.safetensors")).unwrap(),
        &["neither model.safetensors nor model.safetensors.index.json", "safe_serialization=True"],
    );
}

#[test]
fn truncated_weights() {
    for keep in [0, 7, 100, 5000] {
        assert_spoilt(
            |model| change_weights(model, |bytes| bytes.truncate(keep)),
            &["model.safetensors: ", "bytes"],
        );
    }
    assert_spoilt(
        |model| change_weights(model, |bytes| bytes.truncate(bytes.len() - 1)),
        &["model.safetensors: "],
    );
}

#[test]
fn a_header_that_lies() {
    let told =
        |model: &Path, bytes: [u8; 8]| change_weights(model, |weights| weights[..8].copy_from_slice(&bytes));
    assert_spoilt(|model| told(model, u64::MAX.to_le_bytes()), &["model.safetensors: ", "header"]);
    assert_spoilt(|model| told(model, 1_000_000_000u64.to_le_bytes()), &["model.safetensors: ", "header"]);
    assert_spoilt(|model| change_weights(model, |bytes| bytes[8] = b'['), &["model.safetensors: "]);
    assert_spoilt(
        |model| change_header(model, |header| header["wte.weight"]["shape"] = json!([300, 9])),
        &["model.safetensors: ", "wte.weight"],
    );
    assert_spoilt(
        |model| change_header(model, |header| header["wte.weight"]["data_offsets"] = json!([0, u64::MAX])),
        &["model.safetensors: "],
    );
    assert_spoilt(
        |model| change_header(model, |header| header["wte.weight"]["dtype"] = json!("F99")),
        &["model.safetensors: ", "F99"],
    );
}

#[test]
fn a_config_that_contradicts_the_weights() {
    let spoil = |field: &'static str, value: usize| {
        move |model: &Path| change_config(model, |config| config[field] = json!(value))
    };
    assert_spoilt(spoil("n_embd", 16), &["`wte.weight` has shape [300, 8]", "config.json", "[300, 16]"]);
    assert_spoilt(spoil("n_layer", 2), &["no `h.1.", "config.json calls for"]);
    assert_spoilt(spoil("vocab_size", 299), &["`wte.weight` has shape [300, 8]", "[299, 8]"]);
    assert_spoilt(spoil("n_positions", 32), &["`wpe.weight` has shape [16, 8]", "[32, 8]"]);
    assert_spoilt(spoil("n_head", 3), &["model/config.json: there is no size `Dh`: D/H is no whole number"]);
    let scene = watchful();
    let model = scene.model_of("model", "2,8,2,300,16");
    change_config(&model, |config| config["n_layer"] = json!(1));
    assert_refused(
        &scene,
        &["--model", "model"],
        &["12 tensors that a GPT-2 of this config.json does not have"],
    );
}

#[test]
fn a_config_that_asks_for_another_model() {
    let other = |field: &'static str, value: Value| {
        move |model: &Path| change_config(model, |config| config[field] = value)
    };
    assert_spoilt(other("model_type", json!("mamba")), &["config.json: no specs", "`mamba`", "gpt2, llama"]);
    assert_spoilt(
        other("model_type", json!("llama")),
        &["config.json: `architectures` is \"GPT2LMHeadModel\"", "LlamaForCausalLM"],
    );
    assert_spoilt(
        other("activation_function", json!("silu")),
        &["`activation_function` is \"silu\", expected", "gelu_new"],
    );
    assert_spoilt(other("layer_norm_epsilon", json!(0)), &["`layer_norm_epsilon` is 0", "above 0"]);
    assert_spoilt(other("vocab_size", json!(-1)), &["config.json: ", "-1"]);
    assert_spoilt(|model| fs::write(model.join("config.json"), "{").unwrap(), &["config.json: ", "EOF"]);
}

#[test]
fn a_model_that_the_rust_gpt2_does_not_compute() {
    let scene = watchful();
    let model = scene.model_of("model", "1,8,2,300,16");
    change_config(&model, |config| config["activation_function"] = json!("relu"));
    assert_refused(
        &scene,
        &["--model", "model"],
        &["the Rust GPT-2 cannot run model", "activation_function is relu", "--subject torch"],
    );
}

#[test]
fn an_index_that_does_not_fit_its_shards() {
    let sharded = |shard: &'static str| {
        move |model: &Path| {
            fs::remove_file(model.join("model.safetensors")).unwrap();
            let index = json!({"weight_map": {"wte.weight": shard}});
            fs::write(model.join("model.safetensors.index.json"), index.to_string()).unwrap();
        }
    };
    assert_spoilt(sharded("gone.safetensors"), &["model/gone.safetensors: No such file"]);
    assert_spoilt(sharded("../elsewhere"), &["index.json: \"../elsewhere\" is not the name of a file"]);
}

#[test]
fn a_tokenizer_with_more_tokens_than_the_model() {
    let tokenizer = |highest: u32| {
        move |model: &Path| {
            let vocabulary = json!({"type": "WordLevel", "vocab": {"a": 0, "b": highest}, "unk_token": "a"});
            let tokenizer = json!({"version": "1.0", "added_tokens": [], "model": vocabulary});
            fs::write(model.join("tokenizer.json"), tokenizer.to_string()).unwrap();
        }
    };
    assert_spoilt(tokenizer(300), &["tokenizer.json: token id 300 found", "below 300", "remove the file"]);
    assert_spoilt(
        |model| fs::write(model.join("tokenizer.json"), "{}").unwrap(),
        &["tokenizer.json: not a tokenizer"],
    );
}

#[test]
fn a_context_too_short_for_the_case() {
    let scene = watchful();
    scene.model_of("model", "1,8,2,300,1");
    let arguments = ["--model", "model", "--case", "two-tokens"];
    assert_refused(&scene, &arguments, &["case `two-tokens`", "context limit is 1"]);
}

#[test]
fn a_variant_must_be_the_same_model() {
    let scene = watchful();
    scene.model("model");
    scene.model_of("other", "1,8,2,301,16");
    let arguments = ["--model", "model", "--subject-model", "other"];
    assert_refused(
        &scene,
        &arguments,
        &["--subject-model other", "301", "expected the architecture of model", "300"],
    );
    fs::write(scene.at("other/model.safetensors"), "").unwrap();
    assert_refused(&scene, &arguments, &["other/model.safetensors: "]);
}
