//! What a person sees on the terminal.

mod checkpoints;
mod divergence;

use anstyle::{AnsiColor, Style};
use checkpoint_spec::{CheckpointResult, Comparison, ComparisonVerdict, FaultResult, Results, Verdict};

use crate::summary;
use crate::table::{self, Cell};
use crate::text::{lines, plain, wrap};
pub(crate) use divergence::numbers as numbers_of;

use crate::{Presentation, command, faults, figures, laws, phrases, repeats, words};

/// Departures and findings shown per checkpoint, unless more is asked for.
const FEW: usize = 3;
/// Last lines shown of a longer message.
const LAST_LINES: usize = 12;
/// Columns of the labels on the left.
const LABEL: usize = 14;

pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();

/// Renders a run for the terminal. No escape sequences unless `presentation.colour`.
pub fn terminal(results: &Results, presentation: &Presentation) -> String {
    let mut page = Page::new(presentation);
    header(&mut page, results);
    checkpoints::write(&mut page, results);
    divergence::write(&mut page, results);
    departures(&mut page, results);
    requirements(&mut page, results);
    faults(&mut page, results);
    incidents(&mut page, results);
    remarks(&mut page, results);
    end(&mut page, results);
    page.finish()
}

/// The text so far.
pub(crate) struct Page<'a> {
    text: String,
    presentation: &'a Presentation,
}

impl<'a> Page<'a> {
    pub(crate) const fn new(presentation: &'a Presentation) -> Self {
        Self { text: String::new(), presentation }
    }

    /// The whole text.
    pub(crate) fn finish(self) -> String {
        // Runners of GitHub obey `##[command]` anywhere in a line of their log.
        self.text.replace("##[", "## [")
    }

    pub(crate) const fn is_verbose(&self) -> bool {
        self.presentation.verbose
    }

    pub(crate) const fn is_strict(&self) -> bool {
        self.presentation.strict
    }

    pub(crate) fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    pub(crate) fn blank(&mut self) {
        self.text.push('\n');
    }

    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        if self.presentation.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    pub(crate) fn heading(&mut self, text: &str) {
        self.blank();
        let heading = self.paint(BOLD, text);
        self.line(&heading);
    }

    /// A label and a text beside it, wrapped.
    pub(crate) fn entry(&mut self, label: &str, style: Style, text: &str) {
        for (position, part) in
            wrap(text, self.presentation.width.saturating_sub(LABEL).max(20)).iter().enumerate()
        {
            let label = if position == 0 { label } else { "" };
            let line = format!("{}{}", self.paint(DIM, &format!("{label:<LABEL$}")), self.paint(style, part));
            self.line(line.trim_end());
        }
    }

    pub(crate) fn table(&mut self, rows: &[Vec<Cell>], elastic: usize, indent: &str) {
        let width = self.presentation.width.saturating_sub(indent.len());
        for line in table::render(rows, elastic, width, self.presentation.colour) {
            self.line(&format!("{indent}{line}"));
        }
    }

    fn few(&self) -> usize {
        if self.presentation.verbose { usize::MAX } else { FEW }
    }
}

fn header(page: &mut Page<'_>, results: &Results) {
    page.entry("model", BOLD, &phrases::model(results));
    page.entry("subject", BOLD, &phrases::identity(&results.subject));
    let references: Vec<String> = results.references.iter().map(phrases::identity).collect();
    let references = if references.is_empty() { "none".to_owned() } else { references.join(", ") };
    page.entry("references", Style::new(), &references);
    let cases: Vec<&str> = results.cases.iter().map(|case| case.id.as_str()).collect();
    page.entry("cases", Style::new(), &plain(&format!("{}: {}", cases.len(), cases.join(", "))));
    page.entry("quorum", colour(results.quorum.verdict), &phrases::quorum(results));
    if let Some(finding) = &results.quorum.disagreement {
        page.entry("", RED, &plain(&format!("{} {}: {}", finding.case, finding.tensor, finding.message)));
    }
    page.entry("determinism", colour(results.determinism.verdict), &repeats::line(results));
    if let Some(finding) = &results.determinism.finding {
        page.entry("", RED, &plain(&format!("{} {}: {}", finding.case, finding.tensor, finding.message)));
    }
    page.entry("laws", colour(results.laws.verdict), &laws::line(results));
    for finding in laws::findings(results).take(page.few()) {
        page.entry("", RED, &finding);
    }
    if page.presentation.verbose {
        repeats_of_references(page, results);
        for (position, voice) in results.quorum.voices.iter().enumerate() {
            page.entry(if position == 0 { "voices" } else { "" }, Style::new(), &phrases::voice(voice));
        }
        for (position, line) in phrases::peers(results).iter().enumerate() {
            page.entry(if position == 0 { "peers" } else { "" }, Style::new(), line);
        }
    }
}

