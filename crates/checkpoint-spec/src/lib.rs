//! The law: what every checkpoint requires, what was compared, and the one function that says what it means.
//!
//! The data flows `specs + case → required set → comparisons → judge → results`. The same functions serve the run
//! and the verifier, so a verdict cannot be written that the recorded tensors do not give.
//!
//! Architecture invariant: nothing here runs a model, starts a process or writes a file. The number of required
//! comparisons comes from the specs and the architecture, never from what was found.
#![forbid(unsafe_code)]

mod architecture;
mod assay;
mod budget;
mod cases;
mod checks;
mod determinism;
mod judge;
mod laws;
mod measured;
mod plan;
mod results;
mod spec;

pub use architecture::Architecture;
pub use assay::{
    Captures, CaseAssay, CaseEvidence, ExaminedRequirement, ITSELF, Observation, PeerObservation,
    QuorumObservation, ReferenceAssay, ReferenceCaptures, Setting, assay, assay_references, assay_subject,
    first_flips_are_ties, recorded,
};
pub use budget::confidence;
pub use cases::{CaseTemplate, Context, Encode, Length, TemplateError, bundled_cases, case_sources, fresh};
pub use checks::{Check, CheckContext, Examination};
pub use determinism::{
    ActivationDigest, REPEATS, RepeatDigests, RepeatedActivation, activation_digest, compare_repeats,
    repeat_digest, repeated_activations,
};
pub use judge::{FaultFacts, RunFacts, fault_case, judge, observe_fault};
pub use laws::{LawBound, law_bound, law_cases, measure_law, refused_case};
pub use measured::Measured;
pub use plan::{Required, Traits, direct_inputs, required};
pub use results::*;
pub use spec::{
    ActivationSpec, Applies, Arithmetic, BudgetRule, Derivation, FalseAlarm, FaultJudge, FaultSpec, Golden,
    HalfRule, Kind, LawId, LawSpec, Need, NonFinitePolicy, Requirement, Rule, Spec, SpecError, SpecSet,
    Steps,
};
