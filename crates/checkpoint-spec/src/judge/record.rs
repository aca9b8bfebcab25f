//! What a record says of a run beside its numbers.

use capture::Case;

use super::{FaultFacts, RunFacts};
use crate::plan::Traits;
use crate::results::Results;

impl RunFacts {
    /// What the judge was told, from the record: for whoever judges again. `tokenizer` and `subject_weights` say
    /// whether the model had a tokenizer, and the subject weights of its own.
    ///
    /// What the judge derives is not taken over: reservations of checkpoints, words of faults, laws and repeats.
    pub fn recorded(results: &Results, cases: &[Case], tokenizer: bool, subject_weights: bool) -> Self {
        let abouts = results.cases.iter().map(|summary| summary.about.clone());
        let not_applicable = results.checkpoints.iter().flat_map(|checkpoint| {
            checkpoint.not_applicable.iter().map(|what| (checkpoint.id.clone(), what.clone()))
        });
        let observations = results.faults.faults.iter().filter_map(|fault| fault.observation.clone());
        let of_the_run = results.reservations.iter().filter(|reservation| reservation.checkpoint.is_none());
        Self {
            model: results.model.clone(),
            architecture: results.architecture.clone(),
            subject: results.subject.clone(),
            traits: Traits::of(&results.subject.name, tokenizer),
            references: results.references.clone(),
            cases: cases.iter().cloned().zip(abouts).collect(),
            subject_weights,
            selected: results.checkpoints.iter().map(|checkpoint| checkpoint.id.clone()).collect(),
            repeats: results.determinism.implementations.clone(),
            laws: results.laws.numbers.clone(),
            incidents: results.incidents.clone(),
            reservations: of_the_run.cloned().collect(),
            not_applicable: not_applicable.collect(),
            faults: FaultFacts {
                extent: results.faults.extent,
                observations: observations.collect(),
                problem: results.faults.problem.clone(),
            },
            notes: results.notes.clone(),
            options: results.options.clone(),
            keep: results.tensors.keep,
        }
    }
}
