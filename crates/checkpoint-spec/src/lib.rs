//! The law: what every checkpoint requires, what was compared, and the one function that says what it means.
//!
//! The data flows `specs + case → required set → comparisons → judge → results`. The same functions serve the run
//! and the verifier, so a verdict cannot be written that the recorded tensors do not give.
//!
//! Architecture invariant: nothing here runs a model, starts a process or writes a file. The number of required
//! comparisons comes from the specs and the architecture, never from what was found.
#![forbid(unsafe_code)]

mod assay;
mod budget;
mod cases;
mod checks;
mod determinism;
mod judge;
mod laws;
mod measured;
mod plan;
mod reason;
pub mod registry;
mod results;
mod spec;

pub use assay::{
    AssayError, CaseAssay, CaseEvidence, ExaminedRequirement, ITSELF, Judged, Measurement, ORACLE,
    Observation, Part, PartAssay, PartObservation, QuorumObservation, ReferenceAssay, ReferenceCaptures,
    Setting, Source, TOKENS, assay, assay_references, assay_subject, derived, dumpable, recorded,
};
pub use budget::confidence;
pub use cases::{CaseTemplate, Context, Encode, Length, TemplateError, bundled_cases, case_sources, fresh};
pub use checks::{CheckContext, Examination};
pub use determinism::{
    ActivationDigest, REPEATS, RepeatDigests, RepeatedActivation, activation_digest, compare_repeats,
    repeat_digest, repeated_activations,
};
pub use graph::Architecture;
pub use judge::{
    FaultFacts, PartFacts, RunFacts, culprits, diagnose, diagnose_part, fault_case, holds, judge, judge_part,
    observe_fault,
};
pub use laws::{law_bound, law_cases, measure_law, refused_case};
pub use measured::Measured;
pub use plan::{Required, Traits, direct_inputs, required};
pub use results::*;
pub use spec::{
    ActivationSpec, Applies, Arithmetic, BudgetRule, Ceiling, Check, Derivation, FaultJudge, FaultSpec,
    Golden, HalfRule, Judgement, Judging, Kind, LawId, LawSpec, Layers, NamedChange, Need, NonFinitePolicy,
    OperationLaw, Place, Requirement, Rule, Spec, SpecError, SpecSet, Steps, family_of,
};
