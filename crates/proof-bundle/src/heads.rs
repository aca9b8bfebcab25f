//! What bundles say of themselves, read without verifying anything: to list them, and to choose what to hold them against.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use capture::Identity;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Materials, layout, verify};

/// Bytes of a file that are read for this.
const LARGEST: u64 = 1 << 28;

/// What a bundle says that it is of.
#[derive(Clone, Debug)]
pub struct Head {
    /// The model.
    pub model: String,
    /// Its family.
    pub family: String,
    /// Who was under test.
    pub subject: Identity,
    /// Who judged.
    pub references: Vec<String>,
    /// The cases.
    pub cases: Vec<String>,
    /// The checkpoints.
    pub checkpoints: Vec<String>,
    /// What it was made from.
    pub materials: Materials,
    /// The day it was made.
    pub day: String,
}

#[derive(Deserialize)]
struct ResultsHead {
    model: String,
    architecture: OfFamily,
    subject: Identity,
    references: Vec<Identity>,
    cases: Vec<Id>,
    checkpoints: Vec<Id>,
}

#[derive(Deserialize)]
struct OfFamily {
    family: String,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

/// The folders of a folder of bundles, in order of name; hidden ones are no bundles yet.
///
/// # Errors
/// When the folder cannot be read.
pub fn folders(bundles: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(bundles)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Reads what a bundle says of itself.
///
/// # Errors
/// What cannot be read, in words.
pub fn read(bundle: &Path) -> Result<Head, String> {
    let info = text(bundle, "bag-info.txt")?;
    verify::format(&info).map_err(|error| format!("bag-info.txt: {error}"))?;
    let results: ResultsHead = record(bundle, layout::RESULTS)?;
    let day = info.lines().find_map(|line| line.strip_prefix("Bagging-Date: ")).unwrap_or_default();
    let ids = |list: Vec<Id>| list.into_iter().map(|item| item.id).collect();
    Ok(Head {
        model: results.model,
        family: results.architecture.family,
        subject: results.subject,
        references: results.references.into_iter().map(|reference| reference.name).collect(),
        cases: ids(results.cases),
        checkpoints: ids(results.checkpoints),
        materials: record(bundle, layout::MATERIALS)?,
        day: day.to_owned(),
    })
}

fn record<T: DeserializeOwned>(bundle: &Path, path: &str) -> Result<T, String> {
    serde_json::from_str(&text(bundle, path)?).map_err(|error| format!("{path}: {error}"))
}

fn text(bundle: &Path, path: &str) -> Result<String, String> {
    let full = bundle.join(path);
    // What is no file might not end, or lie elsewhere.
    let metadata = fs::symlink_metadata(&full).map_err(|error| format!("{path}: {error}"))?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(format!("{path}: no file, or one of more than {LARGEST} bytes"));
    }
    let mut text = String::new();
    let file = File::open(full).map_err(|error| format!("{path}: {error}"))?;
    file.take(LARGEST).read_to_string(&mut text).map_err(|error| format!("{path}: {error}"))?;
    Ok(text)
}

impl Head {
    /// Whether two bundles answer the same question: the same subject on the same model, cases and checkpoints, judged by
    /// the same references.
    pub fn same_question(&self, other: &Self) -> bool {
        self.model == other.model
            && self.subject.to_string() == other.subject.to_string()
            && self.references == other.references
            && self.cases == other.cases
            && self.checkpoints == other.checkpoints
    }

    /// In one line.
    pub fn about(&self) -> String {
        format!("{} on {}, {} cases, {}", self.subject, self.model, self.cases.len(), self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::Run;

    #[test]
    fn a_bundle_says_what_it_is_of() {
        let run = Run::new();
        let head = read(&run.write()).unwrap();
        assert_eq!(head.about(), "rust@f32 on synthetic:tiny, 1 cases, 2025-01-01");
        assert_eq!(head.materials, run.materials);
        assert!(head.same_question(&head));
        assert!(!head.same_question(&Head { cases: vec!["other".to_owned()], ..head.clone() }));
        assert_eq!(folders(&run.shelf()).unwrap().len(), 1);
    }

    #[test]
    fn a_bundle_of_another_format_says_who_reads_it() {
        let run = Run::new();
        let bundle = run.write();
        let info = fs::read_to_string(bundle.join("bag-info.txt")).unwrap();
        for (line, reader) in [("", "trialplate 0.1;"), ("Trialplate-Format: 3.0\n", "a later trialplate")] {
            fs::write(bundle.join("bag-info.txt"), info.replace("Trialplate-Format: 2.1\n", line)).unwrap();
            let told = read(&bundle).unwrap_err();
            assert!(told.contains(&format!("is read by {reader}")), "{told}");
        }
    }

    #[test]
    fn what_is_no_bundle_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).unwrap_err().starts_with("bag-info.txt"));
    }
}
