//! Where things are in a bundle, and what they are called.

use std::collections::{BTreeMap, BTreeSet};

use capture::Precision;
use checkpoint_spec::Results;
use serde::Serialize;

use crate::Digest;

/// The manifest of the tag files.
pub(crate) const TAG_MANIFEST: &str = "tagmanifest-sha256.txt";
pub(crate) const MATERIALS: &str = "data/materials.json";
pub(crate) const DIFF: &str = "data/materials.diff";
/// The folder of a model that comes with the bundle.
pub(crate) const MODEL: &str = "data/model";
pub(crate) const CAPTURES: &str = "data/captures.json";
pub(crate) const RESULTS: &str = "data/results.json";
pub(crate) const HTML: &str = "data/report.html";
pub(crate) const MARKDOWN: &str = "data/report.md";
pub(crate) const JUNIT: &str = "data/junit.xml";

/// Longest name of a file or folder.
const LONGEST_NAME: usize = 100;

/// Who produced a capture, as the folder that holds it is named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The subject. It may be a reference, too; its captures are its own all the same.
    Subject,
    /// A reference at a precision.
    Reference {
        /// `torch`.
        name: String,
        /// What it computed in.
        precision: Precision,
    },
}

impl Role {
    /// Who it is: `rust@f32`.
    pub(crate) fn label(&self, results: &Results) -> String {
        match self {
            Self::Subject => results.subject.to_string(),
            Self::Reference { name, precision } => format!("{name}@{precision}"),
        }
    }

    /// The folder below `data/captures/`: `subject-rust@f32`, `torch@f64`.
    pub(crate) fn folder(&self, results: &Results) -> String {
        match self {
            Self::Subject => name(&format!("subject-{}", results.subject)),
            Self::Reference { name: reference, precision } => name(&format!("{reference}@{precision}")),
        }
    }

    /// Everyone who may have left captures in a run.
    pub(crate) fn all(results: &Results) -> Vec<Self> {
        let reference = |name: &str, precision| Self::Reference { name: name.to_owned(), precision };
        let precisions = BTreeSet::from([Precision::F32, Precision::F64, results.subject.precision.peer()]);
        let references = results.references.iter().flat_map(|identity| {
            precisions.iter().map(|&precision| reference(&identity.name, precision)).collect::<Vec<_>>()
        });
        std::iter::once(Self::Subject).chain(references).collect()
    }
}

/// The digest of spec files, given as file name and text: the SHA-256 of what `sha256sum *.toml` prints for them.
pub fn spec_digest(specs: &[(String, String)]) -> Digest {
    let files: BTreeMap<&str, Digest> =
        specs.iter().map(|(file, text)| (file.as_str(), Digest::of(text.as_bytes()))).collect();
    Digest::of(manifest(files).as_bytes())
}

/// The lines of a manifest, `digest  path` each, in the order of the paths.
pub(crate) fn manifest<'a>(files: impl IntoIterator<Item = (&'a str, Digest)>) -> String {
    files.into_iter().map(|(path, digest)| format!("{digest}  {path}\n")).collect()
}

/// The one spelling of a record: fields in order of declaration, one line, a line break at the end.
pub(crate) fn canonical(record: &impl Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_string(record)? + "\n")
}

/// A text as the name of a file or folder. Characters that a name may not have become `-`.
pub(crate) fn name(text: &str) -> String {
    let known = |c: char| c.is_ascii_alphanumeric() || "@._+-".contains(c);
    let name: String = text.chars().take(LONGEST_NAME).map(|c| if known(c) { c } else { '-' }).collect();
    if name.is_empty() || name.starts_with('.') { format!("_{name}") } else { name }
}

/// Whether a path has only names that [`name`] leaves as they are.
pub(crate) fn is_path(path: &str) -> bool {
    path.split('/').all(|part| !part.is_empty() && name(part) == part)
}

/// Whether a text is the name of a file, without folders, that [`name`] leaves as it is.
pub(crate) fn is_file_name(text: &str) -> bool {
    name(text) == text
}

/// The path of a file of the model.
pub(crate) fn model_path(file: &str) -> String {
    format!("{MODEL}/{}", name(file))
}

/// A spec's path, from its file name.
pub(crate) fn spec_path(file: &str) -> String {
    format!("data/spec/{}", name(file))
}

/// A case's path.
pub(crate) fn case_path(case: &str) -> String {
    format!("data/cases/{}.json", name(case))
}

/// The path of the numbers of a case.
pub(crate) fn assay_path(case: &str) -> String {
    format!("data/assays/{}.json", name(case))
}

/// A capture's path.
pub(crate) fn capture_path(folder: &str, case: &str) -> String {
    format!("data/captures/{folder}/{}.safetensors", name(case))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_folder() {
        for (text, safe) in [
            ("torch@f64", "torch@f64"),
            ("subject-command:../my engine@f32", "subject-command-..-my-engine@f32"),
            ("../x", "_..-x"),
            (".", "_."),
            ("", "_"),
            ("a\nb%", "a-b-"),
        ] {
            assert_eq!(name(text), safe);
            assert!(is_path(safe));
        }
        for path in ["", "/a", "a//b", "a/../b", "a/", "a b", "a\\b"] {
            assert!(!is_path(path), "{path}");
        }
    }

    #[test]
    fn the_spec_digest_is_what_sha256sum_prints() {
        let specs = [("b.toml", "2"), ("a.toml", "1")].map(|(file, text)| (file.to_owned(), text.to_owned()));
        let printed = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b  a.toml\n\
                       d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35  b.toml\n";
        assert_eq!(spec_digest(&specs), Digest::of(printed.as_bytes()));
    }
}
