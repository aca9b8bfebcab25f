//! One case's captures as files, and the one way in which they become evidence: for a run, for its faults, for the verifier.

use std::collections::BTreeSet;

use capture::{CaptureFile, Case, Precision, TensorSource};

use super::{CaseEvidence, ReferenceCaptures, Source};

/// One case's captures; what is not there is missing evidence, which the judge names.
pub struct CaseCaptures {
    subject: Option<CaptureFile>,
    references: Vec<Opened>,
}

/// Those of one reference.
struct Opened {
    name: String,
    peer: Option<CaptureFile>,
    f64: Option<CaptureFile>,
}

impl CaseCaptures {
    /// Opens the subject's, by `open` of nothing, and those of references, in order of precedence: each as a peer, at that
    /// precision, and as a voice.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn open<'a, E>(
        references: impl IntoIterator<Item = &'a str>,
        peer: Precision,
        open: impl Fn(Option<(&str, Precision)>) -> Result<Option<CaptureFile>, E>,
    ) -> Result<Self, E> {
        let subject = open(None)?;
        let of = |name: &str| {
            let at = |precision| open(Some((name, precision)));
            Ok(Opened { name: name.to_owned(), peer: at(peer)?, f64: at(Precision::F64)? })
        };
        let references = references.into_iter().map(of).collect::<Result<_, E>>()?;
        Ok(Self { subject, references })
    }

    /// The references as evidence.
    pub fn references(&self) -> Vec<ReferenceCaptures<'_>> {
        self.references
            .iter()
            .map(|opened| ReferenceCaptures {
                name: opened.name.clone(),
                peer: source(&opened.peer),
                f64: source(&opened.f64),
            })
            .collect()
    }

    /// Lays all of it before `look`.
    pub fn show<T>(&self, case: &Case, look: impl FnOnce(&CaseEvidence<'_>) -> T) -> T {
        let nothing = BTreeSet::new();
        look(&CaseEvidence {
            case,
            subject: source(&self.subject),
            not_contiguous: self.subject.as_ref().map_or(&nothing, CaptureFile::not_contiguous),
            references: &self.references(),
        })
    }
}

fn source(file: &Option<CaptureFile>) -> Source<'_> {
    file.as_ref().map(|file| file as &dyn TensorSource)
}
