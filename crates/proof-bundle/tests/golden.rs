//! The bundle that is committed: small, sound, and in the format of today.

use std::fs;
use std::path::{Path, PathBuf};

/// All files together.
const LARGEST_BUNDLE: u64 = 3 << 20;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proof-bundles/golden")
}

#[test]
fn the_golden_bundle_verifies() {
    let verification = proof_bundle::verify(&golden()).unwrap();
    assert!(
        verification.exit_code == 0,
        "the golden bundle does not verify: {:#?}\nwhere specs or records have changed on purpose, \
         `cargo xtask bundle golden` makes it anew",
        verification.lines
    );
}

#[test]
fn the_golden_bundle_is_small() {
    let (mut bytes, mut folders) = (0, vec![golden()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                bytes += metadata.len();
            }
        }
    }
    assert!(bytes > 0 && bytes <= LARGEST_BUNDLE, "{bytes} bytes");
}
