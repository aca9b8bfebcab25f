//! The records: strict parsing, the files they call for, the verifier's own specs, the reports rendered again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use capture::Case;
use checkpoint_spec::{RESULTS_SCHEMA, Results, SpecSet};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bag::{SoundBag, read_text};
use super::{Problem, Room, VerifyError, sound_if_none};
use crate::layout::{self, Role, canonical, capture_path, case_path, spec_path};
use crate::write::reports;
use crate::{MATERIALS_SCHEMA, Materials, spec_digest};

/// Bytes of a record.
const LARGEST_RECORD: u64 = 2 << 30;
/// Bytes of a spec or a report.
const LARGEST_TEXT: u64 = 64 << 20;

/// Records that were read strictly.
pub(super) struct Records {
    pub(super) results: Results,
    pub(super) materials: Materials,
    /// In the order of the results.
    pub(super) cases: Vec<Case>,
}

/// Reads results, materials and cases. A record that is not written as this program writes it is a problem: that leaves
/// no room for duplicate keys, for numbers that read differently elsewhere, or for anything after the end.
pub(super) fn read(directory: &Path, bag: &SoundBag) -> Room<Records> {
    let results: Results = match record(directory, bag, layout::RESULTS)? {
        Ok(results) => results,
        Err(problem) => return Ok(Err(vec![problem])),
    };
    let materials: Materials = match record(directory, bag, layout::MATERIALS)? {
        Ok(materials) => materials,
        Err(problem) => return Ok(Err(vec![problem])),
    };
    let mut problems = Vec::new();
    for (path, found, known) in [
        (layout::RESULTS, &results.schema, RESULTS_SCHEMA),
        (layout::MATERIALS, &materials.schema, MATERIALS_SCHEMA),
    ] {
        if found != known {
            problems.push(Problem::at(path, format!("schema `{found}`, this verifier knows `{known}`")));
        }
    }
    let mut cases = Vec::new();
    for summary in &results.cases {
        let path = case_path(&summary.id);
        match record::<Case>(directory, bag, &path)? {
            Ok(case) if case.id == summary.id => cases.push(case),
            Ok(case) => {
                problems.push(Problem::at(path, format!("is case `{}`, not `{}`", case.id, summary.id)))
            }
            Err(problem) => problems.push(problem),
        }
    }
    sound_if_none(problems, Records { results, materials, cases })
}

fn record<T: DeserializeOwned + Serialize>(
    directory: &Path,
    bag: &SoundBag,
    path: &str,
) -> Result<Result<T, Problem>, VerifyError> {
    if !bag.payload.contains_key(path) {
        return Ok(Err(Problem::at(path, "missing")));
    }
    let text = match read_text(directory, path, LARGEST_RECORD)? {
        Ok(text) => text,
        Err(problem) => return Ok(Err(problem)),
    };
    Ok(parse(&text).map_err(|message| Problem::at(path, message)))
}

fn parse<T: DeserializeOwned + Serialize>(text: &str) -> Result<T, String> {
    let record: T = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match canonical(&record) {
        Ok(spelling) if spelling == text => Ok(record),
        _ => Err("not in the one spelling of this record (a key twice, other spacing or another number?)"
            .to_owned()),
    }
}

/// The payload must be the files that the results call for, and no other. A capture may be missing: then the assay
/// finds it missing.
pub(super) fn check_layout(bag: &SoundBag, records: &Records) -> Room<()> {
    let results = &records.results;
    let fixed = [layout::MATERIALS, layout::RESULTS, layout::HTML, layout::MARKDOWN, layout::JUNIT];
    let mut needed: BTreeSet<String> = fixed.map(str::to_owned).into();
    needed.extend(records.cases.iter().map(|case| case_path(&case.id)));
    let mut allowed = BTreeSet::new();
    for folder in Role::all(results).iter().map(|role| role.folder(results)) {
        for case in &records.cases {
            allowed.extend([false, true].map(|replay| capture_path(&folder, &case.id, replay)));
        }
    }
    let there: BTreeSet<&String> =
        bag.payload.keys().filter(|path| !path.starts_with("data/spec/")).collect();
    let mut problems: Vec<Problem> = needed
        .iter()
        .filter(|path| !there.contains(path))
        .map(|path| Problem::at(path.as_str(), "missing"))
        .collect();
    let unknown = there.into_iter().filter(|path| !needed.contains(*path) && !allowed.contains(*path));
    problems.extend(unknown.map(|path| Problem::at(path, "nothing in the results calls for this file")));
    if needed.len() != fixed.len() + records.cases.len() {
        problems.push(Problem::at(layout::RESULTS, "two cases have the same name"));
    }
    sound_if_none(problems, ())
}

/// The specs must be the verifier's own: a bundle cannot bring the law it is judged by.
pub(super) fn check_specs(directory: &Path, bag: &SoundBag, records: &Records) -> Room<()> {
    let trusted = match SpecSet::sources(&records.results.architecture.family) {
        Ok(trusted) => trusted,
        Err(error) => return Ok(Err(vec![Problem::at(layout::RESULTS, error.to_string())])),
    };
    let mut own: BTreeMap<String, &str> =
        trusted.iter().map(|(file, text)| (spec_path(file), text.as_str())).collect();
    let mut problems = Vec::new();
    for path in bag.payload.keys().filter(|path| path.starts_with("data/spec/")) {
        match (own.remove(path), read_text(directory, path, LARGEST_TEXT)?) {
            (None, _) => problems.push(Problem::at(path, "this verifier has no such spec")),
            (Some(_), Err(problem)) => problems.push(problem),
            (Some(own), Ok(text)) if own != text => {
                problems.push(Problem::at(path, "not the spec that this verifier judges by"));
            }
            _ => {}
        }
    }
    problems.extend(own.into_keys().map(|path| Problem::at(path, "missing")));
    if spec_digest(&trusted) != records.materials.specs {
        problems.push(Problem::at(layout::MATERIALS, "the digest of the specs is not theirs"));
    }
    sound_if_none(problems, ())
}

/// The reports must be what the results render to.
pub(super) fn check_reports(directory: &Path, records: &Records) -> Room<()> {
    let rendered = match reports(&records.results) {
        Ok(rendered) => rendered,
        Err(error) => return Ok(Err(vec![Problem::at(layout::RESULTS, error.to_string())])),
    };
    let mut problems = Vec::new();
    for (path, text) in rendered {
        match read_text(directory, path, LARGEST_TEXT)? {
            Ok(found) if found == text => {}
            Ok(_) => problems.push(Problem::at(path, "not what results.json renders to")),
            Err(problem) => problems.push(problem),
        }
    }
    sound_if_none(problems, ())
}
