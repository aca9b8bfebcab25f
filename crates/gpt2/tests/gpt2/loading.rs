//! What can be loaded, and how the rest is refused.

use std::collections::BTreeMap;
use std::path::Path;

use capture::{DType, Tensor, WeightFile};
use gpt2::Gpt2;
use ndarray::ArrayD;
use safetensors::tensor::TensorView;
use tempfile::TempDir;

use crate::cases::write;

const SPEC: &str = "2,12,2,17,8@3";

type Tensors = BTreeMap<String, Tensor>;

/// A model on disk, and its tensors in memory, to be changed and written again.
fn original() -> (TempDir, Tensors) {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), SPEC);
    let file = WeightFile::open(&directory.path().join("model.safetensors")).unwrap();
    let tensors = file.names().map(|name| (name.to_owned(), file.tensor(name).unwrap().unwrap())).collect();
    (directory, tensors)
}

fn save(path: &Path, tensors: &Tensors) {
    let views: Vec<_> = tensors
        .iter()
        .map(|(name, tensor)| {
            let dtype = match tensor.dtype() {
                DType::F32 => safetensors::Dtype::F32,
                DType::F16 => safetensors::Dtype::F16,
                DType::BF16 => safetensors::Dtype::BF16,
                DType::U8 => safetensors::Dtype::U8,
                other => panic!("{other} is not needed here"),
            };
            let shape = tensor.shape().dimensions().to_vec();
            (name.clone(), TensorView::new(dtype, shape, tensor.bytes()).unwrap())
        })
        .collect();
    safetensors::serialize_to_file(views, None, path).unwrap();
}

fn parameters(model: &Gpt2) -> BTreeMap<String, ArrayD<f32>> {
    model.parameters().into_iter().map(|(name, values)| (name, values.to_owned())).collect()
}

/// Loads the model after its weights have been replaced.
fn reload(directory: &TempDir, tensors: &Tensors) -> Result<Gpt2, String> {
    save(&directory.path().join("model.safetensors"), tensors);
    Gpt2::load(directory.path()).map_err(|error| error.to_string())
}

fn renamed(tensors: &Tensors) -> Tensors {
    tensors.iter().map(|(name, tensor)| (format!("transformer.{name}"), tensor.clone())).collect()
}

fn zeros(dimensions: &[usize]) -> Tensor {
    Tensor::from_f32(dimensions, &vec![0.0; dimensions.iter().product()]).unwrap()
}

#[test]
fn every_stored_tensor_arrives_where_it_belongs() {
    let (directory, tensors) = original();
    let model = Gpt2::load(directory.path()).unwrap();
    let loaded = parameters(&model);
    assert_eq!(loaded.keys().collect::<Vec<_>>(), tensors.keys().collect::<Vec<_>>());
    for (name, tensor) in &tensors {
        assert_eq!(loaded[name].shape(), tensor.shape().dimensions());
        assert_eq!(loaded[name].iter().copied().collect::<Vec<_>>(), tensor.view().to_f32().unwrap());
    }
    assert!(model.head_is_tied());
}

#[test]
fn spellings_of_the_same_model_load_alike() {
    let (directory, tensors) = original();
    let expected = parameters(&Gpt2::load(directory.path()).unwrap());
    let mut buffered = renamed(&tensors);
    buffered.insert("transformer.h.0.attn.bias".to_owned(), zeros(&[1, 1, 8, 8]));
    buffered.insert("transformer.h.1.attn.masked_bias".to_owned(), zeros(&[]));
    let mut headed = renamed(&tensors);
    headed.insert("lm_head.weight".to_owned(), tensors["wte.weight"].clone());
    for variant in [renamed(&tensors), buffered, headed] {
        let model = reload(&directory, &variant).unwrap();
        assert_eq!(parameters(&model), expected);
        assert!(model.head_is_tied());
    }
}

#[test]
fn half_precision_becomes_f32_exactly() {
    let (directory, tensors) = original();
    let f16 = |value: f32| half::f16::from_f32(value).to_le_bytes();
    let bf16 = |value: f32| half::bf16::from_f32(value).to_le_bytes();
    for (dtype, narrow) in [(DType::F16, &f16 as &dyn Fn(f32) -> [u8; 2]), (DType::BF16, &bf16)] {
        let narrowed: Tensors = tensors
            .iter()
            .map(|(name, tensor)| {
                let values = tensor.view().to_f32().unwrap();
                let bytes = values.into_iter().flat_map(narrow).collect();
                (name.clone(), Tensor::new(dtype, tensor.shape().clone(), bytes).unwrap())
            })
            .collect();
        let loaded = parameters(&reload(&directory, &narrowed).unwrap());
        for (name, tensor) in &narrowed {
            let found: Vec<f64> = loaded[name].iter().map(|&value| value.into()).collect();
            assert_eq!(found, tensor.view().to_f64_lossy(), "{name}");
        }
    }
}

/// Replaces the one file by two shards and an index.
fn shard(directory: &TempDir, tensors: &Tensors) -> serde_json::Value {
    let path = |name: &str| directory.path().join(name);
    std::fs::remove_file(path("model.safetensors")).unwrap();
    let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let mut map = BTreeMap::new();
    for (index, shard) in shards.into_iter().enumerate() {
        let part: Tensors = tensors
            .iter()
            .enumerate()
            .filter(|(position, _)| position % 2 == index)
            .map(|(_, (name, tensor))| (name.clone(), tensor.clone()))
            .collect();
        save(&path(shard), &part);
        map.extend(part.into_keys().map(|name| (name, shard)));
    }
    serde_json::json!({ "metadata": { "total_size": 1 }, "weight_map": map })
}

