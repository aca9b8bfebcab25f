//! A case as it is written.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use libtest_mimic::Failed;
use serde::Deserialize;

use crate::operations::Operation;
use crate::scene::Told;

/// One hostile bundle.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostileCase {
    /// What is tried, and, where it gets through, why nothing can be done about it.
    pub(crate) about: String,
    /// The exit code of every verifier.
    pub(crate) exit: u8,
    /// What the verifier of this crate says.
    #[serde(default)]
    pub(crate) says: Vec<String>,
    /// Whether only a verifier that renders the reports can see it.
    #[serde(default)]
    pub(crate) renders: bool,
    /// What is asked beside sound evidence. Other verifiers are asked nothing.
    #[serde(default)]
    pub(crate) asked: Asked,
    /// What files of the bundle may not hold.
    #[serde(default)]
    pub(crate) never: BTreeMap<String, Vec<String>>,
    /// What is told before the bundle is written.
    #[serde(default)]
    pub(crate) scene: Told,
    /// What is done to its files, in order.
    #[serde(default, rename = "do")]
    pub(crate) operations: Vec<Operation>,
}

/// What a verifier is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    /// Whose signature there must be.
    pub(crate) signature_of: Option<String>,
    /// The commit that the bundle must be of.
    pub(crate) expected_commit: Option<String>,
    /// Whether the golden model is given.
    pub(crate) model: bool,
}

impl HostileCase {
    pub(crate) fn read(path: &Path) -> Result<Self, Failed> {
        let case: Self = toml::from_str(&fs::read_to_string(path)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        if case.about.trim().is_empty() || (case.exit != 0 && case.says.is_empty()) {
            return Err(format!("{}: what is it about, and what is said?", path.display()).into());
        }
        Ok(case)
    }

    /// Whether it can be asked of a verifier that takes nothing but a bundle.
    pub(crate) fn is_for_everyone(&self) -> bool {
        self.asked == Asked::default()
    }
}
