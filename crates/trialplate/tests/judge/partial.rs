//! Little is dumped: whatever is there is judged, through what it allows.

use std::collections::BTreeMap;

use capture::Precision;
use checkpoint_spec::{ComparisonVerdict, Mode, Verdict};
use oracle::HalfFormat;
use trialplate::{CheckOptions, Tokens, check};

use crate::support::{bundled, case, checked, dump, only, qwen3, right, stored_in};

/// Which tensors are dumped.
type Keep = fn(&str) -> bool;

#[test]
fn whatever_is_there_is_judged() {
    for subject in [bundled(), qwen3()] {
        let whole = right(&subject, 1, 10);
        let dumps: [(&str, Keep); 6] = [
            ("logits alone", |name| ["token_ids", "logits"].contains(&name)),
            ("the token alone", |name| ["token_ids", "token"].contains(&name)),
            ("the last logits alone", |name| ["token_ids", "logits.last"].contains(&name)),
            ("hidden states", |name| {
                name == "token_ids" || name == "logits" || name.ends_with("out") && !name.contains('n')
            }),
            ("one layer", |name| name.starts_with("h.1.") || name == "h.0.out" || name == "token_ids"),
            ("attention without queries", |name| !name.ends_with(".q")),
        ];
        for (what, keep) in dumps {
            let results = checked(&only(&whole, keep), &subject);
            assert_eq!(results.verdict, Verdict::Conditional, "{what}: {:?}", results.first_divergence);
            assert_eq!((results.compared, results.exit_code), (results.dumped, 0), "{what}");
            assert!(results.reach.together > 0, "{what}");
        }
    }
}

#[test]
fn what_goes_through_several_blocks_is_judged_by_replicas() {
    let subject = bundled();
    let results =
        checked(&only(&right(&subject, 1, 10), |name| ["token_ids", "logits"].contains(&name)), &subject);
    let logits = results.comparisons.iter().find(|found| found.comparison.name == "logits").unwrap();
    assert_eq!(logits.comparison.mode, Mode::Chained);
    assert_eq!(logits.from, ["token_ids"]);
    assert!(logits.through.len() > 50);
}

#[test]
fn without_token_ids_all_but_the_embedding_is_judged() {
    let subject = bundled();
    let dump = only(&right(&subject, 1, 10), |name| name != "token_ids");
    let results = checked(&dump, &subject);
    assert_eq!((results.verdict, results.exit_code), (Verdict::Incomplete, 4));
    let unjudged: Vec<&str> = results
        .comparisons
        .iter()
        .filter(|found| found.comparison.verdict != ComparisonVerdict::Pass)
        .map(|found| found.comparison.name.as_str())
        .collect();
    assert_eq!(unjudged, ["embd"]);
    assert!(results.notes[0].contains("--tokens"));
    let given = case(&subject, 1, 10, &[10]).token_ids;
    let options = CheckOptions { tokens: Tokens::Ids(given), ..CheckOptions::default() };
    assert_eq!(check("dump", &dump, &subject, &options).unwrap().verdict, Verdict::Pass);
}

#[test]
fn a_step_that_was_dumped_alone_is_judged_by_what_came_before_it() {
    let subject = bundled();
    let case = case(&subject, 1, 8, &[7, 1]);
    let both = dump(&subject, &case, &BTreeMap::new()).unwrap();
    let keep =
        |name: &str| name.contains("token_ids") || name == "step1/logits" || name.starts_with("step1/h.0");
    let results = checked(&only(&both, keep), &subject);
    assert_eq!(results.verdict, Verdict::Conditional, "{:?}", results.first_divergence);
}

#[test]
fn half_precision_is_judged_by_its_own_bounds() {
    for subject in [bundled(), qwen3()] {
        for format in [HalfFormat::Bf16, HalfFormat::F16] {
            let half = stored_in(&subject, format);
            let results = checked(&half, &subject);
            // A half may round the least value that SiLU has to beyond its plausible range, which is a warning.
            assert_eq!(results.exit_code, 0, "{format:?}: {:?}", results.first_divergence);
            assert_eq!((results.compared, results.precision.is_half()), (results.dumped, true));
            let hidden = only(&half, |name| ["token_ids", "h.0.out", "h.1.out", "logits"].contains(&name));
            let results = checked(&hidden, &subject);
            assert_eq!(results.verdict, Verdict::Conditional, "{format:?}: {:?}", results.first_divergence);
            let options = CheckOptions { precision: Some(Precision::F32), ..CheckOptions::default() };
            assert_eq!(check("dump", &half, &subject, &options).unwrap().verdict, Verdict::Fail);
        }
    }
}
