//! Verifying a bundle, offline, in rooms: what is there, whether it is what the manifests say, whether the records are
//! strict, whether they follow from the stored tensors. Each room needs what the one before has found to be sound.

mod bag;
mod recompute;
mod records;
mod repeats;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use checkpoint_spec::{Results, SpecSet, bundled_cases};

use crate::Digest;

/// Exit code of evidence that is not valid.
const INVALID_EVIDENCE: u8 = 2;

/// What became of a verification.
#[derive(Clone, Debug)]
pub struct Verification {
    /// What was found, for people, line by line. Harmless on a terminal.
    pub lines: Vec<String>,
    /// Everything that is wrong with the evidence; empty when it is valid.
    pub problems: Vec<Problem>,
    /// The SHA-256 of the tag manifest, which stands for the whole bundle.
    pub root: Option<Digest>,
    /// The record, if the evidence is valid.
    pub results: Option<Results>,
    /// 2 for invalid evidence; else that of the run: 0 conforming, 1 not conforming, 4 incomplete.
    pub exit_code: u8,
}

/// Something wrong with the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path in the bundle, or empty for the bundle as a whole.
    pub path: String,
    /// What was found and what was expected.
    pub message: String,
}

/// What stopped a verification before it could say anything about the evidence.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The operating system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// What a room says: what it found to be sound, or what is wrong. `Err` is for what stopped the work.
type Room<T> = Result<Result<T, Vec<Problem>>, VerifyError>;

/// Verifies the bundle in `directory`. Wrong evidence is not an `Err`: it is in [`Verification::problems`].
///
/// # Errors
/// [`VerifyError`], when the bundle cannot be read.
pub fn verify(directory: &Path) -> Result<Verification, VerifyError> {
    let mut lines = Vec::new();
    let (mut root, mut problems, mut results) = (None, Vec::new(), None);
    match rooms(directory, &mut lines, &mut root)? {
        Ok(sound) => results = Some(sound),
        Err(found) => problems = found,
    }
    let exit_code = match &results {
        Some(results) => {
            lines.extend(report::conclusion(results));
            results.exit_code
        }
        None => {
            lines.extend(problems.iter().map(|problem| report::plain(&format!("invalid       {problem}"))));
            lines.push(format!("invalid evidence: {} found", plural(problems.len(), "problem")));
            INVALID_EVIDENCE
        }
    };
    Ok(Verification { lines, problems, root, results, exit_code })
}

fn rooms(directory: &Path, lines: &mut Vec<String>, root: &mut Option<Digest>) -> Room<Results> {
    macro_rules! enter {
        ($room:expr) => {
            match $room? {
                Ok(sound) => sound,
                Err(problems) => return Ok(Err(problems)),
            }
        };
    }
    let files = enter!(bag::walk(directory));
    let sound = enter!(bag::check(directory, &files));
    *root = Some(sound.root);
    lines.push(format!(
        "manifests     {} payload files, {} bytes, all as listed",
        sound.payload.len(),
        sound.octets
    ));
    lines.push(format!("root          {}", sound.root));
    let records = enter!(records::read(directory, &sound));
    lines.push("records       strict, one spelling".to_owned());
    enter!(records::check_layout(&sound, &records));
    enter!(records::check_specs(directory, &sound, &records));
    lines.push("specs         those of this verifier".to_owned());
    enter!(records::check_reports(directory, &records));
    lines.push("reports       rendered again, byte for byte the same".to_owned());
    enter!(recompute::check(directory, &sound, &records));
    lines.push("verdicts      computed again from the stored tensors, all the same".to_owned());
    enter!(repeats::check(directory, &sound, &records));
    lines.push(
        "determinism   the judged run's digests follow from its tensors; other repeats are recorded, not recomputed"
            .to_owned(),
    );
    lines.extend(coverage(&records.results));
    Ok(Ok(records.results))
}

/// What the run was of. A run of less than everything is valid evidence for just that.
fn coverage(results: &Results) -> [String; 2] {
    let list = |of: &str, ids: Vec<&str>, all: Vec<String>| {
        let left_out: Vec<&str> = all.iter().map(String::as_str).filter(|id| !ids.contains(id)).collect();
        let left_out = if left_out.is_empty() { "none".to_owned() } else { left_out.join(", ") };
        report::plain(&format!("{of:13} {}; left out: {left_out}", ids.join(", ")))
    };
    let specs = SpecSet::bundled(&results.architecture.family).map(|set| set.specs).unwrap_or_default();
    let cases = bundled_cases().unwrap_or_default();
    [
        list(
            "checkpoints",
            results.checkpoints.iter().map(|checkpoint| checkpoint.id.as_str()).collect(),
            specs.into_iter().map(|spec| spec.id).collect(),
        ),
        list(
            "cases",
            results.cases.iter().map(|case| case.id.as_str()).collect(),
            cases.into_iter().map(|case| case.id).collect(),
        ),
    ]
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

impl Problem {
    fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> VerifyError {
    let path = path.to_owned();
    move |source| VerifyError::Io { path, source }
}

fn sound_if_none<T>(problems: Vec<Problem>, sound: T) -> Room<T> {
    Ok(if problems.is_empty() { Ok(sound) } else { Err(problems) })
}

#[cfg(test)]
mod tests;
