//! The `safetensors` crate reads what is written here, and the other way round.

use std::fs;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};

use super::{identity, place, sample};
use crate::{CaptureFile, DType, FileError, TensorName, WeightFile, write};

#[test]
fn the_peer_reads_captures() {
    let (_directory, path) = place();
    write(&path, &identity(), &sample()).unwrap();
    let bytes = fs::read(&path).unwrap();
    let theirs = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(theirs.len(), sample().tensors.len());
    for (name, tensor) in sample().tensors {
        let read = theirs.tensor(&name.to_string()).unwrap();
        assert_eq!(format!("{:?}", read.dtype()), tensor.dtype().name());
        assert_eq!((read.shape(), read.data()), (tensor.shape().dimensions(), tensor.bytes()));
        // Aligned in the file, so that whoever maps it can use the elements in place.
        let offset = read.data().as_ptr() as usize - bytes.as_ptr() as usize;
        assert_eq!(offset % tensor.dtype().size(), 0, "{name}");
    }
}

fn peer_file(metadata: Option<&[(&str, &str)]>) -> Vec<u8> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let metadata = metadata.map(|entries| entries.iter().map(owned).collect());
    let view = |dtype, shape: &[usize], bytes| TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
    let tensors = [
        ("wte.weight", view(Dtype::F32, &[2, 1], &[0, 0, 128, 63, 0, 0, 0, 64])),
        ("step0/odd name", view(Dtype::F16, &[3], &[0, 60, 0, 64, 0, 66])),
        ("h.0.ln_1.bias", view(Dtype::BF16, &[1], &[128, 63])),
        ("mask", view(Dtype::BOOL, &[1], &[1])),
    ];
    serialize(tensors, metadata).unwrap()
}

#[test]
fn weights_of_the_peer_are_read() {
    let (_directory, path) = place();
    fs::write(&path, peer_file(Some(&[("format", "pt"), ("other", "")]))).unwrap();
    let file = WeightFile::open(&path).unwrap();
    assert_eq!(file.names().collect::<Vec<_>>(), ["h.0.ln_1.bias", "mask", "step0/odd name", "wte.weight"]);
    assert_eq!(file.metadata()["format"], "pt");
    assert_eq!(file.tensor("wte.weight").unwrap().unwrap().view().to_f32().unwrap(), [1.0, 2.0]);
    let half = file.tensor("step0/odd name").unwrap().unwrap();
    assert_eq!((half.dtype(), half.view().to_f64_lossy()), (DType::F16, vec![1.0, 2.0, 3.0]));
    assert_eq!(file.tensor("h.0.ln_1.bias").unwrap().unwrap().view().to_f64_lossy(), [1.0]);
    assert_eq!(
        file.layout("wte.weight").map(|(dtype, shape)| (dtype, shape.dimensions())),
        Some((DType::F32, &[2, 1][..]))
    );
    assert!(file.tensor("wpe.weight").unwrap().is_none() && file.layout("wpe.weight").is_none());
}

#[test]
fn weights_of_the_peer_are_no_capture() {
    let (_directory, path) = place();
    fs::write(&path, peer_file(None)).unwrap();
    assert!(WeightFile::open(&path).unwrap().metadata().is_empty());
    assert!(matches!(CaptureFile::open(&path), Err(FileError::Malformed { .. })));
}

#[test]
fn a_capture_is_a_file_of_weights_too() {
    let (_directory, path) = place();
    write(&path, &identity(), &sample()).unwrap();
    let file = WeightFile::open(&path).unwrap();
    for (name, tensor) in sample().tensors {
        assert_eq!(file.tensor(&name.to_string()).unwrap(), Some(tensor));
    }
}

/// The peer takes the last of two tensors of one name, and ignores fields that it does not know.
#[test]
fn this_crate_is_stricter_than_its_peer() {
    let (_directory, path) = place();
    let a = r#""a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]"#;
    for header in [format!("{{{a}}},{a}}}}}"), format!("{{{a},\"extra\":1}}}}")] {
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[7]].concat();
        assert!(SafeTensors::deserialize(&bytes).is_ok(), "{header}");
        fs::write(&path, &bytes).unwrap();
        assert!(WeightFile::open(&path).is_err(), "{header}");
    }
}

#[test]
fn weights_may_be_listed_in_any_order_but_lie_without_holes() {
    let (_directory, path) = place();
    let write_offsets = |offsets: [(usize, usize); 2]| {
        let entry = |name: &str, (start, end): (usize, usize)| {
            format!(r#""{name}":{{"dtype":"U8","shape":[{}],"data_offsets":[{start},{end}]}}"#, end - start)
        };
        let header = format!("{{{},{}}}", entry("a", offsets[0]), entry("b", offsets[1]));
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[1, 2, 3]].concat();
        fs::write(&path, bytes).unwrap();
        WeightFile::open(&path)
    };
    let file = write_offsets([(2, 3), (0, 2)]).unwrap();
    assert_eq!(file.tensor("a").unwrap().unwrap().bytes(), [3]);
    assert_eq!(file.tensor("b").unwrap().unwrap().bytes(), [1, 2]);
    for offsets in [[(2, 3), (0, 1)], [(1, 3), (0, 2)], [(0, 3), (0, 3)], [(1, 2), (2, 3)]] {
        assert!(write_offsets(offsets).is_err(), "{offsets:?}");
    }
    assert_eq!(TensorName::parse("step0/odd name"), None);
}
