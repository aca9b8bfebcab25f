//! The figures at the head of the page.

use checkpoint_spec::{CheckpointResult, Results, Verdict};

use crate::{figures, summary, words};

/// A figure with its name.
pub(super) struct Card {
    pub(super) label: &'static str,
    pub(super) value: String,
    pub(super) detail: String,
}

/// Those of a run.
pub(super) fn cards(results: &Results) -> Vec<Card> {
    let totals = summary::totals(results);
    let passed = |c: &&CheckpointResult| matches!(c.verdict, Verdict::Pass | Verdict::Conditional);
    let passed = results.checkpoints.iter().filter(passed).count();
    let card = |label, value, detail: String| Card { label, value, detail };
    let percent = if totals.required > 0 && totals.compared == totals.required { "all" } else { "not all" };
    let quorum = &results.quorum;
    vec![
        card(
            "compared",
            figures::count(totals.compared),
            format!("of {} required, {percent}", figures::count(totals.required)),
        ),
        card("checkpoints", passed.to_string(), format!("of {} passed", results.checkpoints.len())),
        card(
            "requirements",
            totals.requirements_held.to_string(),
            format!("of {} hold", totals.requirements()),
        ),
        card(
            "quorum",
            words::verdict(quorum.verdict).to_owned(),
            format!("{} of {} at f64", figures::count(quorum.compared), figures::count(quorum.required)),
        ),
        card(
            "faults",
            figures::count(results.faults.killed),
            format!("of {} killed where declared", figures::count(results.faults.required)),
        ),
        card(
            "determinism",
            words::verdict(results.determinism.verdict).to_owned(),
            "the same bits when asked again".to_owned(),
        ),
        card("laws", words::verdict(results.laws.verdict).to_owned(), "kept between cases".to_owned()),
        card("ties", figures::count(totals.ties), "tokens other than the oracle's".to_owned()),
        card("exit code", results.exit_code.to_string(), String::new()),
    ]
}
