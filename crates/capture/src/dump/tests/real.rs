//! What NumPy, safetensors and PyTorch write is read as they have it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{fixture, read_fixture};
use crate::dump::{Dump, DumpTensor, Limits, read_raw};

#[derive(Deserialize)]
struct Expected {
    dtype: String,
    shape: Vec<usize>,
    values: Vec<f64>,
}

fn expected() -> BTreeMap<String, BTreeMap<String, Expected>> {
    serde_json::from_str(&std::fs::read_to_string(fixture("expected.json")).unwrap()).unwrap()
}

fn assert_same(file: &str, found: &DumpTensor, expected: &Expected) {
    assert_eq!((found.dtype.name(), &found.shape), (expected.dtype.as_str(), &expected.shape), "{file}");
    assert_eq!(found.elements(), expected.values.len());
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&found.to_f64().unwrap()), bits(&expected.values), "{file}");
}

fn assert_dump(file: &str, dump: &Dump, expected: &BTreeMap<String, Expected>) {
    assert!(dump.tensors.keys().eq(expected.keys()), "{file}: {:?}", dump.tensors.keys());
    for (name, tensor) in &dump.tensors {
        assert_same(&format!("{file}, {name}"), tensor, &expected[name]);
    }
}

#[test]
fn files_are_read_as_their_library_has_them() {
    let expected = expected();
    assert!(expected.len() >= 20, "{}", expected.len());
    for (file, expected) in &expected {
        let dump = if file.ends_with(".f32") {
            read_raw(&fixture(file), &[2, 3, 4], &Limits::default())
        } else {
            read_fixture(file)
        };
        assert_dump(file, &dump.unwrap(), expected);
    }
}

#[test]
fn what_is_no_tensor_is_noted() {
    for (file, notes) in [
        ("arrays.npz", &["\"prompt\" was not read: an array of \"<U7\""][..]),
        ("sharded", &["model.safetensors.index.json: was not read"]),
        (
            "nested.pt",
            &[
                "\"step\" was not read: an integer",
                "\"prompt\" was not read: text",
                "\"nothing\" was not read: nothing (None)",
                "\"dtype\" was not read: a type",
                "\"size\" was not read: a size",
                "\"device\" was not read: a device",
            ],
        ),
        ("sglang.pt", &["\"meta.name\" was not read: text", "\"meta.layer_id\" was not read: an integer"]),
        ("dict.pt", &[]),
    ] {
        let found = read_fixture(file).unwrap().notes;
        assert_eq!(found.len(), notes.len(), "{file}: {found:?}");
        for (found, note) in found.iter().zip(notes) {
            assert!(found.contains(note), "{file}: {found}");
        }
    }
}

#[test]
fn files_that_are_more_than_tensors_are_refused_by_name() {
    for (file, reason) in [
        ("executes.pt", "posix.system"),
        ("executes.pkl", "a pickle"),
        ("whole_module.pt", "torch.nn.modules.container.Sequential"),
        ("legacy.pt", "before PyTorch 1.6"),
        ("expected.json", "none of the formats"),
        ("absent.npz", "No such file"),
    ] {
        let error = read_fixture(file).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(file), "{error}");
    }
    assert!(!fixture("executed").exists());
}
