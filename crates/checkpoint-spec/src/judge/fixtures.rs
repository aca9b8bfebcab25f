//! Parts of a run, made by hand: for the tests of the judge.

use std::collections::BTreeMap;

use capture::{Case, Identity, Precision, Shape, TensorName};
use tensor_compare::{DType, NonFinite};

use super::{FaultFacts, RunFacts};
use crate::assay::{CaseAssay, ORACLE, Observation};
use crate::plan::{Required, Traits};
use crate::results::{
    BudgetRecord, Comparison, ComparisonVerdict, Finding, Keep, Mode, Outcome, Reason, RequirementResult,
    StatisticsRecord, SystematicRecord,
};
use crate::{Architecture, Measured, SpecSet};

pub(super) const CASE: &str = "tiny";

pub(super) fn specs() -> SpecSet {
    SpecSet::bundled("gpt2").unwrap()
}

/// One case, two references, all of it right as far as it is there.
pub(super) fn facts() -> RunFacts {
    let sizes = [("C", 8), ("D", 4), ("F", 16), ("H", 2), ("Dh", 2), ("V", 9)];
    let identity = |name: &str| Identity {
        name: name.to_owned(),
        version: "1".to_owned(),
        precision: Precision::F32,
        device: "cpu".to_owned(),
    };
    RunFacts {
        model: "by hand".to_owned(),
        architecture: Architecture {
            family: "gpt2".to_owned(),
            layers: 1,
            sizes: sizes.map(|(symbol, size)| (symbol.to_owned(), size)).into(),
            constants: BTreeMap::from([("epsilon".to_owned(), 1e-5)]),
            features: std::collections::BTreeSet::new(),
        },
        subject: identity("subject"),
        traits: Traits { preallocated_cache: false, tokenizer: false },
        references: vec![identity("first"), identity("second")],
        cases: vec![(case(CASE), "a case".to_owned())],
        subject_weights: false,
        selected: Vec::new(),
        repeats: Vec::new(),
        laws: Vec::new(),
        incidents: Vec::new(),
        reservations: Vec::new(),
        not_applicable: Vec::new(),
        faults: FaultFacts::default(),
        notes: Vec::new(),
        options: Vec::new(),
        keep: Keep::Full,
    }
}

pub(super) fn case(id: &str) -> Case {
    Case {
        id: id.to_owned(),
        token_ids: vec![vec![1, 2, 3], vec![4, 5, 6]],
        texts: None,
        schedule: vec![2, 1],
        generate: 2,
        forced: None,
    }
}

/// Of four floats without an error.
pub(super) fn statistics() -> StatisticsRecord {
    let nothing = Measured(0.0);
    StatisticsRecord {
        elements: 4,
        violations: 0,
        non_finite: NonFinite::default(),
        max_abs: nothing,
        mean_abs: nothing,
        max_rel: nothing,
        rmse: nothing,
        cosine: None,
        max_ulp: Some(0),
        used: nothing,
        range: None,
        buckets: Vec::new(),
        worst: Vec::new(),
        ties: 0,
        budget: None,
    }
}

/// A budget with so many elements outside, and a systematic error that takes such a share of what it may be.
pub(super) fn budget(violations: u64, systematic: f64) -> BudgetRecord {
    let nothing = Measured(0.0);
    let systematic = SystematicRecord {
        axis: None,
        paired: false,
        index: None,
        scale: nothing,
        scale_allowed: nothing,
        offset: nothing,
        offset_allowed: nothing,
        used: Measured(systematic),
    };
    BudgetRecord { used: nothing, violations, worst: None, systematic: vec![systematic] }
}

pub(super) fn compared(statistics: StatisticsRecord) -> Outcome {
    Outcome::Compared { shape: Shape::new([4]).unwrap(), statistics: Box::new(statistics) }
}

pub(super) fn failed() -> Outcome {
    compared(StatisticsRecord { violations: 1, ..statistics() })
}

pub(super) fn missing(side: &str) -> Outcome {
    Outcome::Missing { side: side.to_owned().into() }
}

/// Of the activation whose spec has this name, under the name that layer 0 gives it, in step 0.
pub(super) fn observation(specs: &SpecSet, template: &str, mode: Mode, outcome: Outcome) -> Observation {
    let found = specs.activations().find(|(_, _, activation)| activation.name == template);
    let (spec, activation, found) = found.unwrap();
    let layer = found.is_layered().then_some(0);
    Observation {
        required: Required {
            spec,
            activation,
            name: TensorName { step: Some(0), activation: template.replace("{l}", "0") },
            layer,
            shape: Shape::new([4]).unwrap(),
            dtype: DType::F32,
        },
        case: CASE.to_owned(),
        mode,
        reference: ORACLE.to_owned(),
        outcome,
        inputs: Vec::new(),
        chained_allowed: None,
    }
}

pub(super) fn assay(observations: Vec<Observation>) -> CaseAssay {
    CaseAssay {
        case: CASE.to_owned(),
        observations,
        requirements: Vec::new(),
        unexpected: Vec::new(),
        quorum: Vec::new(),
        measured: Vec::new(),
    }
}

pub(super) fn comparison(verdict: ComparisonVerdict, downstream: bool) -> Comparison {
    Comparison {
        name: "ln_f".to_owned(),
        layer: None,
        step: Some(0),
        case: CASE.to_owned(),
        mode: Mode::Isolated,
        reference: ORACLE.to_owned(),
        outcome: compared(statistics()),
        verdict,
        reason: None,
        chained_allowed: None,
        downstream,
    }
}

pub(super) fn finding(reason: Reason) -> Finding {
    Finding { case: CASE.to_owned(), tensor: "ln_f".to_owned(), reason, message: "said".to_owned() }
}

/// Checked as often as required.
pub(super) fn requirement(verdict: ComparisonVerdict, findings: Vec<Finding>) -> RequirementResult {
    let (id, text) = ("01.1".to_owned(), "holds".to_owned());
    RequirementResult { id, text, checked: 2, required: 2, verdict, findings }
}
