//! Repeats, worded alike in every rendering. All of it is harmless text.

use checkpoint_spec::{Repeated, Results};

use crate::text::plain;
use crate::{figures, words};

/// What the repeats rest on.
pub(crate) const ABOUT: &str = "The same cases again, in one process, in fresh processes and with other thread \
    counts. The first repeat is the run that is judged, and its digest follows from the tensors of the bundle; the \
    others' are recorded, not recomputed. The references' repeats are for information.";

/// `pass: the same bits; 5 repeats in 3 processes, threads 1, 2; 34 of 34 activations compared, cases: 8`.
pub(crate) fn line(results: &Results) -> String {
    let verdict = words::verdict(results.determinism.verdict);
    let subject = results.subject.to_string();
    match results.determinism.implementations.iter().find(|repeated| repeated.implementation == subject) {
        Some(repeated) => plain(&format!("{verdict}: {}", outcome(repeated))),
        None => format!("{verdict}: no run of the subject was repeated"),
    }
}

/// What came of the repeats of one implementation.
pub(crate) fn outcome(repeated: &Repeated) -> String {
    let numbers = |of: fn(&checkpoint_spec::Repeat) -> usize| {
        let mut numbers: Vec<usize> = repeated.repeats.iter().map(of).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    };
    let threads: Vec<String> = numbers(|repeat| repeat.threads).iter().map(ToString::to_string).collect();
    let agreement = match &repeated.first_difference {
        None => "the same bits".to_owned(),
        Some(difference) => {
            let step = difference.step.map(|step| format!("step{step}/")).unwrap_or_default();
            let [first, other] = difference.between;
            format!(
                "not the same bits, first in {} {step}{} between repeats {first} and {other}",
                difference.case, difference.activation
            )
        }
    };
    plain(&format!(
        "{agreement}; {} repeats in {} processes, threads {}; {} of {} activations compared, cases: {}",
        repeated.repeats.len(),
        numbers(|repeat| repeat.process).len(),
        threads.join(", "),
        figures::count(repeated.compared),
        figures::count(repeated.required),
        repeated.cases.len(),
    ))
}

/// The repeats of one implementation, one by one: process, threads, digest.
pub(crate) fn rows(repeated: &Repeated) -> Vec<[String; 4]> {
    let row = |(index, repeat): (usize, &checkpoint_spec::Repeat)| {
        [index.to_string(), repeat.process.to_string(), repeat.threads.to_string(), plain(&repeat.sha256)]
    };
    repeated.repeats.iter().enumerate().map(row).collect()
}
