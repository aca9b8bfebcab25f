//! Whether a bundle is evidence about the source, the model and the specs of today.

use crate::{Digest, Git, MaterialFile, Materials};

/// The state that a bundle is held against.
#[derive(Clone, Debug)]
pub struct Current {
    /// The work tree; none outside a git repository.
    pub git: Option<Git>,
    /// `Cargo.lock`.
    pub cargo_lock: Digest,
    /// The lock file of the Python references.
    pub python_lock: Digest,
    /// The source of the Python references.
    pub reference_source: Digest,
    /// The specs.
    pub specs: Digest,
    /// The model of the bundle, where it is at hand.
    pub model: Option<CurrentModel>,
}

/// A model as it is now.
#[derive(Clone, Debug)]
pub struct CurrentModel {
    /// Configuration and weights.
    pub weights: Vec<MaterialFile>,
    /// Its tokenizer.
    pub tokenizer: Vec<MaterialFile>,
}

impl Current {
    /// What has changed since the bundle was made: what it is, then and now.
    pub fn changes(&self, materials: &Materials) -> Vec<String> {
        let mut changes = Vec::new();
        let mut compare = |what: &str, then: String, now: String| {
            if then != now {
                changes.push(format!("{what} was {then}, is {now}"));
            }
        };
        compare("the commit", commit(materials.git.as_ref()), commit(self.git.as_ref()));
        let digests = [
            ("the digest of the specs", materials.specs, self.specs),
            ("Cargo.lock", materials.cargo_lock, self.cargo_lock),
            ("the lock of the references", materials.python_lock, self.python_lock),
            ("the source of the references", materials.reference_source, self.reference_source),
        ];
        for (what, then, now) in digests {
            compare(what, then.start(12), now.start(12));
        }
        if let Some(model) = &self.model {
            compare("the model", files(&materials.weights), files(&model.weights));
            compare("the tokenizer", files(&materials.tokenizer), files(&model.tokenizer));
        }
        if self.git.is_none() {
            changes.push("there is no git commit here to hold the bundle against".to_owned());
        }
        changes
    }
}

fn commit(git: Option<&Git>) -> String {
    git.map_or_else(
        || "none".to_owned(),
        |git| {
            let dirty = if git.dirty { " with changes that it does not hold" } else { "" };
            format!("{}{dirty}", git.commit)
        },
    )
}

/// Names and digests, in order of name.
fn files(files: &[MaterialFile]) -> String {
    let mut files: Vec<String> =
        files.iter().map(|file| format!("{} {}", file.name, file.sha256.start(12))).collect();
    files.sort();
    if files.is_empty() { "none".to_owned() } else { files.join(", ") }
}
