//! The captures of references that are kept between runs: how many, and for how long.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use capture::protocol::Job;

use crate::events::Part;
use crate::implementation::{Implementation, Production};

/// Bytes that the cache may hold after a run.
pub const LIMIT: u64 = 10_000_000_000;

/// One kept file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// When it was used last.
    pub used: SystemTime,
}

/// What a cache holds, the file that was used longest ago first. Nothing where there is no such folder.
///
/// # Errors
/// If the folder cannot be read.
pub fn contents(folder: &Path) -> Result<Vec<Kept>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| folder.display().to_string())?,
    };
    let mut kept = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| folder.display().to_string())?;
        // A file that another run has just removed is no longer kept.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_file() {
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            kept.push(Kept { path: entry.path(), bytes: metadata.len(), used });
        }
    }
    kept.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    Ok(kept)
}

/// Says that a file was used now.
pub fn touch(path: &Path) {
    // A file that cannot be touched is removed a little earlier; nothing else depends on it.
    let _ = fs::File::options().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
}

/// Has jobs done whose captures are kept: each is computed in `work`, and put at its output once it is on disk. So what is
/// kept is whole, whatever stops the worker, the harness or the machine.
///
/// # Errors
/// As [`Implementation::produce`], and if a capture cannot be put into its place.
pub(crate) fn produce(
    implementation: &mut dyn Implementation,
    model: &Path,
    jobs: &[Job],
    part: &Part,
    work: &Path,
) -> Result<Production> {
    // Names of their own: several implementations compute in one folder.
    let folder = tempfile::tempdir_in(work).with_context(|| work.display().to_string())?;
    let elsewhere = |(index, job): (usize, &Job)| {
        let output = folder.path().join(format!("{index}.safetensors"));
        Job { output, ..job.clone() }
    };
    let computed: Vec<Job> = jobs.iter().enumerate().map(elsewhere).collect();
    implementation.produce_each(model, &computed, part, &mut |done| {
        let kept = computed.iter().zip(jobs).find(|(job, _)| job.output == done.output);
        let (_, kept) = kept.context("a job that nobody gave is done")?;
        let file = fs::File::open(&done.output).with_context(|| done.output.display().to_string())?;
        file.sync_all().with_context(|| done.output.display().to_string())?;
        fs::rename(&done.output, &kept.output).with_context(|| kept.output.display().to_string())
    })
}

/// Removes what was used longest ago until no more than `limit` bytes are left, and gives the bytes removed.
///
/// # Errors
/// If the folder cannot be read, or a file cannot be removed.
pub fn prune(folder: &Path, limit: u64) -> Result<u64> {
    let kept = contents(folder)?;
    let mut total: u64 = kept.iter().map(|file| file.bytes).sum();
    let before = total;
    for file in kept {
        if total <= limit {
            break;
        }
        match fs::remove_file(&file.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| file.path.display().to_string());
            }
            _ => total -= file.bytes,
        }
    }
    Ok(before - total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn file(folder: &Path, name: &str, bytes: usize, age: u64) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, vec![0; bytes]).unwrap();
        let used = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - age);
        fs::File::options().append(true).open(&path).unwrap().set_modified(used).unwrap();
        path
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let old = file(folder.path(), "old", 100, 30);
        let middle = file(folder.path(), "middle", 100, 20);
        let new = file(folder.path(), "new", 100, 10);
        assert_eq!(prune(folder.path(), 300).unwrap(), 0);
        touch(&old);
        assert_eq!(prune(folder.path(), 200).unwrap(), 100);
        assert!(old.exists() && new.exists() && !middle.exists());
        assert_eq!(prune(folder.path(), 0).unwrap(), 200);
        assert_eq!(contents(folder.path()).unwrap(), []);
    }

    #[test]
    fn no_folder_is_an_empty_cache() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(contents(&folder.path().join("none")).unwrap(), []);
    }
}
