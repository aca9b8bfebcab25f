//! What `cargo xtask fuzz` and the seeded tests of the reader share.

use std::fs;

use safetensors::SafeTensors;

use crate::{CaptureFile, TensorSource};

/// Opens `bytes` as a capture. Whether they are one: then its peer, the safetensors crate, must read the same from them.
///
/// # Panics
/// If it does not, which is the finding; or if there is no temporary file to be had.
pub fn reader(bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("capture.safetensors");
    fs::write(&path, bytes).expect("a file in it");
    let Ok(file) = CaptureFile::open(&path) else { return false };
    assert_consistent(&file, bytes);
    true
}

/// Whatever this crate accepts, its peer accepts, and reads the same from it.
pub(crate) fn assert_consistent(file: &CaptureFile, bytes: &[u8]) {
    let peer = SafeTensors::deserialize(bytes).expect("the peer refuses what was accepted");
    assert_eq!(peer.len(), file.names().len());
    for name in file.names() {
        let (dtype, shape) = file.layout(&name).expect("a name without a layout");
        let theirs = peer.tensor(&name.to_string()).expect("a name that the peer does not know");
        assert_eq!(theirs.shape(), shape.dimensions());
        assert_eq!(format!("{:?}", theirs.dtype()), dtype.name());
        match file.tensor(&name) {
            Ok(tensor) => assert_eq!(tensor.expect("a name without a tensor").bytes(), theirs.data()),
            Err(_) => assert_eq!(dtype.name(), "BOOL"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn a_corpus_and_its_versions_are_refused_or_read_as_the_peer_reads_them() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/reader");
        assert!(
            mutated_corpus::feed(&corpus, 400, super::reader).unwrap() > 0,
            "nothing but refusals was tried"
        );
    }
}
