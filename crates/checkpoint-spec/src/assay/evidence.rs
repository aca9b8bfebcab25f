//! What is laid before the assay.

use std::collections::BTreeSet;

use capture::{Case, Precision, TensorName, TensorSource};

use crate::plan::Traits;
use crate::{Architecture, SpecSet};

/// What holds for a whole run.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The law.
    pub specs: &'a SpecSet,
    /// The model's sizes and constants.
    pub architecture: &'a Architecture,
    /// What the registry knows of the subject.
    pub traits: Traits,
    /// `c` of the rounding budgets; see [`crate::confidence`].
    pub confidence: f64,
    /// The subject: `rust@f32`.
    pub subject: &'a str,
}

impl Setting<'_> {
    /// What the subject computes in, or stores its results in: its label says so.
    pub fn precision(&self) -> Precision {
        let named = self.subject.rsplit_once('@').and_then(|(_, name)| Precision::parse(name));
        named.unwrap_or(Precision::F32)
    }
}

/// What one implementation produced at one precision for one case.
#[derive(Clone, Copy, Default)]
pub struct Captures<'a> {
    /// Chained.
    pub run: Option<&'a dyn TensorSource>,
    /// Isolated.
    pub replay: Option<&'a dyn TensorSource>,
}

/// What one reference produced for one case.
#[derive(Clone)]
pub struct ReferenceCaptures<'a> {
    /// `torch`.
    pub name: String,
    /// Where it is a peer of the subject: at f32, or at the subject's own half precision.
    pub peer: Captures<'a>,
    /// At f64, where it can be the oracle.
    pub f64: Captures<'a>,
}

/// All captures of one case.
pub struct CaseEvidence<'a> {
    /// The case.
    pub case: &'a Case,
    /// The subject's.
    pub subject: Captures<'a>,
    /// Activations of the subject's run that were not contiguous.
    pub not_contiguous: &'a BTreeSet<TensorName>,
    /// The references', in order of precedence; the first is the oracle.
    pub references: &'a [ReferenceCaptures<'a>],
}

impl ReferenceCaptures<'_> {
    /// `torch@f64`.
    pub fn at(&self, precision: Precision) -> String {
        format!("{}@{precision}", self.name)
    }
}

impl<'a> CaseEvidence<'a> {
    /// The reference whose f64 captures are the oracle.
    pub fn oracle(&self) -> Option<&'a ReferenceCaptures<'a>> {
        self.references.first()
    }

    /// The references that judge the subject at its precision: all but the subject itself, which would agree with itself.
    pub fn peers(&self, setting: &Setting<'_>) -> impl Iterator<Item = &'a ReferenceCaptures<'a>> {
        let (subject, precision) = (setting.subject.to_owned(), setting.precision().peer());
        self.references.iter().filter(move |reference| reference.at(precision) != subject)
    }
}