fn repeats_of_references(page: &mut Page<'_>, results: &Results) {
    let subject = results.subject.to_string();
    for repeated in results.determinism.implementations.iter().filter(|r| r.implementation != subject) {
        let line = format!("{}: {}", repeated.implementation, repeats::outcome(repeated));
        page.entry("", DIM, &plain(&line));
    }
}

/// What else is not a pass. Consequences are only counted, and so are checkpoints after the first few, unless more is
/// asked for.
fn departures(page: &mut Page<'_>, results: &Results) {
    let (mut consequences, mut elsewhere, mut sections) = (Vec::new(), Vec::new(), 0);
    for checkpoint in &results.checkpoints {
        let mut departures = summary::departures(results, checkpoint);
        let all = departures.len();
        if !page.presentation.verbose {
            departures.retain(|comparison| !comparison.downstream);
        }
        let name = plain(&format!("{} {}", checkpoint.id, checkpoint.name));
        if departures.len() < all {
            consequences.push(format!("{} in {name}", figures::count((all - departures.len()) as u64)));
        }
        if departures.is_empty() {
            continue;
        }
        sections += 1;
        if sections <= page.few() {
            section(page, results, checkpoint, &departures);
        } else {
            elsewhere.push(format!("{} in {name}", figures::count(departures.len() as u64)));
        }
    }
    for (label, counts) in [("elsewhere", elsewhere), ("downstream", consequences)] {
        if !counts.is_empty() {
            page.blank();
            page.entry(label, DIM, &format!("{} (--verbose shows them)", counts.join(", ")));
        }
    }
}

fn section(
    page: &mut Page<'_>,
    results: &Results,
    checkpoint: &CheckpointResult,
    departures: &[&Comparison],
) {
    let also = if results.first_divergence.is_some() { "also " } else { "" };
    page.heading(&plain(&format!("{also}not a pass in {} {}", checkpoint.id, checkpoint.name)));
    let few = page.few();
    departures.iter().take(few).for_each(|comparison| departure(page, comparison));
    remainder(page, departures.len(), few);
    for diagnosis in summary::other_diagnoses(results, checkpoint).take(few) {
        let line = format!("{}: {}", diagnosis.activation, phrases::diagnosis(diagnosis));
        page.entry("  which bug", BOLD, &plain(&line));
    }
    if results.first_divergence.is_none() {
        let command = command::reproduce(results, &checkpoint.id, Some(&departures[0].case));
        page.entry("  reproduce", BOLD, &command);
    }
}

fn departure(page: &mut Page<'_>, comparison: &Comparison) {
    let downstream = if comparison.downstream { "downstream, " } else { "" };
    let line = format!("{downstream}{}: {}", phrases::place(comparison), phrases::outcome(comparison));
    page.entry(&format!("  {}", words::comparison(comparison.verdict)), Style::new(), &line);
}

fn remainder(page: &mut Page<'_>, all: usize, shown: usize) {
    if all > shown {
        page.entry(
            "",
            DIM,
            &format!("… and {} more (--verbose shows them)", figures::count((all - shown) as u64)),
        );
    }
}

