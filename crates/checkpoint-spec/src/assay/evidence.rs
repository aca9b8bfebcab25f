//! What is laid before the assay.

use std::collections::BTreeSet;

use capture::{Case, Precision, TensorName, TensorSource};
use oracle::Model;

use crate::plan::Traits;
use crate::{Architecture, SpecSet};

/// What holds for a whole run.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The law.
    pub specs: &'a SpecSet,
    /// The model's sizes and constants.
    pub architecture: &'a Architecture,
    /// The model, by which the oracle judges; none where its weights are not at hand, and then nothing is judged.
    pub model: Option<&'a Model>,
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

/// What one implementation left of one case, if it left anything.
pub type Source<'a> = Option<&'a dyn TensorSource>;

/// What one reference left of one case.
#[derive(Clone)]
pub struct ReferenceCaptures<'a> {
    /// `torch`.
    pub name: String,
    /// Where it is a peer of the subject: at f32, or at the subject's own half precision.
    pub peer: Source<'a>,
    /// At f64, where it is a voice.
    pub f64: Source<'a>,
}

/// All captures of one case.
pub struct CaseEvidence<'a> {
    /// The case.
    pub case: &'a Case,
    /// The subject's.
    pub subject: Source<'a>,
    /// Activations of the subject that were not contiguous.
    pub not_contiguous: &'a BTreeSet<TensorName>,
    /// The references', in order of precedence.
    pub references: &'a [ReferenceCaptures<'a>],
}

impl ReferenceCaptures<'_> {
    /// `torch@f64`.
    pub fn at(&self, precision: Precision) -> String {
        format!("{}@{precision}", self.name)
    }
}

impl<'a> CaseEvidence<'a> {
    /// The subject and its peers, that is every reference at its precision but itself, by name.
    pub(super) fn measured(&self, setting: &Setting<'_>) -> Vec<(String, Source<'a>)> {
        let precision = setting.precision().peer();
        let peers = self.references.iter().map(|reference| (reference.at(precision), reference.peer));
        let others = peers.filter(|(name, _)| name != setting.subject);
        std::iter::once((setting.subject.to_owned(), self.subject)).chain(others).collect()
    }
}
