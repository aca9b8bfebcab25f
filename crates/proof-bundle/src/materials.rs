//! What a run was made from.

mod known;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use known::Known;

use crate::Digest;
use crate::layout::{DIFF, is_file_name, model_path};

/// The reservation of a run whose source no commit holds.
pub const DIRTY: &str = "the work tree has uncommitted changes";
/// Bytes of a diff that comes with the bundle; of a larger one there is the digest.
pub const LARGEST_DIFF: u64 = 8 << 20;
/// Bytes of a model (configuration, weights and tokenizer together) that comes with the bundle; of a larger one there are
/// digests.
pub const LARGEST_MODEL: u64 = 64 << 20;

/// What a run was made from: everything that could change its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Materials {
    /// [`crate::RecordKind::Materials`], in the version of the bundle.
    pub schema: String,
    /// The source; none outside a git repository.
    pub git: Option<Git>,
    /// What the commit does not hold; never known of a clean work tree.
    pub diff: Known<Diff>,
    /// `Cargo.lock`.
    pub cargo_lock: Digest,
    /// The lock file of the Python references.
    pub python_lock: Digest,
    /// The source of the Python references, as one digest.
    pub reference_source: Digest,
    /// The specs as used; see [`crate::spec_digest`].
    pub specs: Digest,
    /// The model's configuration and weights.
    pub weights: Vec<MaterialFile>,
    /// Its tokenizer; empty when it has none.
    pub tokenizer: Vec<MaterialFile>,
    /// Whether the files of both lists come with the bundle.
    pub weights_in_bundle: bool,
    /// The subject's own weights, when it was given other ones. They never come with the bundle.
    pub subject_weights: Option<Vec<MaterialFile>>,
    /// The file that was started as the subject, or that the subject is linked into.
    pub subject_executable: Known<MaterialFile>,
    /// How that file was compiled.
    pub subject_build: Known<Build>,
    /// `rustc -V`, of the compiler that was there when the run was made.
    pub toolchain: Known<String>,
    /// The processor.
    pub cpu: Cpu,
    /// Name and release of the operating system.
    pub os: Known<String>,
    /// Threads that computed.
    pub threads: usize,
}

/// A state of the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Git {
    /// The commit, in hex.
    pub commit: String,
    /// Its tree, in hex.
    pub tree: String,
    /// Whether the work tree had changes that are not committed.
    pub dirty: bool,
}

/// What `git apply` makes the work tree of the commit from, new files included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Diff {
    /// Its size.
    pub bytes: u64,
    /// What is in it.
    pub sha256: Digest,
    /// Whether it comes with the bundle: not beyond [`LARGEST_DIFF`].
    pub in_bundle: bool,
}

/// A file that went into a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaterialFile {
    /// Its name, without folders.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// What is in it.
    pub sha256: Digest,
}

/// How a program was compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// Cargo's profile: `dev`, `release`.
    pub profile: String,
    /// `rustc -V`.
    pub rustc: String,
    /// The target triple.
    pub target: String,
    /// `0` to `3`, `s` or `z`.
    pub opt_level: String,
    /// Features of the target that the compiler was free to use everywhere.
    pub target_features: BTreeSet<String>,
}

/// The processor of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Its name.
    pub model: Known<String>,
    /// Those of its features that decide how products are rounded: `fma`, `avx2`, `avx512f` and the like.
    pub features: Known<BTreeSet<String>>,
}

impl Materials {
    /// Whether no commit holds the source.
    pub fn is_dirty(&self) -> bool {
        self.git.as_ref().is_none_or(|git| git.dirty)
    }

    /// The model's files: configuration, weights and tokenizer.
    pub fn model_files(&self) -> impl Iterator<Item = &MaterialFile> {
        self.weights.iter().chain(&self.tokenizer)
    }

    /// The paths of what comes with the bundle beside this record: the model's files, and the diff.
    pub(crate) fn beside(&self) -> Vec<String> {
        let model = self.model_files().filter(|_| self.weights_in_bundle);
        let diff = self.diff.value().filter(|diff| diff.in_bundle);
        model.map(|file| model_path(&file.name)).chain(diff.map(|_| DIFF.to_owned())).collect()
    }

    /// Bytes of the model's files.
    fn model_bytes(&self) -> u64 {
        self.model_files().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// What these materials say of a diff or of the model that cannot be so, in words.
    pub(crate) fn contradiction(&self) -> Option<String> {
        let diff = self.diff.value();
        if diff.is_some() && !self.git.as_ref().is_some_and(|git| git.dirty) {
            return Some("a diff of a work tree that is not dirty".to_owned());
        }
        if let Some(diff) = diff.filter(|diff| diff.in_bundle && diff.bytes > LARGEST_DIFF) {
            return Some(format!("a diff of {} bytes in the bundle, at most {LARGEST_DIFF} are", diff.bytes));
        }
        (self.weights_in_bundle && !self.model_fits_in_bundle()).then(|| {
            format!(
                "a model in the bundle of {} bytes, or with files of such names, that cannot be there",
                self.model_bytes()
            )
        })
    }

    /// Whether the model's files can come with a bundle: together they are not too large, and each has a name of its own
    /// that a file of a bundle may have.
    pub fn model_fits_in_bundle(&self) -> bool {
        let names: BTreeSet<String> = self.model_files().map(|file| file.name.to_ascii_lowercase()).collect();
        self.model_bytes() <= LARGEST_MODEL
            && !self.weights.is_empty()
            && names.len() == self.model_files().count()
            && self.model_files().all(|file| is_file_name(&file.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::Run;

    #[test]
    fn bounds_hold_for_what_comes_with_the_bundle_alone() {
        let mut materials = Run::new().materials;
        assert_eq!(materials.contradiction(), None);
        materials.weights[0].bytes = LARGEST_MODEL + 1;
        assert!(materials.contradiction().is_some_and(|what| what.contains("a model in")));
        materials.weights_in_bundle = false;
        assert_eq!(materials.contradiction(), None);

        let diff = |bytes, in_bundle| Known::Value(Diff { bytes, sha256: Digest::of(b""), in_bundle });
        materials.diff = diff(1, true);
        assert!(materials.contradiction().is_some_and(|what| what.contains("not dirty")));
        materials.git.as_mut().unwrap().dirty = true;
        assert_eq!(materials.contradiction(), None);
        materials.diff = diff(LARGEST_DIFF + 1, true);
        assert!(materials.contradiction().is_some_and(|what| what.contains("a diff of")));
        materials.diff = diff(LARGEST_DIFF + 1, false);
        assert_eq!(materials.contradiction(), None);
    }
}
