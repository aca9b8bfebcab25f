//! The captures that one implementation left, and how they are opened for comparison.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use capture::{CaptureFile, Case, Identity, Precision, TensorSource};
use checkpoint_spec::{Captures, Incident};
use proof_bundle::{CapturePaths, Role};

/// All that one implementation left.
#[derive(Clone, Debug, Default)]
pub struct ImplementationCaptures {
    /// `torch@f64`.
    pub label: String,
    /// Who computed; none when it did not answer.
    pub identity: Option<Identity>,
    /// By case.
    pub cases: BTreeMap<String, CapturePaths>,
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
    /// Who generated again, and the case with the oracle's tokens to be fed.
    pub forced: Vec<(String, Case)>,
}

/// Opened captures of one implementation and case.
#[derive(Debug, Default)]
pub struct OpenedCaptures {
    /// The chained run.
    pub run: Option<CaptureFile>,
    /// The isolated replay.
    pub replay: Option<CaptureFile>,
}

impl ImplementationCaptures {
    /// Opens what is there; what is not there is missing evidence, which the judge names.
    pub fn open(&self, case: &str) -> Result<OpenedCaptures> {
        let Some(paths) = self.cases.get(case) else { return Ok(OpenedCaptures::default()) };
        let open = |path: &Option<PathBuf>| path.as_deref().map(CaptureFile::open).transpose();
        Ok(OpenedCaptures { run: open(&paths.run)?, replay: open(&paths.replay)? })
    }
}

impl ImplementationCaptures {
    /// Puts newer captures of some cases in the place of what was there.
    pub fn replace(&mut self, newer: Self) {
        self.cases.extend(newer.cases);
        self.incidents.extend(newer.incidents);
    }
}

impl OpenedCaptures {
    /// As evidence.
    pub fn view(&self) -> Captures<'_> {
        Captures {
            run: self.run.as_ref().map(|file| file as &dyn TensorSource),
            replay: self.replay.as_ref().map(|file| file as &dyn TensorSource),
        }
    }
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

    /// The case as an implementation was asked it last: with forced tokens, where it generated again.
    pub fn as_asked(&self, label: &str, case: &Case) -> Case {
        let again = self.forced.iter().find(|(who, forced)| who == label && forced.id == case.id);
        again.map_or_else(|| case.clone(), |(_, forced)| forced.clone())
    }

    /// All files, by role and case.
    pub fn paths(&self) -> BTreeMap<Role, BTreeMap<String, CapturePaths>> {
        let references = self.references.iter().map(|((name, precision), captures)| {
            (Role::Reference { name: name.clone(), precision: *precision }, captures.cases.clone())
        });
        references.chain([(Role::Subject, self.subject.cases.clone())]).collect()
    }
}
