//! How fast bundles verify, beside plain SHA-256 of the same files (by `sha256sum`, which auditors have, and in the same
//! process, where processors may have instructions for it), and how much memory it takes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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
    /// `sha256sum` of every file, best first; nothing where there is none.
    pub summing: Vec<Duration>,
    /// Plain SHA-256 of every file in this process, one after the other, best first.
    pub digesting: Vec<Duration>,
    /// Verification, best first.
    pub verifying: Vec<Duration>,
    /// The most memory that was resident while verifying, in bytes; none where the system does not tell.
    pub peak: Option<u64>,
}

/// Measures both, turn by turn.
pub fn measure(bundle: &Path, repetitions: usize) -> Result<Measurement> {
    let files = files_of(bundle)?;
    let (mut summing, mut digesting, mut verifying) = (Vec::new(), Vec::new(), Vec::new());
    let mut bytes = 0;
    forget_peak();
    for _ in 0..repetitions {
        summing.extend(sha256sum(bundle)?);
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
    for times in [&mut summing, &mut digesting, &mut verifying] {
        times.sort();
    }
    Ok(Measurement { files: files.len(), bytes, summing, digesting, verifying, peak: peak() })
}

/// As a table.
pub fn markdown(found: &Measurement) -> String {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let best = |times: &[Duration]| times.first().copied().unwrap_or_default().as_secs_f64();
    let rate = |times: &[Duration]| megabytes(found.bytes) / best(times);
    let row =
        |what: &str, times: &[Duration]| format!("| {what} | {:.2} | {:.0} |\n", best(times), rate(times));
    let share = |of: &[Duration]| format!("{:.0} %", 100.0 * best(of) / best(&found.verifying));
    let peak = found.peak.map_or_else(|| "unknown".to_owned(), |bytes| format!("{:.0} MB", megabytes(bytes)));
    let (mut rows, mut shares) = (String::new(), Vec::new());
    if !found.summing.is_empty() {
        rows += &row("`sha256sum` of every file of the payload", &found.summing);
        shares.push(format!("{} of `sha256sum`", share(&found.summing)));
    }
    rows += &row("SHA-256 of every file in this process, one thread", &found.digesting);
    rows += &row("verify: digests, numbers, verdicts, reports", &found.verifying);
    shares.push(format!("{} of SHA-256 in this process", share(&found.digesting)));
    format!(
        "bundle: {} files, {:.0} MB; best of {}\n\n| | seconds | MB/s |\n|---|---:|---:|\n{rows}\n\
         throughput of verification: {}; peak memory {peak}\n",
        found.files,
        megabytes(found.bytes),
        found.verifying.len(),
        shares.join(", "),
    )
}

/// How long `sha256sum --check` takes on the payload; none where there is no such program.
fn sha256sum(bundle: &Path) -> Result<Option<Duration>> {
    let mut command = Command::new("sha256sum");
    command.args(["--check", "--strict", "--quiet", "manifest-sha256.txt"]).current_dir(bundle);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    match command.status() {
        Ok(status) if status.success() => Ok(Some(started.elapsed())),
        Ok(status) => {
            bail!("`sha256sum --check manifest-sha256.txt` ended with {status}: is the bundle whole?")
        }
        Err(_) => Ok(None),
    }
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
