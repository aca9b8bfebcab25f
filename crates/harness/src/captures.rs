//! What implementations left: which captures there are, and how they are laid out as evidence.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Result;
use capture::{CaptureFile, Identity, Precision, Tensor, TensorName, TensorSource};
use checkpoint_spec::{CaseEvidence, Incident, ReferenceCaptures, Setting};
use proof_bundle::Role;

use crate::cases::PlannedCase;
use crate::request::{Law, Request};

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

    /// The ids that it generated in a case.
    pub fn generated(&self, case: &str) -> Result<Option<Tensor>> {
        let Some(file) = self.open(case)? else { return Ok(None) };
        Ok(file.tensor(&TensorName::of_case("generated"))?)
    }
}

/// A capture as evidence.
pub fn view(file: &Option<CaptureFile>) -> Option<&dyn TensorSource> {
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

    /// What stopped anyone.
    pub fn incidents(&self) -> Vec<Incident> {
        self.everyone().flat_map(|captures| captures.incidents.iter().cloned()).collect()
    }

    /// The identity of a reference for the record: that of its f64 side, else of its f32 side, else its name alone.
    pub fn reference_identity(&self, name: &str) -> Identity {
        [Precision::F64, Precision::F32]
            .into_iter()
            .find_map(|precision| self.reference(name, precision).and_then(|found| found.identity.clone()))
            .unwrap_or_else(|| unanswered(name, Precision::F64))
    }
}

/// Who did not answer, as a record names it.
pub fn unanswered(name: &str, precision: Precision) -> Identity {
    let (version, device) = ("did not answer".to_owned(), "unknown".to_owned());
    Identity { name: name.to_owned(), version, precision, device }
}

/// A reference's captures of one case.
pub struct OpenedReference {
    name: String,
    peer: Option<CaptureFile>,
    f64: Option<CaptureFile>,
}

/// One case's captures of every reference, in order of precedence.
pub fn open_references(request: &Request, produced: &Produced, case: &str) -> Result<Vec<OpenedReference>> {
    let of = |name: &String| {
        let at = |precision| match produced.reference(name, precision) {
            Some(captures) => captures.open(case),
            None => Ok(None),
        };
        let peer = at(request.subject.precision.peer())?;
        Ok(OpenedReference { name: name.clone(), peer, f64: at(Precision::F64)? })
    };
    request.references.iter().map(of).collect()
}

/// References as evidence.
pub fn views(opened: &[OpenedReference]) -> Vec<ReferenceCaptures<'_>> {
    opened
        .iter()
        .map(|reference| ReferenceCaptures {
            name: reference.name.clone(),
            peer: view(&reference.peer),
            f64: view(&reference.f64),
        })
        .collect()
}

/// Lays one case's captures, as evidence under the law of the run, before `look`.
pub fn with_evidence<T>(
    request: &Request,
    law: Law<'_>,
    planned: &PlannedCase,
    produced: &Produced,
    look: impl FnOnce(&Setting<'_>, &CaseEvidence<'_>) -> T,
) -> Result<T> {
    let label = request.subject.label()?;
    let setting = Setting {
        specs: law.specs,
        architecture: &request.model.architecture,
        model: Some(law.model),
        traits: request.subject.traits(planned.case.texts.is_some())?,
        confidence: law.confidence,
        subject: &label,
    };
    let id = &planned.case.id;
    let subject = produced.subject.open(id)?;
    let opened = open_references(request, produced, id)?;
    let references = views(&opened);
    let nothing = BTreeSet::new();
    let evidence = CaseEvidence {
        case: &planned.case,
        subject: view(&subject),
        not_contiguous: subject.as_ref().map_or(&nothing, CaptureFile::not_contiguous),
        references: &references,
    };
    Ok(look(&setting, &evidence))
}
