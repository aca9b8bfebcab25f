//! The evidence of one case, with changes laid over it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use capture::{Capture, FileError, Precision, Tensor, TensorName, TensorSource};
use checkpoint_spec::{CaseEvidence, Incident, ReferenceCaptures, Source};

/// What is laid before the gate for one fault.
#[derive(Clone)]
pub struct Evidence<'a> {
    /// The subject's capture.
    pub subject: Capture,
    /// What stopped an implementation.
    pub incidents: Vec<Incident>,
    references: &'a [ReferenceCaptures<'a>],
    changes: BTreeMap<Place, Changes>,
    absent: BTreeSet<Place>,
}

/// Whose capture: reference and precision.
type Place = (String, Precision);
/// Tensors in place of others.
type Changes = BTreeMap<TensorName, Tensor>;

impl<'a> Evidence<'a> {
    /// Unchanged references beside what a subject left.
    pub fn new(subject: Capture, references: &'a [ReferenceCaptures<'a>]) -> Self {
        let (changes, absent) = (BTreeMap::new(), BTreeSet::new());
        Self { subject, incidents: Vec::new(), references, changes, absent }
    }

    /// Names of the references, in order of precedence.
    pub fn references(&self) -> impl Iterator<Item = String> + use<'a> {
        self.references.iter().map(|reference| reference.name.clone())
    }

    /// The reference of least precedence: one of several, if there are several.
    pub fn last_reference(&self) -> Result<String> {
        self.references().last().context("a run has references")
    }

    /// Takes one precision's answers of a reference away.
    pub(super) fn remove(&mut self, reference: &str, precision: Precision) {
        self.absent.insert((reference.to_owned(), precision));
    }

    /// Puts `change` of every tensor in its place; `None` leaves it.
    pub fn change_reference(
        &mut self,
        reference: &str,
        precision: Precision,
        change: impl Fn(&TensorName, Tensor) -> Result<Option<Tensor>>,
    ) -> Result<()> {
        let found = self.references.iter().find(|r| r.name == reference).context("no such reference")?;
        let Some(source) = at(found, precision) else { return Ok(()) };
        let mut changes = Changes::new();
        for name in source.names() {
            let Some(tensor) = source.tensor(&name)? else { continue };
            if let Some(changed) = change(&name, tensor)? {
                changes.insert(name, changed);
            }
        }
        self.changes.insert((reference.to_owned(), precision), changes);
        Ok(())
    }

    /// Whether any reference's answers are other than they were.
    pub(super) fn references_are_changed(&self) -> bool {
        !self.absent.is_empty() || self.changes.values().any(|changes| !changes.is_empty())
    }

    /// Whether a reference's answers at that precision are other than they were.
    pub fn changes_references_at(&self, precision: Precision) -> bool {
        let changed = |(place, changes): (&Place, &Changes)| place.1 == precision && !changes.is_empty();
        self.absent.iter().any(|place| place.1 == precision) || self.changes.iter().any(changed)
    }

    /// The references without any change.
    pub fn bases(&self) -> &'a [ReferenceCaptures<'a>] {
        self.references
    }

    /// Lays the evidence before `look`.
    pub fn show<T>(&self, case: &capture::Case, look: impl FnOnce(&CaseEvidence<'_>) -> T) -> T {
        let mut covered: BTreeMap<Place, Covered<'_>> = BTreeMap::new();
        for reference in self.references {
            for precision in [Precision::F32, Precision::F64] {
                let place = (reference.name.clone(), precision);
                if let Some(base) = at(reference, precision).filter(|_| !self.absent.contains(&place)) {
                    let changes = self.changes.get(&place);
                    covered.insert(place, Covered { base, changes });
                }
            }
        }
        let view = |name: &str, precision| {
            covered.get(&(name.to_owned(), precision)).map(|covered| covered as &dyn TensorSource)
        };
        let references: Vec<ReferenceCaptures<'_>> = self
            .references
            .iter()
            .map(|reference| ReferenceCaptures {
                name: reference.name.clone(),
                peer: view(&reference.name, Precision::F32),
                f64: view(&reference.name, Precision::F64),
            })
            .collect();
        look(&CaseEvidence {
            case,
            subject: Some(&self.subject),
            not_contiguous: &self.subject.not_contiguous,
            references: &references,
        })
    }
}

fn at<'a>(reference: &ReferenceCaptures<'a>, precision: Precision) -> Source<'a> {
    if precision == Precision::F64 { reference.f64 } else { reference.peer }
}

/// A capture with other tensors in the place of some of its own.
struct Covered<'a> {
    base: &'a dyn TensorSource,
    changes: Option<&'a Changes>,
}

impl TensorSource for Covered<'_> {
    fn names(&self) -> BTreeSet<TensorName> {
        self.base.names()
    }

    fn tensor(&self, name: &TensorName) -> Result<Option<Tensor>, FileError> {
        match self.changes.and_then(|changes| changes.get(name)) {
            Some(tensor) => Ok(Some(tensor.clone())),
            None => self.base.tensor(name),
        }
    }
}
