//! Writing a bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use capture::Case;
use checkpoint_spec::{CaseAssay, Results};

use crate::bag::{Bag, io_at};
use crate::captures::{ASSAY_SCHEMA, AssayRecord, CAPTURES_SCHEMA, CaptureEntry, CaptureList};
use crate::layout::{self, Role, assay_path, canonical, capture_path, case_path, spec_path};
use crate::schemas::schemas;
use crate::shelf::Shelf;
use crate::{Digest, Materials, spec_digest};

/// All that goes into a bundle.
#[derive(Clone, Copy, Debug)]
pub struct BundleContents<'a> {
    /// What was compared, and what it means.
    pub results: &'a Results,
    /// What the run was made from.
    pub materials: &'a Materials,
    /// The specs as used: file name and text.
    pub specs: &'a [(String, String)],
    /// What every implementation was given.
    pub cases: &'a [Case],
    /// What each implementation produced, by case.
    pub captures: &'a BTreeMap<Role, BTreeMap<String, CapturePaths>>,
    /// What was measured, by case; goes in where the tensors do not.
    pub assays: &'a [CaseAssay],
    /// The day that goes into `bag-info.txt`.
    pub day: SystemTime,
}

/// The captures of one implementation and case; none where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapturePaths {
    /// The chained run.
    pub run: Option<PathBuf>,
    /// The isolated replay.
    pub replay: Option<PathBuf>,
}

/// Why a bundle cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The operating system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The contents contradict each other.
    #[error("the bundle would contradict itself: {problem}")]
    Inconsistent {
        /// What contradicts what.
        problem: String,
    },
    /// A record cannot be written as JSON.
    #[error("the record cannot be written: {0}")]
    Record(#[from] serde_json::Error),
    /// A report cannot be rendered.
    #[error("the report cannot be rendered: {problem}")]
    Report {
        /// What is wrong.
        problem: String,
    },
}

/// Writes a bundle into `directory` and returns its path. It appears there whole or not at all; a bundle of the same
/// run is replaced. Capture files are linked where the file system can, so they must not be changed afterwards.
///
/// # Errors
/// [`WriteError`]; nothing is left behind, at the latest when the next bundle is written.
pub fn write(directory: &Path, contents: &BundleContents<'_>) -> Result<PathBuf, WriteError> {
    check(contents)?;
    let name = layout::bundle_name(contents.results, contents.materials, contents.cases)?;
    let reports = reports(contents.results)?;
    let shelf = Shelf::open(directory)?;
    let incoming = shelf.incoming()?;
    let mut bag = Bag::new(incoming.path());
    for (file, text) in contents.specs {
        bag.add_text(&spec_path(file), text)?;
    }
    for (path, text) in schemas()? {
        bag.add_text(path, &text)?;
    }
    bag.add_text(layout::MATERIALS, &canonical(contents.materials)?)?;
    for case in contents.cases {
        bag.add_text(&case_path(&case.id), &canonical(case)?)?;
    }
    add_captures(&mut bag, contents)?;
    add_assays(&mut bag, contents)?;
    bag.add_text(layout::RESULTS, &canonical(contents.results)?)?;
    for (path, text) in &reports {
        bag.add_text(path, text)?;
    }
    bag.finish(&name, contents.day)?;
    shelf.place(incoming, &name)
}

fn add_captures(bag: &mut Bag, contents: &BundleContents<'_>) -> Result<(), WriteError> {
    let mut captures = Vec::new();
    for (role, cases) in contents.captures {
        let folder = role.folder(contents.results);
        for (case, paths) in cases {
            let stored = contents.results.tensors.holds(case);
            for (replay, source) in [(false, &paths.run), (true, &paths.replay)] {
                let Some(source) = source else { continue };
                let path = capture_path(&folder, case, replay);
                let (sha256, bytes) = if stored { bag.add_file(&path, source)? } else { digest(source)? };
                captures.push(CaptureEntry { path, bytes, sha256, stored });
            }
        }
    }
    captures.sort_by(|a, b| a.path.cmp(&b.path));
    bag.add_text(layout::CAPTURES, &canonical(&CaptureList { schema: CAPTURES_SCHEMA.to_owned(), captures })?)
}

/// What a bundle would list of captures, were it to store them.
///
/// # Errors
/// [`WriteError`], when one cannot be read.
pub fn list_captures(
    results: &Results,
    captures: &BTreeMap<Role, BTreeMap<String, CapturePaths>>,
) -> Result<Vec<CaptureEntry>, WriteError> {
    let mut list = Vec::new();
    for (role, cases) in captures {
        let folder = role.folder(results);
        for (case, paths) in cases {
            for (replay, source) in [(false, &paths.run), (true, &paths.replay)] {
                let Some(source) = source else { continue };
                let (sha256, bytes) = digest(source)?;
                list.push(CaptureEntry {
                    path: capture_path(&folder, case, replay),
                    bytes,
                    sha256,
                    stored: true,
                });
            }
        }
    }
    list.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(list)
}

fn digest(source: &Path) -> Result<(Digest, u64), WriteError> {
    let mut file = File::open(source).map_err(io_at(source))?;
    Digest::of_reader(&mut file).map_err(io_at(source))
}

fn add_assays(bag: &mut Bag, contents: &BundleContents<'_>) -> Result<(), WriteError> {
    for case in &contents.results.tensors.digest_only {
        let assay = contents.assays.iter().find(|assay| assay.case == *case);
        let assay = assay.cloned().ok_or_else(|| WriteError::Inconsistent {
            problem: format!("the case {case} is to be digest-only and comes without its numbers"),
        })?;
        bag.add_text(
            &assay_path(case),
            &canonical(&AssayRecord { schema: ASSAY_SCHEMA.to_owned(), assay })?,
        )?;
    }
    Ok(())
}

/// The renderings that a bundle holds, by path.
pub(crate) fn reports(results: &Results) -> Result<[(&'static str, String); 3], WriteError> {
    let failed = |problem: &dyn std::fmt::Display| WriteError::Report { problem: problem.to_string() };
    Ok([
        (layout::HTML, report::html(results).map_err(|error| failed(&error))?),
        (layout::MARKDOWN, report::markdown(results)),
        (layout::JUNIT, report::junit(results).map_err(|error| failed(&error))?),
    ])
}

fn check(contents: &BundleContents<'_>) -> Result<(), WriteError> {
    let inconsistent = |problem: String| Err(WriteError::Inconsistent { problem });
    if spec_digest(contents.specs) != contents.materials.specs {
        return inconsistent("the specs are not those whose digest the materials have".to_owned());
    }
    let recorded: Vec<&str> = contents.results.cases.iter().map(|case| case.id.as_str()).collect();
    let given: Vec<&str> = contents.cases.iter().map(|case| case.id.as_str()).collect();
    if recorded != given {
        return inconsistent(format!("the results are of the cases {recorded:?}, the bundle has {given:?}"));
    }
    let (roles, cases) = (Role::all(contents.results), BTreeSet::from_iter(given));
    for (role, captures) in contents.captures {
        if !roles.contains(role) {
            return inconsistent(format!("{} took no part in the run", role.folder(contents.results)));
        }
        if let Some(case) = captures.keys().find(|case| !cases.contains(case.as_str())) {
            return inconsistent(format!("there is a capture of the case {case}, which was not run"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
