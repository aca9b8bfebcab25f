//! Laws, worded alike in every rendering. All of it is harmless text.

use std::collections::BTreeSet;

use checkpoint_spec::{LawBound, LawNumbers, LawPlace, Results, Verdict};

use crate::text::plain;
use crate::{figures, words};

/// What the laws rest on.
pub(crate) const ABOUT: &str = "What an implementation leaves for one case says what it must leave for another: the \
    same bits where the arithmetic is the same; where another order of summation is legitimate, at most what the errors \
    of replicas allow, or at f64 what references may be apart. The captures are not in the bundle; the numbers are \
    recorded and judged again.";

/// `pass: 8 laws, 3 implementations, 4,000 of 4,000 parts compared`.
pub(crate) fn line(results: &Results) -> String {
    let numbers = &results.laws.numbers;
    let verdict = words::verdict(results.laws.verdict);
    if numbers.is_empty() {
        return format!("{verdict}: no law was asked of anyone");
    }
    let laws: BTreeSet<_> = numbers.iter().map(|found| found.law).collect();
    let implementations: BTreeSet<_> = numbers.iter().map(|found| &found.implementation).collect();
    let sum = |of: fn(&LawNumbers) -> u64| figures::count(numbers.iter().map(of).sum());
    let mut text = format!(
        "{verdict}: {} laws, {} implementations, {} of {} parts compared",
        laws.len(),
        implementations.len(),
        sum(|found| found.compared),
        sum(|found| found.required),
    );
    let unmet = numbers.iter().filter(|found| found.verdict != Verdict::Pass).count();
    if unmet > 0 {
        text += &format!("; {} do not pass", figures::count(unmet as u64));
    }
    text
}

/// The first breaches, each in a line.
pub(crate) fn findings(results: &Results) -> impl Iterator<Item = String> + '_ {
    let findings = results.laws.findings.iter();
    findings.map(|finding| plain(&format!("{} {}: {}", finding.case, finding.tensor, finding.message)))
}

/// One law and implementation: law, implementation, bound, parts, worst difference, where, verdict.
pub(crate) fn row(numbers: &LawNumbers) -> [String; 7] {
    let place = numbers.first.as_ref().or(numbers.worst.as_ref());
    let found = numbers.problem.clone().or_else(|| place.map(at)).or_else(|| numbers.refusal.clone());
    [
        numbers.law.name().to_owned(),
        plain(&numbers.implementation),
        bound(numbers.bound).to_owned(),
        format!("{} of {}", figures::count(numbers.compared), figures::count(numbers.required)),
        figures::error(numbers.max_abs.0),
        plain(&found.unwrap_or_default()),
        words::verdict(numbers.verdict).to_owned(),
    ]
}

fn at(place: &LawPlace) -> String {
    let position = place.position.map(|position| format!(", position {position}")).unwrap_or_default();
    format!("{} {}{position}: {}", place.case, place.tensor, place.message)
}

const fn bound(bound: LawBound) -> &'static str {
    match bound {
        LawBound::Bits => "the same bits",
        LawBound::Replicas => "as replicas differ",
        LawBound::Quorum => "as references at f64",
    }
}
