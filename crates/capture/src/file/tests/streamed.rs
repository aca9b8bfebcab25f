use std::fs;
use std::os::unix::fs::MetadataExt;

use super::{identity, place, read_all, sample};
use crate::{CaptureFile, CaptureWriter, Sink, Tensor, TensorName, write};

#[test]
fn what_is_streamed_has_the_bytes_of_what_is_written_at_once() {
    let (_directory, path) = place();
    write(&path, &identity(), &sample()).unwrap();
    let streamed = path.with_extension("streamed");
    for backwards in [false, true] {
        let sample = sample();
        let mut tensors: Vec<_> = sample.tensors.iter().collect();
        if backwards {
            tensors.reverse();
        }
        let mut capture = CaptureWriter::create(&streamed).unwrap();
        for (name, tensor) in tensors {
            capture.put(name.clone(), tensor.view(), !sample.not_contiguous.contains(name));
        }
        capture.finish(&identity()).unwrap();
        assert_eq!(fs::read(&streamed).unwrap(), fs::read(&path).unwrap());
    }
}

#[test]
fn what_is_not_finished_leaves_nothing() {
    let (directory, path) = place();
    let mut capture = CaptureWriter::create(&path).unwrap();
    let tensor = Tensor::from_f32(&[1], &[1.0]).unwrap();
    capture.put(TensorName::of_case("x"), tensor.view(), true);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    capture.put(TensorName::of_case("x"), tensor.view(), true);
    let error = capture.finish(&identity()).unwrap_err().to_string();
    assert!(error.contains("`x` comes twice"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// Longer than what is written at once, and not a multiple of a block.
#[test]
fn zeros_take_no_space_and_are_read_back() {
    let (_directory, path) = place();
    let mut values = vec![0.0f32; 1_500_001];
    for index in [700_000, 1_048_575] {
        values[index] = 1.0;
    }
    let mut sample = sample();
    for (name, values) in [("a", &values[..]), ("z", &values[..1_048_570])] {
        let tensor = Tensor::from_f32(&[values.len()], values).unwrap();
        sample.tensors.insert(TensorName::of_case(name), tensor);
    }
    write(&path, &identity(), &sample).unwrap();
    let found = read_all(&CaptureFile::open(&path).unwrap()).unwrap();
    assert_eq!(found.tensors[&TensorName::of_case("a")], sample.tensors[&TensorName::of_case("a")]);
    assert_eq!(found.tensors[&TensorName::of_case("z")], sample.tensors[&TensorName::of_case("z")]);
    let metadata = fs::metadata(&path).unwrap();
    assert!(metadata.blocks() * 512 < 1 << 20, "{} of {} bytes", metadata.blocks() * 512, metadata.len());
}
