//! Keys of people who sign, made with `ssh-keygen` when the first is needed.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{LazyLock, Mutex};

use proof_bundle::NAMESPACE;
use tempfile::TempDir;

static KEYS: LazyLock<Mutex<(TempDir, BTreeMap<String, PathBuf>)>> =
    LazyLock::new(|| Mutex::new((tempfile::tempdir().unwrap(), BTreeMap::new())));

/// Somebody's private key.
pub(crate) fn key(who: &str) -> PathBuf {
    let mut keys = KEYS.lock().unwrap();
    let path = keys.0.path().join(who);
    let made = || {
        let arguments = ["-q", "-t", "ed25519", "-N", "", "-C", who, "-f"];
        assert!(Command::new("ssh-keygen").args(arguments).arg(&path).status().unwrap().success());
        path.clone()
    };
    keys.1.entry(who.to_owned()).or_insert_with(made).clone()
}

/// A file of signers that allows them and nobody else.
pub(crate) fn allowed(who: &str) -> PathBuf {
    let key = key(who);
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let path = key.with_extension("allowed");
    fs::write(&path, format!("{who}@example.org namespaces=\"{NAMESPACE}\" {public}")).unwrap();
    path
}
