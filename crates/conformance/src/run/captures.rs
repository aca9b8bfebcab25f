//! The captures that one implementation left, and how they are opened for comparison.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use capture::{CaptureFile, Identity, Precision, TensorSource};
use checkpoint_spec::Incident;
use proof_bundle::Role;

/// All that one implementation left.
#[derive(Clone, Debug, Default)]
pub struct ImplementationCaptures {
    /// `torch@f64`.
    pub label: String,
    /// Who computed; none when it did not answer.
    pub identity: Option<Identity>,
    /// The chained run, by case.
    pub cases: BTreeMap<String, PathBuf>,
    /// What went wrong.
    pub incidents: Vec<Incident>,
}

/// All that a run's implementations left.
#[derive(Debug, Default)]
pub struct Produced {
    /// The subject's.
    pub subject: ImplementationCaptures,
    /// The references', by name and precision.
    pub references: BTreeMap<(String, Precision), ImplementationCaptures>,
}

impl ImplementationCaptures {
    /// Opens what is there; what is not there is missing evidence, which the judge names.
    pub fn open(&self, case: &str) -> Result<Option<CaptureFile>> {
        Ok(self.cases.get(case).map(|path| CaptureFile::open(path)).transpose()?)
    }
}

/// A capture as evidence.
pub fn source(file: &Option<CaptureFile>) -> Option<&dyn TensorSource> {
    file.as_ref().map(|file| file as &dyn TensorSource)
}

impl Produced {
    /// What one reference left at one precision.
    pub fn reference(&self, name: &str, precision: Precision) -> Option<&ImplementationCaptures> {
        self.references.get(&(name.to_owned(), precision))
    }

    /// The subject, then the references in order.
    pub fn everyone(&self) -> impl Iterator<Item = &ImplementationCaptures> {
        std::iter::once(&self.subject).chain(self.references.values())
    }

    /// All files, by role and case.
    pub fn paths(&self) -> BTreeMap<Role, BTreeMap<String, PathBuf>> {
        let references = self.references.iter().map(|((name, precision), captures)| {
            (Role::Reference { name: name.clone(), precision: *precision }, captures.cases.clone())
        });
        references.chain([(Role::Subject, self.subject.cases.clone())]).collect()
    }
}
