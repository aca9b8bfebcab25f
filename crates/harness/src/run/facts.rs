//! What is true of a run beside its numbers.

use anyhow::Result;
use checkpoint_spec::{Applies, FaultFacts, NotApplicable, Reservation, RunFacts};
use proof_bundle::DIRTY;

use crate::captures::{Produced, unanswered};
use crate::implementation::Means;
use crate::materials;
use crate::request::Request;

/// Gathers the facts for the judge.
pub fn facts(request: &Request, means: &Means, produced: &Produced) -> Result<RunFacts> {
    let traits = request.subject.traits(request.model.tokenizer.is_some())?;
    let label = request.subject.label()?;
    let mut not_applicable = Vec::new();
    let mut does_not_apply = |checkpoint: &str, what: &str, reason: String| {
        not_applicable.push((checkpoint.to_owned(), NotApplicable { what: what.to_owned(), reason }));
    };
    let mut notes = Vec::new();
    let specs = request.model.specs()?;
    let of_specs = |applies: Applies| {
        let all = specs.activations().filter(move |(_, _, activation)| activation.applies == applies);
        all.map(|(spec, _, activation)| (specs.specs[spec].id.clone(), activation.name.clone()))
    };
    if !traits.preallocated_cache {
        let reason = format!("the cache of {} grows with the sequence", label);
        for (checkpoint, activation) in of_specs(Applies::PreallocatedCache) {
            does_not_apply(&checkpoint, &activation, reason.clone());
        }
    }
    if !traits.tokenizer {
        for (checkpoint, activation) in of_specs(Applies::Tokenizer) {
            does_not_apply(&checkpoint, &activation, "the model has no tokenizer".to_owned());
        }
        notes.push("the model has no tokenizer: the cases run on seeded token ids".to_owned());
    }
    for (case, reason) in &request.do_not_fit {
        notes.push(format!("case `{case}` does not apply to this model: {reason}"));
    }
    if let Some(model) = &request.subject_model {
        notes.push(format!(
            "the subject has weights of its own ({}); weight digests are not judged",
            model.name
        ));
    }
    let mut reservations = Vec::new();
    for spec in &specs.specs {
        for golden in &spec.goldens {
            let what = format!("golden {:?} ({})", golden.prompt, golden.source);
            if golden.applies_to(&request.model.name) {
                reservations.push(reservation(format!("{what} is not run: only the bundled cases are")));
            } else {
                let reason = format!("it belongs to the weights of {}", golden.models.join(" or "));
                not_applicable.push((spec.id.clone(), NotApplicable { what, reason }));
            }
        }
    }
    if request.references.len() < 2 {
        let alone = match request.references.first() {
            Some(name) => format!("one reference ({name}) judges alone, by choice; no quorum confirms it"),
            None => "no reference holds the graph to account, by choice".to_owned(),
        };
        reservations.push(reservation(alone));
    }
    if materials::work_tree_is_dirty(&means.place.root) {
        reservations.push(reservation(DIRTY.to_owned()));
    }
    let subject = match &produced.subject.identity {
        Some(identity) => identity.clone(),
        None => unanswered(&request.subject.reported()?, request.subject.precision),
    };
    Ok(RunFacts {
        model: request.model.name.clone(),
        architecture: request.model.architecture.clone(),
        subject,
        traits,
        references: request.references.iter().map(|name| produced.reference_identity(name)).collect(),
        cases: request.cases.iter().map(|planned| (planned.case.clone(), planned.about.clone())).collect(),
        subject_weights: request.subject_model.is_some(),
        selected: request.selected.clone(),
        repeats: Vec::new(),
        laws: Vec::new(),
        incidents: produced.incidents(),
        reservations,
        not_applicable,
        faults: FaultFacts::default(),
        notes,
        options: request.options.clone(),
        keep: request.keep,
    })
}

fn reservation(message: String) -> Reservation {
    Reservation { checkpoint: None, message }
}
