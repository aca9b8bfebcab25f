//! A case, what a correct subject hands in for it, and what the checks make of it.

use std::collections::BTreeSet;

use capture::{Capture, Case, Precision, Tensor, TensorName};

use super::model;
use crate::checks::{Check, CheckContext, Examination};
use crate::plan::{Required, Traits, required};
use crate::spec::SpecSet;

/// c of a run of a million elements.
const CONFIDENCE: f64 = 4.9;
const TRAITS: Traits = Traits { preallocated_cache: true, tokenizer: true };

/// A case, what a correct subject hands in for it, and what is required of it.
pub(super) struct Scene {
    pub(super) specs: SpecSet,
    pub(super) case: Case,
    pub(super) precision: Precision,
    pub(super) capture: Capture,
    pub(super) plan: Vec<Required>,
}

impl Scene {
    pub(super) fn new(case: Case, precision: Precision) -> Self {
        let specs = SpecSet::bundled("gpt2").unwrap();
        let plan = required(&specs, &model::architecture(), &case, TRAITS, precision).unwrap();
        let capture = model::How::correct(precision).run(&model::tiny(specs.graph()), &case);
        Self { capture, specs, case, precision, plan }
    }

    /// Prefill and decode, two rows, generation.
    pub(super) fn decode() -> Self {
        Self::new(model::case(2, &[3, 1, 1], 3), Precision::F32)
    }

    /// What a requirement is about, as far as its check applies.
    pub(super) fn of(&self, id: &str) -> (Check, usize, Vec<Required>) {
        let (index, spec) = self.specs.specs.iter().enumerate().find(|(_, s)| id.starts_with(&s.id)).unwrap();
        let requirement = spec.requirements.iter().find(|requirement| requirement.id == id).unwrap();
        let named = |r: &&Required| {
            r.spec == index
                && requirement.of.contains(&spec.activations[r.activation].name)
                && requirement.check.applies_to(&model::architecture(), &self.case, r)
        };
        (requirement.check, index, self.plan.iter().filter(named).cloned().collect())
    }

    pub(super) fn examine_with(
        &self,
        id: &str,
        not_contiguous: &BTreeSet<TensorName>,
    ) -> (usize, Examination) {
        let (check, spec, required) = self.of(id);
        let examination = check.examine(&CheckContext {
            spec: &self.specs.specs[spec],
            architecture: &model::architecture(),
            case: &self.case,
            precision: self.precision,
            confidence: CONFIDENCE,
            capture: &self.capture,
            not_contiguous,
            required: &required,
        });
        (required.len(), examination)
    }

    pub(super) fn examine(&self, id: &str) -> (usize, Examination) {
        self.examine_with(id, &BTreeSet::new())
    }

    pub(super) fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.capture.tensors.get_mut(&TensorName::parse(name).unwrap()).unwrap()
    }

    pub(super) fn change(&mut self, name: &str, change: impl FnOnce(&mut Vec<f64>)) {
        let tensor = self.tensor(name);
        *tensor = model::changed(tensor, change);
    }

    /// Every requirement whose check looks at tensors itself.
    pub(super) fn examined(&self) -> Vec<(String, Check)> {
        let requirements = self.specs.specs.iter().flat_map(|spec| &spec.requirements);
        requirements.filter(|r| r.check.is_examined()).map(|r| (r.id.clone(), r.check)).collect()
    }

    #[track_caller]
    pub(super) fn passes_everything(&self) {
        for (id, check) in self.examined() {
            let (required, examination) = self.examine(&id);
            assert_eq!(examination.findings, [], "{id} {check:?}");
            assert_eq!(examination.checked, required as u64, "{id} {check:?}");
        }
    }
}

/// The requirement is departed from at exactly one tensor, and says so in those words.
#[track_caller]
pub(super) fn caught(scene: &Scene, id: &str, tensor: &str, words: &str) {
    let (required, examination) = scene.examine(id);
    assert_eq!(examination.checked, required as u64, "{id}");
    let found: Vec<&str> = examination.findings.iter().map(|finding| finding.tensor.as_str()).collect();
    assert_eq!(found, [tensor], "{id}: {:?}", examination.findings);
    let message = &examination.findings[0].message;
    assert!(message.contains(words), "{message:?} does not say {words:?}");
}
