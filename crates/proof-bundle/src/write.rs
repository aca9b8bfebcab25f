//! Writing a bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use capture::Case;
use checkpoint_spec::{CaseAssay, Results, SpecSet};

use crate::bag::Bag;
use crate::captures::{AssayRecord, CaptureEntry, CaptureList};
use crate::layout::{self, Role, assay_path, canonical, capture_path, case_path, model_path, spec_path};
use crate::name::bundle_name;
use crate::schemas::schemas;
use crate::shelf::Shelf;
use crate::write_error::{WriteError, io_at};
use crate::{Digest, Materials, RecordKind, spec_digest};

/// All that goes into a bundle.
#[derive(Clone, Copy, Debug)]
pub struct BundleContents<'a> {
    /// What was compared, and what it means.
    pub results: &'a Results,
    /// What the run was made from.
    pub materials: &'a Materials,
    /// The diff, where the materials say that it comes with the bundle.
    pub diff: Option<&'a Path>,
    /// The folder of the model, where the materials say that its files come with the bundle.
    pub model: Option<&'a Path>,
    /// The specs as used: file name and text.
    pub specs: &'a [(String, String)],
    /// What every implementation was given.
    pub cases: &'a [Case],
    /// What each implementation produced, by case.
    pub captures: &'a BTreeMap<Role, BTreeMap<String, PathBuf>>,
    /// What was measured, by case; goes in where the tensors do not.
    pub assays: &'a [CaseAssay],
    /// The day that goes into `bag-info.txt`.
    pub day: SystemTime,
}

/// Writes a bundle into `directory` and returns its path. It appears there whole or not at all. Only a bundle with the
/// same payload has the same name, and is replaced. Captures and the diff are linked where the file system can, so they
/// must not be changed afterwards; the model is copied.
///
/// # Errors
/// [`WriteError`]; nothing is left behind, at the latest when the next bundle is written.
pub fn write(directory: &Path, contents: &BundleContents<'_>) -> Result<PathBuf, WriteError> {
    let law = check(contents)?;
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
    add_materials(&mut bag, contents)?;
    for case in contents.cases {
        bag.add_text(&case_path(&case.id), &canonical(case)?)?;
    }
    add_captures(&mut bag, contents)?;
    add_assays(&mut bag, contents)?;
    bag.add_text(layout::RESULTS, &canonical(contents.results)?)?;
    for (path, text) in &reports {
        bag.add_text(path, text)?;
    }
    let BundleContents { results, materials, cases, .. } = contents;
    let name = bag.finish(|payload| bundle_name(results, materials, cases, &law, payload), contents.day)?;
    shelf.place(incoming, &name)
}

/// The model's files and the diff, each of which must be what the materials say.
fn add_materials(bag: &mut Bag, contents: &BundleContents<'_>) -> Result<(), WriteError> {
    let is_listed = |path: &str, found: (Digest, u64), listed: (Digest, u64)| {
        let problem = || WriteError::Inconsistent {
            problem: format!("{path} has other contents than the materials say"),
        };
        (found == listed).then_some(()).ok_or_else(problem)
    };
    if let Some(folder) = contents.model {
        for file in contents.materials.model_files() {
            let path = model_path(&file.name);
            let found = bag.add_copy(&path, &folder.join(&file.name))?;
            is_listed(&path, found, (file.sha256, file.bytes))?;
        }
    }
    if let (Some(source), Some(diff)) = (contents.diff, contents.materials.diff.value()) {
        let found = bag.add_file(layout::DIFF, source)?;
        is_listed(layout::DIFF, found, (diff.sha256, diff.bytes))?;
    }
    Ok(())
}

fn add_captures(bag: &mut Bag, contents: &BundleContents<'_>) -> Result<(), WriteError> {
    let mut captures = Vec::new();
    for (role, cases) in contents.captures {
        let folder = role.folder(contents.results);
        for (case, source) in cases {
            let stored = contents.results.tensors.holds(case);
            let path = capture_path(&folder, case);
            let (sha256, bytes) = if stored { bag.add_file(&path, source)? } else { digest(source)? };
            captures.push(CaptureEntry { path, bytes, sha256, stored });
        }
    }
    captures.sort_by(|a, b| a.path.cmp(&b.path));
    bag.add_text(
        layout::CAPTURES,
        &canonical(&CaptureList { schema: RecordKind::Captures.schema(), captures })?,
    )
}

/// What a bundle would list of captures, were it to store them.
///
/// # Errors
/// [`WriteError`], when one cannot be read.
pub fn list_captures(
    results: &Results,
    captures: &BTreeMap<Role, BTreeMap<String, PathBuf>>,
) -> Result<Vec<CaptureEntry>, WriteError> {
    let mut list = Vec::new();
    for (role, cases) in captures {
        let folder = role.folder(results);
        for (case, source) in cases {
            let (sha256, bytes) = digest(source)?;
            list.push(CaptureEntry { path: capture_path(&folder, case), bytes, sha256, stored: true });
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
    for case in with_numbers(contents.results, contents.materials) {
        let assay = contents.assays.iter().find(|assay| assay.case == *case);
        let assay = assay.cloned().ok_or_else(|| WriteError::Inconsistent {
            problem: format!("the case {case} may have to stand by its numbers and comes without them"),
        })?;
        bag.add_text(
            &assay_path(case),
            &canonical(&AssayRecord { schema: RecordKind::Assay.schema(), assay })?,
        )?;
    }
    Ok(())
}

/// The cases whose numbers a bundle holds: those without tensors, and all where the weights are not there to compute them
/// again.
pub(crate) fn with_numbers<'a>(results: &'a Results, materials: &Materials) -> Vec<&'a String> {
    let without_weights = !materials.weights_in_bundle;
    let cases = results.cases.iter().map(|case| &case.id);
    cases.filter(|case| without_weights || !results.tensors.holds(case)).collect()
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

/// Refuses contents that contradict each other, and gives the specs of those that do not.
fn check(contents: &BundleContents<'_>) -> Result<SpecSet, WriteError> {
    let inconsistent = |problem: String| Err(WriteError::Inconsistent { problem });
    check_materials(contents)?;
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
    SpecSet::parse_for(contents.specs.to_vec(), &contents.results.architecture.features)
        .map_err(|error| WriteError::Inconsistent { problem: error.to_string() })
}

fn check_materials(contents: &BundleContents<'_>) -> Result<(), WriteError> {
    let inconsistent = |problem: &str| Err(WriteError::Inconsistent { problem: problem.to_owned() });
    let materials = contents.materials;
    if materials.schema != RecordKind::Materials.schema() {
        return inconsistent("the materials are of another version of the format");
    }
    if let Some(problem) = materials.contradiction() {
        return inconsistent(&problem);
    }
    if materials.weights_in_bundle != contents.model.is_some() {
        return inconsistent("the model is there, or is not, against what the materials say");
    }
    if materials.diff.value().is_some_and(|diff| diff.in_bundle) != contents.diff.is_some() {
        return inconsistent("the diff is there, or is not, against what the materials say");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
