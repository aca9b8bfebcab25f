//! Digests of files: what a run stood on, and what decides a kept capture.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use proof_bundle::Digest;

/// Digest and length of a file, read in pieces.
pub(crate) fn digest(path: &Path) -> Result<(Digest, u64)> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    Digest::of_reader(&mut file).with_context(|| path.display().to_string())
}

/// The digest of what `sha256sum` prints for the files, in their order.
pub(crate) fn digest_of_all(files: &[PathBuf]) -> Result<Digest> {
    let mut list = String::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        list += &format!("{}  {name}\n", digest(file)?.0);
    }
    Ok(Digest::of(list.as_bytes()))
}

/// The digest of a list of strings; no two lists have the same.
pub(crate) fn digest_of_parts(parts: &[&str]) -> Result<Digest> {
    Ok(Digest::of(&serde_json::to_vec(parts)?))
}

/// Files with one of the extensions below a folder, in order of path; build and cache folders are left out.
pub(crate) fn files_below(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && !name.starts_with(['.', '_']) {
                folders.push(path);
            } else if path.extension().and_then(|e| e.to_str()).is_some_and(|e| extensions.contains(&e)) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
