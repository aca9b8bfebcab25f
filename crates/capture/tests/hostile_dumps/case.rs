//! One hostile dump.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use capture::dump::{self, Limits};
use libtest_mimic::Failed;

/// How long a refusal may take. It takes milliseconds; machines that run tests are busy.
const SOON: Duration = Duration::from_secs(20);

/// How much memory the whole of these tests may take, in KiB.
const MEMORY: u64 = 1 << 20;

/// Files, and what a reader must say of them.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    files: Vec<(&'static str, Vec<u8>)>,
    /// Whether the folder is read; else its one file is.
    folder: bool,
    says: &'static str,
}

impl Case {
    /// A file with these bytes.
    pub(crate) fn file(name: &'static str, file: &'static str, bytes: Vec<u8>, says: &'static str) -> Self {
        Self { name, files: vec![(file, bytes)], folder: false, says }
    }

    /// A folder of files.
    pub(crate) fn folder(
        name: &'static str,
        files: Vec<(&'static str, Vec<u8>)>,
        says: &'static str,
    ) -> Self {
        Self { name, files, folder: true, says }
    }

    pub(crate) fn run(&self) -> Result<(), Failed> {
        let folder = tempfile::tempdir()?;
        for (file, bytes) in &self.files {
            fs::write(folder.path().join(file), bytes)?;
        }
        let path = match &self.files[..] {
            [(file, _)] if !self.folder => folder.path().join(file),
            _ => folder.path().to_owned(),
        };
        let start = Instant::now();
        let error = refused(&path)?;
        if start.elapsed() > SOON {
            return Err(format!("refused only after {:?}", start.elapsed()).into());
        }
        if !error.contains(self.says) {
            return Err(format!("said {error:?}, expected {:?} in it", self.says).into());
        }
        if !error.contains(&*folder.path().to_string_lossy()) {
            return Err(format!("said {error:?}, which names no file").into());
        }
        // What is said goes to terminals.
        if error.len() > 2000 || error.chars().any(char::is_control) {
            return Err(format!("said {error:?}, which is too long or has control characters").into());
        }
        Ok(())
    }
}

fn refused(path: &Path) -> Result<String, Failed> {
    match dump::read(path, &Limits::default()) {
        Ok(dump) => Err(format!("read as {:?}", dump.tensors.keys()).into()),
        Err(error) => Ok(error.to_string()),
    }
}

/// Requires that the process never took more than [`MEMORY`].
pub(crate) fn check_memory() -> Result<(), String> {
    let status = fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak =
        peak.and_then(|peak| peak.trim().strip_suffix(" kB")).and_then(|peak| peak.parse::<u64>().ok());
    match peak {
        Some(peak) if peak <= MEMORY => Ok(()),
        Some(peak) => Err(format!("refusing took {peak} KiB of memory, at most {MEMORY} expected")),
        None => Err("the system does not say how much memory was taken".to_owned()),
    }
}
