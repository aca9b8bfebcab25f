//! What `cargo xtask fuzz` and the seeded tests of the bundle's readers share: what was once a manifest or a record may be
//! refused, and nothing else. No crash, no allocation on its word; and what is accepted has one spelling.

use capture::Case;
use checkpoint_spec::Results;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{bag, records};
use crate::Materials;
use crate::layout;

/// Whether the bytes are a manifest.
///
/// # Panics
/// If what was read is not written as it was, which is the finding; so it is below.
pub fn manifest(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    let Ok(entries) = bag::parse("m", text) else { return false };
    assert_eq!(layout::manifest(entries.iter().map(|(path, digest)| (path.as_str(), *digest))), text);
    true
}

/// Whether the bytes are a record of results.
pub fn results(bytes: &[u8]) -> bool {
    record::<Results>(bytes).is_some()
}

/// Whether the bytes are a record of what a run was made from.
pub fn materials(bytes: &[u8]) -> bool {
    record::<Materials>(bytes).is_some()
}

/// Whether the bytes are a case of a small model. One that can be read may still be none: that, too, must be found out
/// without a crash.
pub fn case(bytes: &[u8]) -> bool {
    record::<Case>(bytes).is_some_and(|case| case.validate(11, 12).is_ok())
}

fn record<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Option<T> {
    let text = text(bytes)?;
    let record = records::parse::<T>(text).ok()?;
    assert_eq!(layout::canonical(&record).ok().as_deref(), Some(text));
    Some(record)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Changed versions of every file of the corpus.
    const VERSIONS: u64 = 400;

    /// Feeds a reader, of whose corpus so many files are to be accepted: a seed of an older format tries little.
    #[track_caller]
    fn feed(reader: &str, expected: usize, accepts: impl FnMut(&[u8]) -> bool) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(reader);
        let accepted = mutated_corpus::feed(&folder, VERSIONS, accepts).unwrap();
        assert_eq!(accepted, expected, "files of {reader} that were accepted as they are");
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
        layout::canonical(&serde_json::from_value::<Results>(record).unwrap()).unwrap().into_bytes()
    }

    #[test]
    fn manifests() {
        feed("manifest", 3, manifest);
    }

    #[test]
    fn records_in_json() {
        feed("results", 3, results);
        assert_eq!(mutated_corpus::feed_all(&[golden_in_short()], VERSIONS, results), 1);
        feed("materials", 2, materials);
        feed("case", 2, case);
    }
}
