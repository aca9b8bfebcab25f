//! Repeats of the subject → one word.

use capture::TensorName;

use super::RunFacts;
use crate::determinism::{REPEATS, repeated_activations};
use crate::plan::Traits;
use crate::results::{Determinism, Difference, Finding, Reason, Repeated, Verdict};
use crate::spec::{SpecError, SpecSet};

/// Judges the repeats. What is required follows from specs, architecture and cases: all cases of the run for the
/// subject, those that were repeated for the others.
pub(super) fn judge(specs: &SpecSet, facts: &RunFacts) -> Result<Determinism, SpecError> {
    let subject = facts.subject.to_string();
    let mut implementations = facts.repeats.clone();
    for repeated in &mut implementations {
        let is_subject = repeated.implementation == subject;
        let name = repeated.implementation.split('@').next().unwrap_or_default();
        let traits = if is_subject { facts.traits } else { Traits::of(name, facts.traits.tokenizer) };
        let cases = facts.cases.iter().map(|(case, _)| case);
        let cases = cases.filter(|case| is_subject || repeated.cases.contains(&case.id));
        repeated.required = repeated_activations(specs, &facts.architecture, traits, cases)?.len() as u64;
    }
    let of_subject: Vec<&Repeated> =
        implementations.iter().filter(|repeated| repeated.implementation == subject).collect();
    let all_cases =
        |repeated: &Repeated| repeated.cases.iter().eq(facts.cases.iter().map(|(case, _)| &case.id));
    let (verdict, finding) = match of_subject[..] {
        [repeated] => (
            verdict(repeated, all_cases(repeated)),
            repeated.first_difference.as_ref().map(|difference| finding(repeated, difference)),
        ),
        _ => (Verdict::Incomplete, None),
    };
    Ok(Determinism { verdict, finding, implementations })
}

fn verdict(repeated: &Repeated, all_cases: bool) -> Verdict {
    let first = repeated.repeats.first();
    let differs =
        repeated.repeats.iter().any(|repeat| Some(&repeat.sha256) != first.map(|first| &first.sha256));
    if differs || repeated.first_difference.is_some() {
        Verdict::Fail
    } else if !(all_cases && all_repeats_made(repeated))
        || repeated.required == 0
        || repeated.compared != repeated.required
    {
        Verdict::Incomplete
    } else {
        Verdict::Pass
    }
}

/// Whether the run that is judged was followed by every repeat that there must be.
fn all_repeats_made(repeated: &Repeated) -> bool {
    let of = |process: usize| repeated.repeats.iter().filter(move |repeat| repeat.process == process);
    repeated.repeats.first().is_some_and(|first| first.process == 0)
        && of(0).count() == 1
        && REPEATS.iter().enumerate().all(|(index, &(threads, times))| {
            of(index + 1).filter(|repeat| repeat.threads == threads).count() >= times
        })
}

fn finding(repeated: &Repeated, difference: &Difference) -> Finding {
    let repeat = |index: usize| match repeated.repeats.get(index) {
        Some(repeat) => {
            format!("repeat {index} (process {}, {} threads)", repeat.process, repeat.threads)
        }
        None => format!("repeat {index}"),
    };
    let [first, other] = difference.between;
    let tensor = TensorName { step: difference.step, activation: difference.activation.clone() };
    Finding {
        case: difference.case.clone(),
        tensor: tensor.to_string(),
        reason: Reason::Determinism,
        message: format!(
            "not the same bits in {} and {}: the same question must give the same answer",
            repeat(first),
            repeat(other)
        ),
    }
}

#[cfg(test)]
mod tests;
