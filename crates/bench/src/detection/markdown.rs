//! The tables for people.

use std::fmt::Write;

use checkpoint_spec::{FaultWord, Measured};

use super::alarms::Gate;
use super::named::{Budget, Correct, Row as NamedRow};
use super::rules::Rule;
use super::smallest::{Bug, Row, Smallest};
use super::{Detection, Report};
use crate::peers::{PEERS, PeerRow, PeerTable};

const INTRODUCTION: &str = "\
Each figure is the smallest factor f, halved from 0.1, at which a rule still refuses a result of the Rust GPT-2, judged \
from its own inputs, in the first, a middle and the last layer (the worst of the three). `any`: f = 1e-9 is seen, for elements of \
size 0 may not change. All rules are held against the same f64 oracle. allclose is `numpy.allclose` with rtol = atol, \
assert_close is `torch.testing.assert_close` with its f32 defaults (rtol 1.3e-6, atol 1e-5).

";

/// The peers' columns.
const OTHERS: &str = "ceiling of the spec | allclose 1e-4 | allclose 1e-5 | assert_close";

/// A factor that changes no bit of most elements; what is seen then is seen in elements of size 0.
const SMALLEST_TOLD: f64 = 1e-9;

/// All tables.
pub fn markdown(report: &Report) -> String {
    let mut text = String::new();
    if !report.models.is_empty() {
        text += INTRODUCTION;
    }
    for model in &report.models {
        detection(&mut text, model);
    }
    if !report.gates.is_empty() {
        gates(&mut text, &report.gates);
    }
    if let Some(table) = &report.faults {
        faults(&mut text, table);
    }
    text
}

fn detection(text: &mut String, found: &Detection) {
    let Detection { model, case, tokens, confidence, correct, smallest, named } = found;
    line(text, &format!("## {model}, case {case}, {tokens} tokens (c = {confidence})\n"));
    for (correct, how) in
        correct.iter().zip(["the Rust GPT-2 as it is", "the graph with scores of 128 and more"])
    {
        line(text, &format!("Correct code, {how}: {}\n", of_correct(correct)));
    }
    for bug in Bug::ALL {
        line(text, &format!("### The smallest bug seen: {}\n", about(bug)));
        table_head(text, &["checkpoint", "activation", "rounding budget"]);
        for row in smallest.iter().filter(|row| row.bug == bug) {
            smallest_row(text, row);
        }
        line(text, "");
    }
    line(text, "### Bugs with names\n");
    let bugs: Vec<_> = named.iter().filter(|row| row.changes_something()).collect();
    let seen = bugs.iter().filter(|row| row.is_seen_where_it_sits()).count();
    let sentence = "the rounding budget sees first at the checkpoint where they sit";
    line(text, &format!("Of {} bugs that change a result, {sentence}: {seen}.\n", bugs.len()));
    table_head(text, &["bug", "where it sits", "rounding budget sees it first at", "share of the budget"]);
    for row in named {
        named_row(text, row);
    }
    line(text, "");
}

fn about(bug: Bug) -> &'static str {
    match bug {
        Bug::Scale => "everything × (1 + f)",
        Bug::Column => "one column (of scores and probabilities: one head) × (1 + f)",
        Bug::Offset => "f · root mean square added to everything",
        Bug::Element => "one element of median size × (1 + f)",
        Bug::Weight => "one weight of median size × (1 + f)",
    }
}

fn table_head(text: &mut String, columns: &[&str]) {
    line(text, &format!("| {} | {OTHERS} |", columns.join(" | ")));
    line(text, &format!("|{}", "---|".repeat(columns.len() + Rule::OTHERS.len())));
}

fn smallest_row(text: &mut String, row: &Row) {
    let others = Rule::OTHERS.map(|rule| cell(row.smallest[rule.index()]));
    let (budget, activation) = (cell(row.budget()), short(&row.activation));
    line(text, &format!("| {} | `{activation}` | {budget} | {} |", row.checkpoint, others.join(" | ")));
}

fn cell(smallest: Smallest) -> String {
    match smallest {
        Smallest::Factor(factor) if factor < SMALLEST_TOLD => "any".to_owned(),
        Smallest::Factor(factor) => format!("{factor:.1e}"),
        Smallest::Unseen => "unseen".to_owned(),
        Smallest::RefusesCorrect => "refuses correct code".to_owned(),
    }
}

/// Without the layer, which stands for three of them.
fn short(template: &str) -> &str {
    template.strip_prefix("h.{l}.").unwrap_or(template)
}

