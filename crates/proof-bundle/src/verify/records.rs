//! The records: strict parsing, the files they call for, the verifier's own specs, the reports rendered again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use capture::Case;
use checkpoint_spec::{Architecture, CaseAssay, Results, SpecError, SpecSet};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bag::{LARGEST_RECORD, SoundBag, read_text};
use super::{Problem, Room, VerifyError, sound_if_none};
use crate::captures::{AssayRecord, CaptureList};
use crate::layout::{self, Role, assay_path, canonical, capture_path, case_path, spec_path};
use crate::name::bundle_name;
use crate::schemas::schemas;
use crate::write::{reports, with_numbers};
use crate::{DIRTY, Materials, RecordKind, spec_digest};

/// Bytes of a record that says little.
const LARGEST_SMALL_RECORD: u64 = 1 << 24;
/// Bytes of a spec or a report.
const LARGEST_TEXT: u64 = 64 << 20;

/// The specs that a bundle is judged by.
pub(super) struct Law {
    /// As text, by file name.
    pub(super) sources: Vec<(String, String)>,
    /// As specs.
    pub(super) set: SpecSet,
}

/// Records that were read strictly.
pub(super) struct Records {
    pub(super) results: Results,
    pub(super) materials: Materials,
    /// In the order of the results.
    pub(super) cases: Vec<Case>,
    pub(super) captures: CaptureList,
    /// The numbers of the cases that may have to stand by them, by case.
    pub(super) assays: BTreeMap<String, CaseAssay>,
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
    let captures: CaptureList = match record(directory, bag, layout::CAPTURES)? {
        Ok(captures) => captures,
        Err(problem) => return Ok(Err(vec![problem])),
    };
    let mut problems = Vec::new();
    for (path, kind, found) in [
        (layout::RESULTS, RecordKind::Results, &results.schema),
        (layout::MATERIALS, RecordKind::Materials, &materials.schema),
        (layout::CAPTURES, RecordKind::Captures, &captures.schema),
    ] {
        problems.extend(other_schema(bag, path, kind, found));
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
    let mut assays = BTreeMap::new();
    for case in with_numbers(&results, &materials) {
        let path = assay_path(case);
        match record::<AssayRecord>(directory, bag, &path)? {
            Ok(AssayRecord { schema, assay }) => {
                problems.extend(other_schema(bag, &path, RecordKind::Assay, &schema));
                assays.insert(case.clone(), assay);
            }
            Err(problem) => problems.push(problem),
        }
    }
    sound_if_none(problems, Records { results, materials, cases, captures, assays })
}

/// A record is of the version that the bundle is of: in another one the same words may mean something else.
fn other_schema(bag: &SoundBag, path: &str, kind: RecordKind, found: &str) -> Option<Problem> {
    let expected = kind.schema_of(bag.format);
    let message = || format!("schema `{found}`, this verifier knows `{expected}` in such a bundle");
    (found != expected).then(|| Problem::at(path, message()))
}

fn record<T: DeserializeOwned + Serialize>(
    directory: &Path,
    bag: &SoundBag,
    path: &str,
) -> Result<Result<T, Problem>, VerifyError> {
    let Some(file) = bag.payload.get(path) else { return Ok(Err(Problem::at(path, "missing"))) };
    let is_large = path == layout::RESULTS || path.starts_with("data/assays/");
    let most = if is_large { LARGEST_RECORD } else { LARGEST_SMALL_RECORD };
    // Before a byte is read: what is too large to be a record is too large to be held.
    if file.bytes > most {
        return Ok(Err(Problem::at(path, format!("larger than {most} bytes"))));
    }
    let text = match read_text(directory, path, most)? {
        Ok(text) => text,
        Err(problem) => return Ok(Err(problem)),
    };
    Ok(parse(&text).map_err(|message| Problem::at(path, message)))
}

pub(super) fn parse<T: DeserializeOwned + Serialize>(text: &str) -> Result<T, String> {
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
    let fixed =
        [layout::CAPTURES, layout::MATERIALS, layout::RESULTS, layout::HTML, layout::MARKDOWN, layout::JUNIT];
    let mut needed: BTreeSet<String> = fixed.map(str::to_owned).into();
    let schemas = schemas().map_err(VerifyError::Schema)?;
    needed.extend(schemas.iter().map(|(path, _)| (*path).to_owned()));
    needed.extend(records.materials.beside());
    let known = needed.len();
    needed.extend(records.cases.iter().map(|case| case_path(&case.id)));
    let numbers = with_numbers(results, &records.materials);
    needed.extend(numbers.iter().map(|case| assay_path(case)));
    let mut allowed = BTreeSet::new();
    for folder in Role::all(results).iter().map(|role| role.folder(results)) {
        for case in &records.cases {
            allowed.insert(capture_path(&folder, &case.id));
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
    if needed.len() != known + records.cases.len() + numbers.len() {
        problems.push(Problem::at(layout::RESULTS, "two cases have the same name"));
    }
    problems.extend(check_list(bag, records, &allowed));
    sound_if_none(problems, ())
}

/// The list of captures must be of the captures that the results call for, and say of each what is true: those of a
/// case that is digest-only are not here, all others are.
fn check_list(bag: &SoundBag, records: &Records, allowed: &BTreeSet<String>) -> Vec<Problem> {
    let problem = |path: &str, what: &str| Problem::at(layout::CAPTURES, format!("{path}: {what}"));
    let mut problems = Vec::new();
    let entries = &records.captures.captures;
    if !entries.is_sorted_by(|a, b| a.path < b.path) {
        problems.push(Problem::at(layout::CAPTURES, "paths are not in order, or one is there twice"));
    }
    let digest_only: BTreeSet<String> = Role::all(&records.results)
        .iter()
        .flat_map(|role| {
            let folder = role.folder(&records.results);
            let cases = records.results.tensors.digest_only.iter();
            cases.map(move |case| capture_path(&folder, case)).collect::<Vec<_>>()
        })
        .collect();
    for entry in entries {
        let there = bag.payload.get(&entry.path);
        if !allowed.contains(&entry.path) {
            problems.push(problem(&entry.path, "nothing in the results calls for this capture"));
        } else if entry.stored == digest_only.contains(&entry.path) || entry.stored != there.is_some() {
            problems.push(problem(&entry.path, "is here, or is not, against what results and list say"));
        } else if there.is_some_and(|file| file.sha256 != entry.sha256 || file.bytes != entry.bytes) {
            problems.push(problem(&entry.path, "another digest or size than the file's"));
        }
    }
    let listed: BTreeSet<&String> = entries.iter().map(|entry| &entry.path).collect();
    let unlisted =
        bag.payload.keys().filter(|path| path.starts_with("data/captures/") && !listed.contains(path));
    problems.extend(unlisted.map(|path| Problem::at(path, "captures.json does not list it")));
    problems
}

/// The specs to judge by: those that were asked for, or the verifier's own. Never the bundle's: it cannot bring the law it
/// is judged by.
pub(super) fn law(asked: Option<&[(String, String)]>, results: &Results) -> Room<Law> {
    let Architecture { family, features, .. } = &results.architecture;
    let sources = asked.map_or_else(|| SpecSet::sources(family), |asked| Ok(asked.to_vec()));
    let of_features = |sources: Vec<_>| {
        let set = SpecSet::parse_for(sources.clone(), features)?;
        Ok::<_, SpecError>(Law { set, sources })
    };
    let law = sources.and_then(of_features);
    Ok(law.map_err(|error| vec![Problem::at(layout::RESULTS, error.to_string())]))
}

/// The bundle's specs must be those that it is judged by.
pub(super) fn check_specs(directory: &Path, bag: &SoundBag, records: &Records, law: &Law) -> Room<()> {
    let mut own: BTreeMap<String, &str> =
        law.sources.iter().map(|(file, text)| (spec_path(file), text.as_str())).collect();
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
    if spec_digest(&law.sources) != records.materials.specs {
        problems.push(Problem::at(layout::MATERIALS, "the digest of the specs is not theirs"));
    }
    sound_if_none(problems, ())
}

/// Schemas that are not those of this verifier: a record of that shape is of another version of the format.
pub(super) fn other_schemas(directory: &Path, bag: &SoundBag) -> Result<Vec<String>, VerifyError> {
    let mut changes = Vec::new();
    for (path, own) in schemas().map_err(VerifyError::Schema)? {
        let there = bag.payload.contains_key(path);
        if there && read_text(directory, path, LARGEST_TEXT)?.ok().as_ref() != Some(&own) {
            changes.push(format!("{path} is not the schema of today"));
        }
    }
    Ok(changes)
}

/// What one record says beside what another says of the same thing.
pub(super) fn check_facts(bag: &SoundBag, records: &Records) -> Room<()> {
    let Records { results, materials, .. } = records;
    let mut problems = Vec::new();
    if materials.is_dirty()
        && !results.reservations.iter().any(|r| r.checkpoint.is_none() && r.message == DIRTY)
    {
        let message = format!("has no reservation `{DIRTY}`, and materials.json tells of such changes");
        problems.push(Problem::at(layout::RESULTS, message));
    }
    problems.extend(materials.contradiction().map(|what| Problem::at(layout::MATERIALS, what)));
    if let (Some(diff), Some(file)) = (materials.diff.value(), bag.payload.get(layout::DIFF))
        && (diff.sha256 != file.sha256 || diff.bytes != file.bytes)
    {
        problems.push(Problem::at(layout::DIFF, "another digest or size than materials.json has"));
    }
    sound_if_none(problems, ())
}

/// The bundle must be called what it is. This is looked at last: of what was changed, the other rooms say more.
pub(super) fn check_name(bag: &SoundBag, records: &Records, law: &Law) -> Room<()> {
    let Records { results, materials, cases, .. } = records;
    let payload = bag.payload_manifest();
    let name = payload.map(|payload| bundle_name(results, materials, cases, &law.set, payload));
    if name.as_ref() == Some(&bag.name) {
        return Ok(Ok(()));
    }
    let name = name.unwrap_or_default();
    let message = format!("the bundle is named {}, what is in it is {name}", bag.name);
    Ok(Err(vec![Problem::at("bag-info.txt", message)]))
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
