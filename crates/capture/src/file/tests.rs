mod malformed;
mod mutations;
mod peer;
mod roundtrip;
mod streamed;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::{
    Capture, CaptureFile, DType, FileError, Identity, Precision, Shape, Tensor, TensorName, TensorSource,
    write,
};

fn identity() -> Identity {
    Identity {
        name: "rust".to_owned(),
        version: "0.1.0".to_owned(),
        precision: Precision::F32,
        device: "cpu".to_owned(),
    }
}

/// A capture with a tensor of each size of dtype, a scalar and an empty one.
fn sample() -> Capture {
    let bool_shape = Shape::new([3]).unwrap();
    let tensors = BTreeMap::from([
        (TensorName::of_case("head.tied"), Tensor::from_u8(&[1], &[1]).unwrap()),
        (TensorName::of_case("generated"), Tensor::from_i64(&[2, 1], &[-7, 50_256]).unwrap()),
        (TensorName::of_step(0, "embd"), Tensor::from_f32(&[1, 2, 2], &[1.0, -0.0, f32::NAN, 2.5]).unwrap()),
        (TensorName::of_step(10, "embd"), Tensor::from_f32(&[], &[3.0]).unwrap()),
        (TensorName::of_step(2, "embd"), Tensor::from_f32(&[0, 5], &[]).unwrap()),
        (TensorName::of_step(2, "flags"), Tensor::new(DType::Bool, bool_shape, vec![0, 1, 1]).unwrap()),
    ]);
    Capture { tensors, not_contiguous: BTreeSet::from([TensorName::of_step(0, "embd")]) }
}

/// A directory, and the path of a file in it that does not exist.
fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("capture.safetensors");
    (directory, path)
}

fn read_all(file: &CaptureFile) -> Result<Capture, FileError> {
    let mut tensors = BTreeMap::new();
    for name in file.names() {
        let tensor = file.tensor(&name)?.unwrap();
        assert_eq!(file.layout(&name), Some((tensor.dtype(), tensor.shape())));
        tensors.insert(name, tensor);
    }
    Ok(Capture { tensors, not_contiguous: file.not_contiguous().clone() })
}

#[test]
fn what_was_written_is_read() {
    let (_directory, path) = place();
    write(&path, &identity(), &sample()).unwrap();
    let file = CaptureFile::open(&path).unwrap();
    assert_eq!((file.path(), file.identity()), (path.as_path(), &identity()));
    assert_eq!(read_all(&file).unwrap(), sample());
    assert!(file.tensor(&TensorName::of_case("embd")).unwrap().is_none());
    assert!(file.layout(&TensorName::of_step(1, "embd")).is_none());
}

#[test]
fn the_bytes_are_as_specified() {
    let (_directory, path) = place();
    write(&path, &identity(), &sample()).unwrap();
    let bytes = fs::read(&path).unwrap();
    let header = concat!(
        r#"{"__metadata__":{"trialplate":"{\"schema\":\"trialplate/capture/1\",\"identity\":{\"name\":\"rust\","#,
        r#"\"version\":\"0.1.0\",\"precision\":\"f32\",\"device\":\"cpu\"},\"not_contiguous\":[\"step0/embd\"]}"},"#,
        r#""generated":{"dtype":"I64","shape":[2,1],"data_offsets":[0,16]},"#,
        r#""step0/embd":{"dtype":"F32","shape":[1,2,2],"data_offsets":[16,32]},"#,
        r#""step2/embd":{"dtype":"F32","shape":[0,5],"data_offsets":[32,32]},"#,
        r#""step10/embd":{"dtype":"F32","shape":[],"data_offsets":[32,36]},"#,
        r#""head.tied":{"dtype":"U8","shape":[1],"data_offsets":[36,37]},"#,
        r#""step2/flags":{"dtype":"BOOL","shape":[3],"data_offsets":[37,40]}}"#,
    );
    let start = 8 + header.len().next_multiple_of(8);
    assert_eq!(bytes[..8], (start as u64 - 8).to_le_bytes());
    assert_eq!(std::str::from_utf8(&bytes[8..start]).unwrap().trim_end_matches(' '), header);
    assert_eq!(bytes.len(), start + 40);
    assert_eq!(bytes[start..start + 8], (-7i64).to_le_bytes());
    assert_eq!(bytes[start + 36..], [1, 0, 1, 1]);
}

#[test]
fn the_same_capture_gives_the_same_bytes() {
    let (directory, path) = place();
    let again = directory.path().join("again");
    write(&path, &identity(), &sample()).unwrap();
    write(&again, &identity(), &sample()).unwrap();
    assert_eq!(fs::read(path).unwrap(), fs::read(again).unwrap());
}

#[test]
fn an_empty_capture_is_a_file_without_tensors() {
    let (_directory, path) = place();
    write(&path, &identity(), &Capture::default()).unwrap();
    let file = CaptureFile::open(&path).unwrap();
    assert!(file.names().is_empty());
}

#[test]
fn names_that_would_not_come_back_are_not_written() {
    let (_directory, path) = place();
    for name in ["", "a b", "step1/embd", "step1", "__metadata__", "α", "a\n"] {
        let name = TensorName::of_case(name);
        let tensors = BTreeMap::from([(name.clone(), Tensor::from_u8(&[1], &[1]).unwrap())]);
        let result = write(&path, &identity(), &Capture { tensors, ..Capture::default() });
        match name.activation.as_str() {
            "step1" => result.unwrap(),
            _ => assert!(matches!(result, Err(FileError::Malformed { .. })), "{name:?}"),
        }
    }
    let not_contiguous = BTreeSet::from([TensorName::of_case("nowhere")]);
    let result = write(&path, &identity(), &Capture { not_contiguous, ..sample() });
    assert!(result.unwrap_err().to_string().contains("`nowhere`"));
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let (directory, path) = place();
    fs::create_dir(&path).unwrap();
    assert!(matches!(write(&path, &identity(), &sample()), Err(FileError::Io { .. })));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    let nowhere = directory.path().join("missing/capture.safetensors");
    assert!(write(&nowhere, &identity(), &sample()).unwrap_err().to_string().contains("missing"));
}

#[test]
fn an_older_file_is_replaced_and_readable_like_any_new_file() {
    use std::os::unix::fs::PermissionsExt;

    let (directory, path) = place();
    fs::write(&path, "something else").unwrap();
    write(&path, &identity(), &sample()).unwrap();
    assert!(CaptureFile::open(&path).is_ok());
    let other = directory.path().join("other");
    fs::write(&other, "").unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&other));
}

#[test]
fn a_file_that_changes_its_length_is_not_read_further() {
    for change in [-1i64, 1] {
        let (_directory, path) = place();
        write(&path, &identity(), &sample()).unwrap();
        let file = CaptureFile::open(&path).unwrap();
        let length = fs::metadata(&path).unwrap().len();
        let handle = fs::OpenOptions::new().write(true).open(&path).unwrap();
        handle.set_len(length.saturating_add_signed(change)).unwrap();
        for name in file.names() {
            let error = file.tensor(&name).unwrap_err().to_string();
            assert!(error.contains("when it was opened"), "{error}");
        }
    }
}

#[test]
fn a_file_replaced_by_another_is_still_the_one_that_was_opened() {
    let (_directory, path) = place();
    write(&path, &identity(), &sample()).unwrap();
    let file = CaptureFile::open(&path).unwrap();
    write(&path, &identity(), &Capture::default()).unwrap();
    assert_eq!(read_all(&file).unwrap(), sample());
}