fn requirements(page: &mut Page<'_>, results: &Results) {
    let totals = summary::totals(results);
    page.blank();
    let style = if totals.requirements_broken == 0 { Style::new() } else { RED };
    page.entry("requirements", style, &phrases::requirements(totals));
    let mut broken: Vec<_> = results.checkpoints.iter().flat_map(summary::broken).collect();
    broken.sort_by_key(|&(_, verdict)| std::cmp::Reverse(verdict));
    let few = page.few();
    for (requirement, verdict) in broken.iter().take(few) {
        let checked = format!("checked {} of {}", requirement.checked, requirement.required);
        let line =
            format!("{} {}, {checked}: {}", requirement.id, words::comparison(*verdict), requirement.text);
        page.entry("", comparison_colour(*verdict), &plain(&line));
        let findings = if page.presentation.verbose { usize::MAX } else { 1 };
        for finding in requirement.findings.iter().take(findings) {
            let line = format!("{} {}: {}", finding.case, finding.tensor, finding.message);
            page.entry("", Style::new(), &plain(&line));
        }
    }
    remainder(page, broken.len(), few);
    if page.presentation.verbose {
        for checkpoint in &results.checkpoints {
            for exempt in &checkpoint.not_applicable {
                let line = format!("{} not applicable: {} ({})", checkpoint.id, exempt.what, exempt.reason);
                page.entry("", DIM, &plain(&line));
            }
        }
    }
}

fn faults(page: &mut Page<'_>, results: &Results) {
    let panel = &results.faults;
    page.entry("faults", colour(panel.verdict), &faults::summary(panel));
    let departures: Vec<_> = panel.departures().collect();
    let few = page.few();
    for fault in departures.iter().take(few) {
        page.entry("", RED, &faults::departure(fault));
    }
    remainder(page, departures.len(), few);
    if page.presentation.verbose {
        let rows: Vec<Vec<Cell>> = panel.faults.iter().map(fault_row).collect();
        page.table(&rows, 2, &" ".repeat(LABEL));
    }
}

fn fault_row(fault: &FaultResult) -> Vec<Cell> {
    let (found, margin) = faults::found(fault);
    vec![
        Cell::left(plain(&fault.id)),
        Cell::left(faults::word(fault.word)),
        Cell::left(found),
        Cell::right(margin),
    ]
}

fn incidents(page: &mut Page<'_>, results: &Results) {
    for incident in &results.incidents {
        page.blank();
        page.entry("incident", RED, &phrases::incident(incident));
        let message: Vec<String> = lines(&incident.message).collect();
        let skipped = if page.presentation.verbose { 0 } else { message.len().saturating_sub(LAST_LINES) };
        if skipped > 0 {
            page.line(&format!("{:LABEL$}│ … {skipped} lines before (--verbose shows them)", ""));
        }
        for line in &message[skipped..] {
            // The bar keeps a program's own text from being read as ours, or as a command to a CI runner.
            page.line(&format!("{:LABEL$}│ {line}", ""));
        }
    }
}

fn remarks(page: &mut Page<'_>, results: &Results) {
    if !results.reservations.is_empty() || !results.notes.is_empty() {
        page.blank();
    }
    for reservation in &results.reservations {
        let at = reservation.checkpoint.as_ref().map(|id| format!("{id}: ")).unwrap_or_default();
        page.entry("reservation", YELLOW, &plain(&format!("{at}{}", reservation.message)));
    }
    for note in &results.notes {
        page.entry("note", Style::new(), &plain(note));
    }
}

fn end(page: &mut Page<'_>, results: &Results) {
    let totals = summary::totals(results);
    page.blank();
    page.entry("proof", DIM, &phrases::statement(results));
    page.blank();
    page.line(&phrases::compared(totals));
    let verdict = page.paint(colour(results.verdict), &words::verdict(results.verdict).to_uppercase());
    let strict = if page.presentation.strict { " (strict)" } else { "" };
    let bundle = page.presentation.bundle.as_ref().map(|path| format!(" · bundle {}", plain(path)));
    let code = summary::exit_code(results, page.presentation.strict);
    page.line(&format!(
        "verdict {verdict}: {} · exit {code}{strict}{}",
        words::verdict_meaning(results.verdict),
        bundle.unwrap_or_default()
    ));
}

pub(crate) const fn colour(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Pass => GREEN,
        Verdict::Conditional | Verdict::Blocked | Verdict::Incomplete => YELLOW,
        Verdict::Error | Verdict::Fail => RED,
    }
}

const fn comparison_colour(verdict: ComparisonVerdict) -> Style {
    match verdict {
        ComparisonVerdict::Pass => GREEN,
        ComparisonVerdict::Incomplete => YELLOW,
        ComparisonVerdict::Error | ComparisonVerdict::Missing | ComparisonVerdict::Fail => RED,
    }
}

#[cfg(test)]
mod tests;
