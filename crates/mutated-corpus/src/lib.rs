//! What a stranger may write: the files of a committed corpus and changed versions of them, handed to a reader. It may
//! refuse them, and nothing else: a crash is the finding. The changes follow from a seed, so every machine tries the same.
//!
//! Architecture invariant: for tests alone; it knows no format. `cargo xtask fuzz` starts from the same corpora.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Changes of one version, at most.
const CHANGES: u64 = 6;

/// What readers trip over.
const WORDS: [&[u8]; 14] = [
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
    b"\x00\x00\xc0\x7f",
    b"\x00\x00\x00\x00\x00\x00\xf0\xff",
];

/// Hands every file of `corpus`, and `versions` changed versions of each, to `accepts`, which says whether it was
/// accepted. How many of the files were, as they are: where none is, nothing but refusals was tried.
///
/// # Errors
/// If the corpus cannot be read, or is empty.
pub fn feed(corpus: &Path, versions: u64, accepts: impl FnMut(&[u8]) -> bool) -> io::Result<usize> {
    let files: io::Result<Vec<_>> = files(corpus)?.into_iter().map(fs::read).collect();
    Ok(feed_all(&files?, versions, accepts))
}

/// The same for files that are made.
pub fn feed_all(files: &[Vec<u8>], versions: u64, mut accepts: impl FnMut(&[u8]) -> bool) -> usize {
    let mut accepted = 0;
    for (number, bytes) in (0..).zip(files) {
        accepted += usize::from(accepts(bytes));
        for version in 0..versions {
            let seed: u64 = number * versions + version;
            accepts(&changed(bytes, &mut ChaCha8Rng::seed_from_u64(seed)));
        }
    }
    accepted
}

fn files(corpus: &Path) -> io::Result<Vec<PathBuf>> {
    let entries: io::Result<Vec<_>> = fs::read_dir(corpus)?.map(|entry| Ok(entry?.path())).collect();
    let mut files = entries?;
    files.sort();
    if files.is_empty() {
        return Err(io::Error::other(format!("{}: no file found; a corpus expected", corpus.display())));
    }
    Ok(files)
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

/// A number below `bound`, which is at least 1.
fn below(random: &mut ChaCha8Rng, bound: usize) -> usize {
    let bound = bound as u64;
    usize::try_from(random.next_u64() % bound).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn corpus(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, bytes)| fs::write(folder.path().join(name), bytes).unwrap());
        folder
    }

    #[test]
    fn a_reader_gets_each_file_and_other_versions_of_it() {
        let folder = corpus(&[("a", b"first file"), ("b", b"second file")]);
        let run = || {
            let mut seen = Vec::new();
            let accepted = feed(folder.path(), 50, |bytes| {
                seen.push(bytes.to_vec());
                bytes.starts_with(b"second file")
            });
            assert_eq!(accepted.unwrap(), 1);
            seen
        };
        let seen = run();
        assert_eq!(seen, run(), "the seed decides");
        assert_eq!((seen[0].as_slice(), seen[51].as_slice()), (&b"first file"[..], &b"second file"[..]));
        assert!(seen.iter().collect::<BTreeSet<_>>().len() > 80, "the versions differ");
    }

    #[test]
    fn an_empty_or_absent_corpus_is_an_error() {
        let folder = corpus(&[]);
        assert!(feed(folder.path(), 1, |_| true).is_err());
        assert!(feed(&folder.path().join("absent"), 1, |_| true).is_err());
    }
}
