//! The report as Markdown, for job summaries and pull requests.

use checkpoint_spec::{Comparison, Divergence, Outcome, Results};

use crate::bounds::worst_elements;
use crate::peers::{BUDGETS, ERRORS, Peers, chained_error, errors, of_subject, over_ceiling, share};
use crate::text::{lines, plain};
use crate::{command, faults, figures, laws, phrases, repeats, summary, words};

/// Departures and findings shown per checkpoint.
const FEW: usize = 10;

/// Renders a run as GitHub-flavoured Markdown. Whatever comes from outside stands in code spans and code blocks, where
/// nothing is a link, a mention, an image or HTML.
pub fn markdown(results: &Results) -> String {
    let mut page = String::new();
    header(&mut page, results);
    checkpoints(&mut page, results);
    divergence(&mut page, results);
    departures(&mut page, results);
    requirements(&mut page, results);
    faulty(&mut page, results);
    budgets(&mut page, results);
    peers(&mut page, results);
    determinism(&mut page, results);
    lawful(&mut page, results);
    remarks(&mut page, results);
    page += &format!("\n---\n\n{}\n", phrases::statement(results));
    page
}

fn header(page: &mut String, results: &Results) {
    let verdict = words::verdict(results.verdict);
    *page += &format!("# Trialplate: {verdict}\n\n");
    let compared = phrases::compared(summary::totals(results));
    *page += &format!(
        "**{compared}**; {}. Exit code {}.\n\n",
        words::verdict_meaning(results.verdict),
        results.exit_code
    );
    let mut entry = |label: &str, text: &str| *page += &format!("- {label}: {}\n", code(text));
    entry("Model", &phrases::model(results));
    entry("Subject", &phrases::identity(&results.subject));
    for reference in &results.references {
        entry("Reference", &phrases::identity(reference));
    }
    entry("Cases", &results.cases.iter().map(|case| case.id.as_str()).collect::<Vec<_>>().join(", "));
    entry("Quorum", &phrases::quorum(results));
    for voice in &results.quorum.voices {
        entry("Voice", &phrases::voice(voice));
    }
    entry("Faults", &faults::summary(&results.faults));
    if let Some(finding) = &results.quorum.disagreement {
        entry("Disagreement", &format!("{} {}: {}", finding.case, finding.tensor, finding.message));
    }
    entry("Determinism", &repeats::line(results));
    if let Some(finding) = &results.determinism.finding {
        entry("Difference", &format!("{} {}: {}", finding.case, finding.tensor, finding.message));
    }
    entry("Laws", &laws::line(results));
    for finding in laws::findings(results).take(FEW) {
        entry("Breach", &finding);
    }
}

fn lawful(page: &mut String, results: &Results) {
    let numbers = &results.laws.numbers;
    if numbers.is_empty() {
        return;
    }
    *page += &format!("\n## Laws\n\n{}\n\n", laws::ABOUT);
    *page += "| law | implementation | bound | parts | worst error | where | verdict |\n|---|---|---|---:|---:|---|---|\n";
    for found in numbers {
        let [law, implementation, bound, parts, error, place, verdict] = laws::row(found);
        let [law, implementation, place] = [law, implementation, place].map(|text| cell(&text));
        row(page, &[law, implementation, bound, parts, error, place, format!("**{verdict}**")]);
    }
}

fn determinism(page: &mut String, results: &Results) {
    let implementations = &results.determinism.implementations;
    if implementations.is_empty() {
        return;
    }
    *page += &format!("\n## Determinism\n\n{}\n\n", repeats::ABOUT);
    *page += "| | repeats |\n|---|---|\n";
    for repeated in implementations {
        row(page, &[cell(&repeated.implementation), cell(&repeats::outcome(repeated))]);
    }
}

fn checkpoints(page: &mut String, results: &Results) {
    *page += "\n| | checkpoint | verdict | compared | worst error, chained | isolated | of budget | of ceiling | ties ";
    *page += "| where |\n";
    *page += "|---|---|---|---:|---:|---:|---:|---:|---:|---|\n";
    for checkpoint in &results.checkpoints {
        let worst = summary::worst(&checkpoint.comparisons);
        let subject = of_subject(results, &checkpoint.id);
        let counts = [checkpoint.compared, checkpoint.required, checkpoint.ties].map(figures::count);
        row(
            page,
            &[
                cell(&checkpoint.id),
                cell(&checkpoint.name),
                format!("**{}**", words::verdict(checkpoint.verdict)),
                format!("{} of {}", counts[0], counts[1]),
                chained_error(results, &checkpoint.id),
                summary::isolated_error(checkpoint),
                share(subject.and_then(|figure| figure.budget_used)),
                share(subject.and_then(|figure| figure.ceiling_used)),
                counts[2].clone(),
                worst.map(|worst| cell(&phrases::place(worst))).unwrap_or_default(),
            ],
        );
    }
}

