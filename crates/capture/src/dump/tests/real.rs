//! What NumPy, safetensors and PyTorch write is read as they have it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use super::{fixture, read_fixture};
use crate::dump::{Dump, DumpTensor, Limits, read, read_raw};

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
        ("sharded", &[]),
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
        ("sglang_dumper", &["`meta` of 3 files of SGLang's dumper was not read"]),
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

#[test]
fn a_pipe_is_refused_or_noted_and_never_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.npy");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let refusal = |path: &Path| read(path, &Limits::default()).unwrap_err().to_string();
    assert!(refusal(&pipe).contains("neither a file nor a folder"));
    assert!(refusal(folder.path()).contains("pipe.npy: was not read: not a file"));
    assert!(
        read_raw(&pipe, &[1], &Limits::default()).unwrap_err().to_string().contains("not a regular file")
    );
}

#[test]
fn raw_values_must_be_as_many_as_the_shape_says() {
    for (shape, says) in [
        (&[2, 3, 5][..], "96 bytes, which are 24 values of f32; the shape [2, 3, 5] needs 120 bytes"),
        (&[usize::MAX, 2], "than memory can address"),
        (&[], "needs 4 bytes"),
    ] {
        let error = read_raw(&fixture("raw_2x3x4.f32"), shape, &Limits::default()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn limits_are_kept_by_name() {
    let limits = Limits { tensors: 3, ..Limits::default() };
    for (limits, says) in [
        (limits, "3 accepted"),
        (Limits { tensor_bytes: 100, ..Limits::default() }, "bytes of the tensor"),
        (Limits { total_bytes: 100, ..Limits::default() }, "bytes of all tensors"),
        (Limits { description_bytes: 100, ..Limits::default() }, "bytes of the member \"dict/data.pkl\""),
        (Limits { expansion: 0, free_expansion: 100, ..Limits::default() }, "would unpack to so many"),
    ] {
        let error = read(&fixture("dict.pt"), &limits).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
