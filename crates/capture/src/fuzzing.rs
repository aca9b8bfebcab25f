//! What `cargo xtask fuzz` and the seeded tests of the readers share.

use std::fs;
use std::io::Write;

use rawzip::ZipArchiveWriter;
use safetensors::SafeTensors;

use crate::dump::{self, Dump, Limits};
use crate::{CaptureFile, TensorSource};

/// What a dump may hold that is fuzzed: little, so that a minute tries much.
const LIMITS: Limits = Limits {
    tensors: 256,
    tensor_bytes: 1 << 20,
    total_bytes: 4 << 20,
    expansion: 64,
    free_expansion: 1 << 20,
    description_bytes: 1 << 20,
};

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

/// Reads `bytes` as a dump of whatever format they are. Whether they are one: then every tensor is whole.
///
/// # Panics
/// If one is not, which is the finding; or if there is no temporary file to be had.
pub fn dump(bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("dump");
    fs::write(&path, bytes).expect("a file in it");
    let Ok(dump) = dump::read(&path, &LIMITS) else { return false };
    assert_whole(&dump);
    true
}

/// Reads `bytes` as the pickle of what `torch.save` wrote, beside storages of 24 f32 zeros.
///
/// # Panics
/// As [`dump`] does.
pub fn pickle(bytes: &[u8]) -> bool {
    let members = (0..30).map(|key| (format!("a/data/{key}"), [0; 96].as_slice()));
    let members = members.chain([("a/data.pkl".to_owned(), bytes)]);
    dump(&archive(members).expect("room for an archive"))
}

fn archive<'a>(members: impl Iterator<Item = (String, &'a [u8])>) -> Result<Vec<u8>, rawzip::Error> {
    let mut bytes = Vec::new();
    let mut archive = ZipArchiveWriter::new(&mut bytes);
    for (name, content) in members {
        let (mut entry, config) = archive.new_file(&name).start()?;
        let mut writer = config.wrap(&mut entry);
        writer.write_all(content)?;
        let (_, descriptor) = writer.finish()?;
        entry.finish(descriptor)?;
    }
    archive.finish()?;
    Ok(bytes)
}

fn assert_whole(dump: &Dump) {
    assert!(!dump.tensors.is_empty());
    for tensor in dump.tensors.values() {
        assert_eq!(tensor.elements(), tensor.shape.iter().product::<usize>());
        assert_eq!(tensor.bytes().len(), tensor.elements() * tensor.dtype.size());
        if let Ok(values) = tensor.to_f64() {
            assert_eq!(values.len(), tensor.elements());
        }
        assert!(tensor.to_i64().is_err() || !tensor.dtype.is_float());
    }
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
    use std::path::{Path, PathBuf};

    fn corpus(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name)
    }

    #[test]
    fn captures_are_refused_or_read_as_the_peer_reads_them() {
        let accepted = mutated_corpus::feed(&corpus("reader"), 400, super::reader).unwrap();
        assert!(accepted > 0, "nothing but refusals was tried");
    }

    #[test]
    fn dumps_are_refused_or_read_whole() {
        let accepted = mutated_corpus::feed(&corpus("dump"), 400, super::dump).unwrap();
        assert_eq!(accepted, 5);
    }

    #[test]
    fn pickles_are_refused_or_read_whole() {
        // Those of the other files say another size.
        let accepted = mutated_corpus::feed(&corpus("pickle"), 400, super::pickle).unwrap();
        assert_eq!(accepted, 2, "`nested` and `protocol_4`, whose storages have 24 elements");
    }
}
