//! What was once a manifest, a record or a capture, changed at random: a reader may refuse it, and nothing else. No
//! crash, no allocation on its word; and what is accepted has one spelling.
//!
//! The corpus is `tests/corpus/`, a folder for each reader; the changes follow from a seed.

use std::fs;
use std::path::Path;

use capture::{CaptureFile, Case, TensorSource};
use checkpoint_spec::Results;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{bag, records};
use crate::Materials;
use crate::layout::{canonical, manifest};

/// Changed versions of every file of the corpus.
const VERSIONS: u64 = 400;
/// Changes of one version, at most.
const CHANGES: u64 = 6;
/// What readers of such formats trip over.
const WORDS: [&[u8]; 12] = [
    b"18446744073709551615",
    b"-1",
    b"1e999",
    b"null",
    b"{",
    b"]",
    b"\"",
    b"\\ud800",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"../",
];

/// Hands every file of a reader's corpus, and its changed versions, to the reader. At least one must be accepted as it
/// is, or nothing but refusals would be tried.
fn feed(reader: &str, accepts: impl FnMut(&[u8]) -> bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(reader);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    feed_all(reader, files.into_iter().map(|file| fs::read(file).unwrap()), accepts);
}

fn feed_all(reader: &str, seeds: impl IntoIterator<Item = Vec<u8>>, mut accepts: impl FnMut(&[u8]) -> bool) {
    let mut accepted = 0;
    for (number, bytes) in (0u64..).zip(seeds) {
        accepted += u32::from(accepts(&bytes));
        for version in 0..VERSIONS {
            accepts(&changed(&bytes, &mut ChaCha8Rng::seed_from_u64(number * VERSIONS + version)));
        }
    }
    assert!(accepted > 0, "no file of the corpus of {reader} is accepted");
}

fn changed(bytes: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.next_u64() % CHANGES {
        let at = below(random, bytes.len() + 1);
        let to = at + below(random, (bytes.len() - at).min(64) + 1);
        match random.next_u64() % 6 {
            0 if at < bytes.len() => bytes[at] ^= 1 << below(random, 8),
            1 if at < bytes.len() => bytes[at] = random.next_u64().to_le_bytes()[0],
            2 => drop(bytes.drain(at..to)),
            3 => {
                let twice = bytes[at..to].to_vec();
                drop(bytes.splice(at..at, twice));
            }
            4 => drop(bytes.splice(at..at, WORDS[below(random, WORDS.len())].iter().copied())),
            _ => bytes.truncate(at.max(bytes.len() / 2)),
        }
    }
    bytes
}

fn below(random: &mut ChaCha8Rng, bound: usize) -> usize {
    usize::try_from(random.next_u64() % bound as u64).unwrap()
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[test]
fn manifests() {
    feed("manifest", |bytes| {
        let Some(text) = text(bytes) else { return false };
        let Ok(entries) = bag::parse("m", text) else { return false };
        assert_eq!(manifest(entries.iter().map(|(path, digest)| (path.as_str(), *digest))), text);
        true
    });
}

#[test]
fn records_in_json() {
    feed("results", |bytes| text(bytes).is_some_and(|text| read::<Results>(text)));
    let golden = [golden_in_short()];
    feed_all("the golden bundle", golden, |bytes| text(bytes).is_some_and(|text| read::<Results>(text)));
    feed("materials", |bytes| text(bytes).is_some_and(|text| read::<Materials>(text)));
    feed("case", |bytes| {
        let case = text(bytes).and_then(|text| records::parse::<Case>(text).ok());
        // A case that can be read may still be none: that, too, must be found out without a crash.
        case.is_some_and(|case| case.validate(11, 12).is_ok())
    });
}

/// The record of the golden bundle, which is always of today, with two entries of every list.
fn golden_in_short() -> Vec<u8> {
    fn shorten(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Array(list) => {
                list.truncate(2);
                list.iter_mut().for_each(shorten);
            }
            serde_json::Value::Object(map) => map.values_mut().for_each(shorten),
            _ => {}
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proof-bundles/golden/data/results.json");
    let mut record = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    shorten(&mut record);
    canonical(&serde_json::from_value::<Results>(record).unwrap()).unwrap().into_bytes()
}

fn read<T: serde::de::DeserializeOwned + serde::Serialize>(text: &str) -> bool {
    let Ok(record) = records::parse::<T>(text) else { return false };
    assert_eq!(canonical(&record).unwrap(), text);
    true
}

#[test]
fn captures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture.safetensors");
    feed("capture", |bytes| {
        fs::write(&path, bytes).unwrap();
        let Ok(file) = CaptureFile::open(&path) else { return false };
        let held: usize = file.names().iter().map(|name| file.tensor(name).map_or(0, held)).sum();
        assert!(held <= bytes.len(), "{held} bytes of tensors in a file of {}", bytes.len());
        true
    });
}

fn held(tensor: Option<capture::Tensor>) -> usize {
    tensor.map_or(0, |tensor| tensor.bytes().len())
}
