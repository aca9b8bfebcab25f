//! Bounds on what a record may claim, before anything is planned from it.

use super::records::Records;
use super::{Problem, Room, sound_if_none};
use crate::layout::{self, case_path};

/// References, and cases.
const MOST: usize = 1_000;
/// Layers times steps of all cases: what the plan of a run grows with.
const MOST_LAYER_STEPS: usize = 20_000;
/// A size of the model: no symbol of a specs' shape stands for more.
const LARGEST_SIZE: usize = 1 << 32;

/// Refuses records that call for more than any run has.
pub(super) fn check(records: &Records) -> Room<()> {
    let results = &records.results;
    let mut problems = Vec::new();
    for (what, found) in [("references", results.references.len()), ("cases", results.cases.len())] {
        if found > MOST {
            problems.push(Problem::at(layout::RESULTS, format!("{found} {what}, at most {MOST} are read")));
        }
    }
    let size = |symbol: &str| results.architecture.sizes.get(symbol).copied().unwrap_or_default();
    for (symbol, size) in results.architecture.sizes.iter().filter(|(_, size)| **size > LARGEST_SIZE) {
        problems.push(Problem::at(layout::RESULTS, format!("the size {symbol} is {size}: no model's")));
    }
    for case in &records.cases {
        if let Err(error) = case.validate(size("V"), size("C")) {
            problems.push(Problem::at(case_path(&case.id), error.to_string()));
        }
        // Who was fed the oracle's tokens is in a note; the case is the same for everyone.
        if case.forced.is_some() {
            problems.push(Problem::at(
                case_path(&case.id),
                "says what is to be fed, which no case of a run does",
            ));
        }
    }
    let steps = records.cases.iter().fold(0usize, |sum, case| sum.saturating_add(case.schedule.len().max(1)));
    let found = results.architecture.layers.saturating_mul(steps);
    if found > MOST_LAYER_STEPS {
        let message = format!("{found} steps of layers, at most {MOST_LAYER_STEPS} are planned");
        problems.push(Problem::at(layout::RESULTS, message));
    }
    sound_if_none(problems, ())
}