fn divergence(page: &mut String, results: &Results) {
    let Some(divergent) = summary::divergent(results) else { return };
    let reason = divergent.divergence.reason;
    *page += &format!("\n## First divergence\n\n{}: ", code(&phrases::divergence_place(&divergent)));
    *page += &format!("{} ({}).\n", words::meaning(reason), words::reason(reason));
    if let Some(inputs) = phrases::divergence_inputs(divergent.divergence) {
        *page += &format!("\nInputs: {inputs}.\n");
    }
    if let Some(diagnosis) = results.diagnosis() {
        *page += &format!("\nWhich bug: {}.\n", code(&phrases::diagnosis(diagnosis)));
    }
    for comparison in &divergent.comparisons {
        *page += &format!("\n- {}: {}\n", code(&comparison.reference), code(&phrases::outcome(comparison)));
        details(page, comparison);
    }
    for finding in divergent.findings.iter().take(FEW) {
        *page += &format!("- {}\n", code(&finding.message));
    }
    let Divergence { checkpoint, case, .. } = divergent.divergence;
    let command = command::reproduce(results, checkpoint, Some(case));
    *page += &format!("\nReproduce:\n\n{}", block(&command));
}

fn details(page: &mut String, comparison: &Comparison) {
    let Outcome::Compared { shape, statistics } = &comparison.outcome else { return };
    *page += &format!("\n  Shape {}, {}.\n", code(&shape.to_string()), phrases::errors(statistics));
    *page += "\n  | worst at | actual | expected | error | allowed |\n  |---|---:|---:|---:|---:|\n";
    for element in worst_elements(statistics) {
        *page += "  ";
        row(page, &element);
    }
    page.push('\n');
}

fn departures(page: &mut String, results: &Results) {
    for checkpoint in &results.checkpoints {
        let departures = summary::departures(results, checkpoint);
        if departures.is_empty() {
            continue;
        }
        *page +=
            &format!("\n## Not a pass in {}\n\n", code(&format!("{} {}", checkpoint.id, checkpoint.name)));
        for comparison in departures.iter().take(FEW) {
            let line = format!("{}: {}", phrases::place(comparison), phrases::outcome(comparison));
            let downstream = if comparison.downstream { ", downstream" } else { "" };
            *page += &format!("- {}{downstream}: {}\n", words::comparison(comparison.verdict), code(&line));
        }
        remainder(page, departures.len());
        for diagnosis in summary::other_diagnoses(results, checkpoint) {
            let line = format!("{}: {}", diagnosis.activation, phrases::diagnosis(diagnosis));
            *page += &format!("- which bug: {}\n", code(&line));
        }
        if results.first_divergence.is_none() {
            let command = command::reproduce(results, &checkpoint.id, Some(&departures[0].case));
            *page += &format!("\nReproduce:\n\n{}", block(&command));
        }
    }
}

fn requirements(page: &mut String, results: &Results) {
    let totals = summary::totals(results);
    *page += &format!("\n## Requirements\n\n{}.\n", phrases::requirements(totals));
    for checkpoint in &results.checkpoints {
        for (requirement, verdict) in summary::broken(checkpoint) {
            let checked = format!("checked {} of {}", requirement.checked, requirement.required);
            let verdict = words::comparison(verdict);
            let line = format!("{}: {}", requirement.id, requirement.text);
            *page += &format!("\n- {verdict}, {checked}: {}\n", code(&line));
            for finding in requirement.findings.iter().take(FEW) {
                let line = format!("{} {}: {}", finding.case, finding.tensor, finding.message);
                *page += &format!("  - {}\n", code(&line));
            }
        }
    }
}

fn budgets(page: &mut String, results: &Results) {
    let peers = Peers::new(results);
    if !peers.have_budgets() {
        return;
    }
    let names = peers.names();
    *page += &format!("\n## Rounding budgets\n\n{}\n\n", BUDGETS);
    let heads: Vec<String> = names.iter().map(|name| cell(name)).collect();
    *page += &format!("| | checkpoint | {} |\n|---|---|{}\n", heads.join(" | "), "---:|".repeat(names.len()));
    for checkpoint in &results.checkpoints {
        let shares = peers.budgets(&checkpoint.id).into_iter().map(share);
        let at = [cell(&checkpoint.id), cell(&checkpoint.name)];
        row(page, &at.into_iter().chain(shares).collect::<Vec<_>>());
    }
}

