//! What is true of a run beside its numbers.

use anyhow::Result;
use checkpoint_spec::{Applies, FaultFacts, NotApplicable, Reservation, RunFacts};
use proof_bundle::DIRTY;

use super::{Produced, Request, incidents, reference_identity};
use crate::implementation::{Means, traits};
use crate::materials;

/// Gathers the facts for the judge.
pub(crate) fn facts(request: &Request, means: &Means, produced: &Produced) -> Result<RunFacts> {
    let subject = request.subject.start(means)?;
    let traits = traits(subject.as_ref(), request.model.tokenizer.is_some());
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
        let reason = format!("the cache of {} grows with the sequence", subject.label());
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
        reservations.push(reservation(format!(
            "one reference ({}) judges alone, by choice; no quorum confirms it",
            request.references.join(", ")
        )));
    }
    if materials::work_tree_is_dirty(&means.place.root) {
        reservations.push(reservation(DIRTY.to_owned()));
    }
    Ok(RunFacts {
        model: request.model.name.clone(),
        architecture: request.model.architecture.clone(),
        subject: produced.subject.identity.clone().unwrap_or_else(|| unanswered(&subject.label())),
        traits,
        references: request.references.iter().map(|name| reference_identity(produced, name)).collect(),
        cases: request.cases.iter().map(|planned| (planned.case.clone(), planned.about.clone())).collect(),
        subject_weights: request.subject_model.is_some(),
        selected: request.selected.clone(),
        repeats: Vec::new(),
        laws: Vec::new(),
        incidents: incidents(produced),
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

fn unanswered(label: &str) -> capture::Identity {
    let (name, precision) = label.rsplit_once('@').unwrap_or((label, ""));
    capture::Identity {
        name: name.to_owned(),
        version: "did not answer".to_owned(),
        precision: capture::Precision::parse(precision).unwrap_or(capture::Precision::F32),
        device: "unknown".to_owned(),
    }
}