fn load_with_index(directory: &TempDir, index: &serde_json::Value) -> Result<Gpt2, String> {
    std::fs::write(directory.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    Gpt2::load(directory.path()).map_err(|error| error.to_string())
}

#[test]
fn shards_are_put_together() {
    let (directory, tensors) = original();
    let expected = parameters(&Gpt2::load(directory.path()).unwrap());
    let index = shard(&directory, &tensors);
    assert_eq!(parameters(&load_with_index(&directory, &index).unwrap()), expected);
}

#[test]
fn an_index_that_does_not_fit_its_shards_is_refused() {
    let (directory, tensors) = original();
    let index = shard(&directory, &tensors);
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut index = index.clone();
        change(&mut index["weight_map"]);
        load_with_index(&directory, &index).unwrap_err()
    };
    let elsewhere = refused(&|map| map["wte.weight"] = "../other.safetensors".into());
    assert!(elsewhere.contains("is not the name of a file beside the index"), "{elsewhere}");
    let unlisted = refused(&|map| {
        map.as_object_mut().unwrap().remove("wte.weight");
    });
    assert!(unlisted.contains("holds `wte.weight`, which is not listed for it"), "{unlisted}");
    let absent = refused(&|map| map["more"] = "model-00001-of-00002.safetensors".into());
    assert!(absent.contains("`more` is listed for model-00001-of-00002.safetensors"), "{absent}");
    let no_file = refused(&|map| map["more"] = "model-00003.safetensors".into());
    assert!(no_file.contains("model-00003.safetensors"), "{no_file}");
}

#[test]
fn wrong_weights_are_refused_by_name() {
    let (directory, tensors) = original();
    let refused = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = tensors.clone();
        change(&mut tensors);
        reload(&directory, &tensors).unwrap_err()
    };
    let insert = |name: &'static str, tensor: Tensor| {
        move |tensors: &mut Tensors| {
            tensors.insert(name.to_owned(), tensor.clone());
        }
    };
    for (error, message) in [
        (
            refused(&|tensors| {
                tensors.remove("h.1.mlp.c_fc.bias");
            }),
            "the weights hold no `h.1.mlp.c_fc.bias` of shape [48], which config.json calls for",
        ),
        (
            refused(&insert("h.0.attn.c_attn.weight", zeros(&[36, 12]))),
            "`h.0.attn.c_attn.weight` has shape [36, 12]; by config.json it must be [12, 36]",
        ),
        (
            refused(&insert("h.2.ln_1.weight", zeros(&[12]))),
            "1 tensors that a GPT-2 of this config.json does not have: h.2.ln_1.weight",
        ),
        (refused(&insert("transformer.ln_f.bias", zeros(&[12]))), "`ln_f.bias` is stored as `ln_f.bias` in "),
        (
            refused(&insert("ln_f.bias", Tensor::from_u8(&[12], &[0; 12]).unwrap())),
            "`ln_f.bias` is U8; F32, F16 and BF16 can be loaded",
        ),
        (
            refused(&insert("lm_head.weight", zeros(&[17, 12]))),
            "`lm_head.weight` differs from `wte.weight`, first in row 0",
        ),
    ] {
        assert!(error.contains(message), "{error}");
        assert!(error.contains(directory.path().to_str().unwrap()), "{error}");
    }
}

#[test]
fn one_different_value_in_the_head_is_found() {
    let (directory, mut tensors) = original();
    let mut values = tensors["wte.weight"].view().to_f32().unwrap();
    values[12 * 16 + 11] += 1e-6;
    tensors.insert("lm_head.weight".to_owned(), Tensor::from_f32(&[17, 12], &values).unwrap());
    assert!(reload(&directory, &tensors).unwrap_err().contains("first in row 16"));
}

#[test]
fn damaged_and_missing_files_are_refused() {
    let (directory, _) = original();
    let path = directory.path().join("model.safetensors");
    let load = || Gpt2::load(directory.path()).unwrap_err().to_string();
    let bytes = std::fs::read(&path).unwrap();
    for length in [0, 7, 8, 100, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert!(load().contains("model.safetensors"), "{length} bytes: {}", load());
    }
    std::fs::remove_file(&path).unwrap();
    assert!(load().contains("neither model.safetensors nor model.safetensors.index.json is there"));
    std::fs::write(directory.path().join("config.json"), "{").unwrap();
    assert!(load().contains("config.json: EOF while parsing"), "{}", load());
    std::fs::remove_file(directory.path().join("config.json")).unwrap();
    assert!(load().contains("config.json"), "{}", load());
}

#[test]
fn a_config_that_contradicts_the_weights_is_refused() {
    let (directory, _) = original();
    let path = directory.path().join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to, message) in [
        ("\"n_layer\": 2", "\"n_layer\": 3", "hold no `h.2.ln_1.weight`"),
        (
            "\"n_layer\": 2",
            "\"n_layer\": 1",
            "12 tensors that a GPT-2 of this config.json does not have: h.1.",
        ),
        (
            "\"vocab_size\": 17",
            "\"vocab_size\": 18",
            "`wte.weight` has shape [17, 12]; by config.json it must be [18, 12]",
        ),
        ("\"n_positions\": 8", "\"n_positions\": 1048576", "`wpe.weight` has shape [8, 12]"),
        ("\"n_inner\": null", "\"n_inner\": 24", "`h.0.mlp.c_fc.weight` has shape [12, 48]"),
    ] {
        assert!(text.contains(from));
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let error = Gpt2::load(directory.path()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