fn peers(page: &mut String, results: &Results) {
    if results.peers.is_empty() {
        return;
    }
    *page += &format!("\n## Peers\n\n{ERRORS}\n");
    for line in over_ceiling(results) {
        *page += &format!("\n- {}\n", code(&line));
    }
    *page +=
        "\n| checkpoint | implementation | chained | isolated | of ceiling |\n|---|---|---:|---:|---:|\n";
    for peer in &results.peers {
        let [chained, isolated] = errors(peer);
        let names = [cell(&peer.checkpoint), cell(&peer.implementation)];
        row(page, &[&names[..], &[chained, isolated, share(peer.ceiling_used)]].concat());
    }
}

/// Faults that were not treated as declared.
fn faulty(page: &mut String, results: &Results) {
    let departures: Vec<_> = results.faults.departures().collect();
    if departures.is_empty() {
        return;
    }
    *page += "\n## Faults not treated as declared\n\n";
    for fault in departures.iter().take(FEW) {
        *page += &format!("- {}\n", code(&faults::departure(fault)));
    }
    remainder(page, departures.len());
}

fn remarks(page: &mut String, results: &Results) {
    for incident in &results.incidents {
        *page += &format!("\n## Incident: {}\n\n", code(&phrases::incident(incident)));
        *page += &block(&lines(&incident.message).collect::<Vec<_>>().join("\n"));
    }
    if !results.reservations.is_empty() || !results.notes.is_empty() {
        *page += "\n## Remarks\n\n";
    }
    for reservation in &results.reservations {
        let at = reservation.checkpoint.as_ref().map(|id| format!(" {}", code(id))).unwrap_or_default();
        *page += &format!("- Reservation{at}: {}\n", code(&reservation.message));
    }
    for note in &results.notes {
        *page += &format!("- Note: {}\n", code(note));
    }
}

fn remainder(page: &mut String, all: usize) {
    if all > FEW {
        *page += &format!("- … and {} more\n", figures::count((all - FEW) as u64));
    }
}

fn row(page: &mut String, cells: &[String]) {
    *page += &format!("| {} |\n", cells.join(" | "));
}

/// A code span: a fence of more backticks than the text has in a row.
fn code(text: &str) -> String {
    let text = plain(text);
    if text.is_empty() {
        return "—".to_owned();
    }
    let fence = "`".repeat(longest_run_of_backticks(&text) + 1);
    let padding = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{padding}{text}{padding}{fence}")
}

/// A code span inside a table, where a bar would end the cell even in code.
fn cell(text: &str) -> String {
    code(text).replace('|', r"\|")
}

/// A code block. The text's lines are harmless already.
fn block(text: &str) -> String {
    let fence = "`".repeat((longest_run_of_backticks(text) + 1).max(3));
    format!("{fence}text\n{text}\n{fence}\n")
}

fn longest_run_of_backticks(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn a_pass() {
        insta::assert_snapshot!(markdown(&fixtures::passing()));
    }

    #[test]
    fn failures() {
        insta::assert_snapshot!("shape", markdown(&fixtures::failing_on_shape()));
        insta::assert_snapshot!("values", markdown(&fixtures::failing_on_values()));
    }

    #[test]
    fn budgets_and_what_breaks_them() {
        insta::assert_snapshot!("systematic", markdown(&fixtures::failing_on_systematic()));
        insta::assert_snapshot!("chained", markdown(&fixtures::failing_on_chain()));
    }

    #[test]
    fn who_is_over_a_ceiling_is_named_with_what_it_decides() {
        let page = markdown(&fixtures::over_ceiling());
        assert!(
            page.contains("\n- `torch@f32 is over the classic ceiling of 06 too: it decides nothing`\n"),
            "{page}"
        );
    }

    #[test]
    fn what_is_not_the_same_again_is_named() {
        let page = markdown(&fixtures::not_deterministic());
        for part in [
            "- Determinism: `fail: not the same bits, first in paragraph step0/h.1.mlp.act",
            "- Difference: `paragraph",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }

    #[test]
    fn a_broken_law_is_named_with_activation_and_position() {
        let page = markdown(&fixtures::acausal());
        for part in [
            "- Laws: `fail: 1 laws, 2 implementations, 240 of 240 parts compared; 1 do not pass`",
            "- Breach: ``law-changed-3 step0/h.1.attn.scores: rust@f32 breaks the law `causality`, position 2",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }

    #[test]
    fn an_incident_and_hostile_text() {
        insta::assert_snapshot!(markdown(&fixtures::incomplete()));
    }

    #[test]
    fn code_cannot_be_left() {
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("``"), "``` `` ```");
        assert_eq!(code("a\nb"), r"`a\nb`");
        assert_eq!(cell("a|b"), r"`a\|b`");
        assert_eq!(block("```\nx"), "````text\n```\nx\n````\n");
    }
}