fn named_row(text: &mut String, row: &NamedRow) {
    let accused = match row.accused.as_slice() {
        [] => String::new(),
        accused => format!(" (**and accuses {}**)", accused.join(", ")),
    };
    let (first, share) = match &row.budget {
        Budget::Seen(first) => (
            format!("{} `{}`{accused}", first.checkpoint, first.activation),
            format!("element {}, systematic {}", share(first.elements), share(first.systematic)),
        ),
        Budget::Unseen(used) => ("**unseen**".to_owned(), share(*used)),
        Budget::ChangesNothing => ("changes nothing here".to_owned(), String::new()),
    };
    let others = row.others.map(|seen| if seen { "seen" } else { "–" });
    let (bug, place) = (&row.bug, &row.place);
    line(
        text,
        &format!("| {bug} | {} `{place}` | {first} | {share} | {} |", row.checkpoint, others.join(" | ")),
    );
}

fn share(used: Measured) -> String {
    match used.0 {
        used if used.is_nan() => "NaN".to_owned(),
        used if used > 0.0 && used < 0.1 => format!("{used:.3}"),
        used if used < 10.0 => format!("{used:.2}"),
        used => format!("{used:.0}"),
    }
}

fn of_correct(correct: &Correct) -> String {
    let refused = match correct.refused.as_slice() {
        [] => "nothing refused".to_owned(),
        refused => format!("**refused: {}**", refused.join(", ")),
    };
    let [ceiling, four, five, assert_close] = correct.refused_by_others;
    format!(
        "{refused}; elements use at most {} of the budget (`{}`), systematic error {} (`{}`). Activations refused by \
         the ceiling {ceiling}, allclose 1e-4 {four}, 1e-5 {five}, assert_close {assert_close}.",
        share(correct.elements),
        correct.elements_at,
        share(correct.systematic),
        correct.systematic_at
    )
}

fn gates(text: &mut String, gates: &[Gate]) {
    let refused = gates.iter().filter(|gate| gate.exit_code != 0).count();
    line(
        text,
        &format!("## False alarms: {refused} of {} gates over correct implementations\n", gates.len()),
    );
    line(
        text,
        "| model | subject | exit code | comparisons | budget used, element | systematic | of a ceiling |",
    );
    line(text, "|---|---|---|---|---|---|---|");
    for gate in gates {
        let Gate { configuration, subject, exit_code, comparisons, .. } = gate;
        let shares = [gate.elements, gate.systematic, gate.ceiling].map(share).join(" | ");
        line(text, &format!("| {configuration} | {subject} | {exit_code} | {comparisons} | {shares} |"));
    }
    for gate in gates.iter().filter(|gate| gate.exit_code != 0) {
        let said = gate.said.join("; ");
        line(text, &format!("\n**False alarm**: {} on {}: {said}", gate.subject, gate.configuration));
    }
}

/// Who sees which declared fault.
fn faults(text: &mut String, table: &PeerTable) {
    let asked: Vec<&PeerRow> = table.rows.iter().filter(|row| row.word != FaultWord::Equivalent).collect();
    let killed = asked.iter().filter(|row| row.word == FaultWord::Killed).count();
    let sentence = "declared faults of the bundled model that change something, killed where declared";
    line(text, &format!("\n## Who sees what: of {} {sentence}: {killed}\n", asked.len()));
    let columns = "Trialplate | allclose 1e-4 | assert_close | Polygraphy simple | cosine > 0.99";
    line(text, &format!("| fault | what is wrong | {columns} |"));
    line(text, &format!("|{}", "---|".repeat(3 + PEERS.len())));
    let mark = |seen: bool| if seen { "seen" } else { "–" };
    for row in &asked {
        let peers = row.seen.map_or(["not asked"; PEERS.len()], |seen| seen.map(mark));
        let own = mark(row.word == FaultWord::Killed);
        line(
            text,
            &format!("| {} `{}` | {} | {own} | {} |", row.checkpoint, row.id, row.what, peers.join(" | ")),
        );
    }
    let count = |peer: usize| asked.iter().filter(|row| row.seen.is_some_and(|seen| seen[peer])).count();
    let counts: Vec<String> = (0..PEERS.len()).map(|peer| count(peer).to_string()).collect();
    line(text, &format!("| of {} | | {killed} | {} |", asked.len(), counts.join(" | ")));
    let refused = table.refused_correct.map(|count| count.to_string());
    line(
        text,
        &format!("| none | tensors of the correct run that are refused | 0 | {} |", refused.join(" | ")),
    );
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}
