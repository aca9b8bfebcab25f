//! How fast bundles verify, beside plain SHA-256 of the same files in the same process, and how much memory it takes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use proof_bundle::{Demands, Digest, verify_as};

/// What was measured.
#[derive(Debug)]
pub struct Measurement {
    /// Files of the bundle.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Plain SHA-256 of every file, one after the other, best first.
    pub digesting: Vec<Duration>,
    /// Verification, best first.
    pub verifying: Vec<Duration>,
    /// The most memory that was resident while verifying, in bytes; none where the system does not tell.
    pub peak: Option<u64>,
}

/// Measures both, turn by turn.
pub fn measure(bundle: &Path, repetitions: usize) -> Result<Measurement> {
    let files = files_of(bundle)?;
    let (mut digesting, mut verifying) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    forget_peak();
    for _ in 0..repetitions {
        let started = Instant::now();
        bytes = files.iter().map(|file| digest(file)).sum::<Result<u64>>()?;
        digesting.push(started.elapsed());
        let started = Instant::now();
        let verification = verify_as(bundle, &Demands { partial: true, ..Demands::default() })?;
        verifying.push(started.elapsed());
        if !verification.problems.is_empty() {
            bail!("the bundle does not verify:\n{}", verification.lines.join("\n"));
        }
    }
    digesting.sort();
    verifying.sort();
    Ok(Measurement { files: files.len(), bytes, digesting, verifying, peak: peak() })
}

/// As a table.
pub fn markdown(found: &Measurement) -> String {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let best = |times: &[Duration]| times.first().copied().unwrap_or_default().as_secs_f64();
    let rate = |times: &[Duration]| megabytes(found.bytes) / best(times);
    let share = 100.0 * best(&found.digesting) / best(&found.verifying);
    let peak = found.peak.map_or_else(|| "unknown".to_owned(), |bytes| format!("{:.0} MB", megabytes(bytes)));
    format!(
        "bundle: {} files, {:.0} MB; best of {}\n\n\
         | | seconds | MB/s |\n|---|---:|---:|\n\
         | SHA-256 of every file, one thread | {:.2} | {:.0} |\n\
         | verify: digests, numbers, verdicts, reports | {:.2} | {:.0} |\n\n\
         throughput of verification: {share:.0} % of plain SHA-256; peak memory {peak}\n",
        found.files,
        megabytes(found.bytes),
        found.verifying.len(),
        best(&found.digesting),
        rate(&found.digesting),
        best(&found.verifying),
        rate(&found.verifying),
    )
}

fn digest(file: &Path) -> Result<u64> {
    let mut open = File::open(file).with_context(|| file.display().to_string())?;
    Ok(Digest::of_reader(&mut open).with_context(|| file.display().to_string())?.1)
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files.sort();
    Ok(files)
}

/// Linux keeps the peak until it is told to begin anew; where it is not, the peak is that of the whole process.
fn forget_peak() {
    drop(fs::write("/proc/self/clear_refs", "5"));
}

fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
