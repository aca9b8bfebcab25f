//! What was judged of a capture, for another that differs from it in a few tensors.

use std::collections::{BTreeMap, BTreeSet};

use capture::TensorName;

use super::{CaseAssay, ExaminedRequirement, Observation};
use crate::plan::Required;
use crate::spec::{Derivation, Judgement, Rule};

/// The numbers of one capture, by what they are of.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    observations: BTreeMap<TensorName, Vec<Observation>>,
    requirements: BTreeMap<(usize, usize), ExaminedRequirement>,
}

impl Judged {
    /// What an assay says.
    pub fn of(assay: &CaseAssay) -> Self {
        let mut observations: BTreeMap<TensorName, Vec<Observation>> = BTreeMap::new();
        for observation in &assay.observations {
            observations.entry(observation.required.name.clone()).or_default().push(observation.clone());
        }
        let requirement = |found: &ExaminedRequirement| ((found.spec, found.requirement), found.clone());
        Self { observations, requirements: assay.requirements.iter().map(requirement).collect() }
    }

    /// The observations of an activation, if nothing that was looked at is among what changed.
    pub(super) fn observations(
        &self,
        required: &Required,
        judgement: Option<Judgement<'_>>,
        changed: &BTreeSet<TensorName>,
    ) -> Option<Vec<Observation>> {
        let known = self.observations.get(&required.name)?;
        let from_direct_inputs = match judgement? {
            Judgement::Budget(_) | Judgement::Bits(_) => true,
            Judgement::Rule(Rule::Derived { from, .. }) => {
                matches!(from, Derivation::One | Derivation::WeightDigest | Derivation::ScheduledTokens)
            }
            Judgement::Rule(Rule::Exact { .. } | Rule::Chained { .. }) => false,
        };
        let looked_at = || known.iter().flat_map(|known| known.inputs.iter().chain([&known.required.name]));
        (from_direct_inputs && !looked_at().any(|name| changed.contains(name))).then(|| known.clone())
    }

    /// What the check of a requirement found.
    pub(super) fn requirement(&self, asked: (usize, usize)) -> Option<ExaminedRequirement> {
        self.requirements.get(&asked).cloned()
    }
}
