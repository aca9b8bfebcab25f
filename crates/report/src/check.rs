//! What was found in a dump, for a person: on a terminal, and as a page.

mod page;

use anstyle::Style;
use checkpoint_spec::{
    ComparisonVerdict, GrowthRow, Mode, Outcome, PartComparison, PartDiagnosis, PartResults, PlacedBug,
    RecognisedLayout, UnusedTensor, Verdict,
};

use crate::bounds::{used, worst_figures};
use crate::table::Cell;
use crate::terminal::{BOLD, DIM, GREEN, Page, RED, YELLOW, colour, numbers_of};
use crate::text::{lines, plain};
use crate::{Presentation, figures, phrases, words};

pub use page::check_html;

/// How it is said of a tensor that another is used in its place.
const SAME_VALUES: &str = "the same values";
/// Divergences that are told of beside the first.
const FEW: usize = 6;

/// Renders what was found in a dump for the terminal. No escape sequences unless `presentation.colour`.
pub fn check_terminal(results: &PartResults, presentation: &Presentation) -> String {
    let mut page = Page::new(presentation);
    header(&mut page, results);
    checkpoints(&mut page, results);
    first(&mut page, results);
    others(&mut page, results);
    layouts(&mut page, results);
    growth(&mut page, results);
    remarks(&mut page, results);
    end(&mut page, results);
    page.finish()
}

/// The exit code of a check. `strict` makes what is less than a whole forward pass not conforming.
pub fn check_exit_code(results: &PartResults, strict: bool) -> u8 {
    let reserved = strict && results.verdict == Verdict::Conditional;
    if reserved { Verdict::Fail.exit_code() } else { results.exit_code }
}

fn header(page: &mut Page<'_>, results: &PartResults) {
    page.entry("model", BOLD, &model(results));
    page.entry("dump", BOLD, &plain(&results.dump));
    page.entry("", Style::new(), &given(results));
    page.entry("names", Style::new(), &plain(&results.names));
    page.entry("shows", Style::new(), &shows(results));
}

fn model(results: &PartResults) -> String {
    let sizes = results.architecture.sizes.iter().map(|(symbol, size)| format!("{symbol} {size}"));
    plain(&format!(
        "{} ({}, {} layers, {})",
        results.model,
        results.architecture.family,
        results.architecture.layers,
        sizes.collect::<Vec<_>>().join(", ")
    ))
}

fn many(count: usize, what: &str) -> String {
    format!("{} {what}{}", figures::count(count as u64), if count == 1 { "" } else { "s" })
}

fn given(results: &PartResults) -> String {
    let case = &results.case;
    format!(
        "{}, {} of {} in {}",
        results.precision,
        many(case.batch, "row"),
        many(case.tokens, "token"),
        many(case.steps, "step")
    )
}

/// How much such a dump can show.
fn shows(results: &PartResults) -> String {
    let reach = results.reach;
    let [alone, together, largest, unseen] =
        [reach.alone, reach.together, reach.largest, reach.unseen].map(figures::count);
    let mut said = vec![format!("{alone} operations each by itself")];
    if reach.together > 0 {
        said.push(format!("{together} together with others, at most {largest} at a time"));
    }
    if reach.unseen > 0 {
        said.push(format!("{unseen} not at all"));
    }
    said.join("; ")
}

fn checkpoints(page: &mut Page<'_>, results: &PartResults) {
    page.blank();
    let heads = ["checkpoint", "verdict", "compared", "worst error", "of its bound"];
    let mut rows = vec![heads.map(|head| Cell::left(head).style(DIM)).to_vec()];
    for (name, found) in by_checkpoint(results) {
        let worst = found.iter().max_by(|a, b| share(a).total_cmp(&share(b)));
        let (error, share) = worst.map(|found| worst_figures(&found.comparison)).unwrap_or_default();
        let verdict = found.iter().map(|found| found.comparison.verdict).max();
        let verdict = verdict.unwrap_or(ComparisonVerdict::Missing);
        let compared = found.iter().filter(|found| found.comparison.outcome.elements() > 0).count();
        rows.push(vec![
            Cell::left(plain(name)),
            Cell::left(words::comparison(verdict)).style(word_colour(verdict)),
            Cell::left(format!("{compared} of {}", found.len())),
            Cell::right(error),
            Cell::right(share),
        ]);
    }
    page.table(&rows, 0, "");
    if page.is_verbose() {
        page.blank();
        let rows: Vec<Vec<Cell>> =
            results.comparisons.iter().map(|found| activation(results, found)).collect();
        page.table(&rows, 0, "");
    }
}

/// Comparisons by checkpoint, in the order of checkpoints.
pub(crate) fn by_checkpoint(results: &PartResults) -> Vec<(&str, Vec<&PartComparison>)> {
    let mut names: Vec<&str> = results.comparisons.iter().map(|found| found.checkpoint.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let of = |name: &str| results.comparisons.iter().filter(|found| found.checkpoint == name).collect();
    names.into_iter().map(|name| (name, of(name))).collect()
}

/// The share of its bound that a comparison uses; beyond all where nothing was compared.
fn share(found: &PartComparison) -> f64 {
    match &found.comparison.outcome {
        Outcome::Compared { statistics, .. } => {
            let used = used(&found.comparison, statistics);
            if used.is_nan() { f64::MAX } else { used }
        }
        _ => f64::INFINITY,
    }
}

fn activation(results: &PartResults, found: &PartComparison) -> Vec<Cell> {
    let comparison = &found.comparison;
    let (error, share) = worst_figures(comparison);
    vec![
        Cell::left(plain(&named(results, &comparison.tensor_name().to_string()))),
        Cell::left(words::comparison(comparison.verdict)).style(word_colour(comparison.verdict)),
        Cell::right(error),
        Cell::right(share),
        Cell::left(plain(&from(results, found))).style(DIM),
    ]
}

/// A tensor's name; of a single step it is not said which.
pub(crate) fn named(results: &PartResults, name: &str) -> String {
    let single = name.strip_prefix("step0/").filter(|_| results.case.steps == 1);
    single.unwrap_or(name).to_owned()
}

/// From what a comparison was judged, and through what.
pub(crate) fn from(results: &PartResults, found: &PartComparison) -> String {
    let all = |names: &[String]| names.iter().map(|name| named(results, name)).collect::<Vec<_>>();
    let (from, through) = (all(&found.from), all(&found.through));
    let listed = |names: &[String], most: usize| {
        let shown = names.iter().take(most).cloned().collect::<Vec<_>>().join(", ");
        let more = names.len().saturating_sub(most);
        if more > 0 { format!("{shown} and {more} more") } else { shown }
    };
    let mut text = match from.as_slice() {
        [] => "from the weights alone".to_owned(),
        from => format!("from {}", listed(from, 4)),
    };
    if !through.is_empty() {
        let are = are(through.len());
        text += &format!(", through {} that {are} not in the dump", listed(&through, 3));
    }
    text
}

const fn are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

fn first(page: &mut Page<'_>, results: &PartResults) {
    let (Some(divergence), Some(found)) = (&results.first_divergence, results.first()) else { return };
    page.heading("first divergence, in execution order");
    let name = named(results, &found.comparison.tensor_name().to_string());
    let place = format!("{}, {name}", found.checkpoint);
    page.entry("where", RED, &plain(&place));
    let reason = divergence.reason;
    page.entry("reason", Style::new(), &format!("{}: {}", words::reason(reason), words::meaning(reason)));
    page.entry("judged", Style::new(), &plain(&from(results, found)));
    if let Some(layout) = layout_of(results, found) {
        page.entry("layout", BOLD, &layout_line(layout));
    } else if let Some(diagnosis) = results.diagnosis() {
        let style = if diagnosis.named.is_empty() { Style::new() } else { BOLD };
        page.entry("which bug", style, &diagnosed(diagnosis));
    }
    numbers_of(page, &found.comparison);
}

fn layout_of<'a>(results: &'a PartResults, found: &PartComparison) -> Option<&'a RecognisedLayout> {
    let comparison = &found.comparison;
    let is_it =
        |layout: &&RecognisedLayout| layout.activation == comparison.name && layout.step == comparison.step;
    results.layouts.iter().find(is_it)
}

pub(crate) fn layout_line(layout: &RecognisedLayout) -> String {
    let sure = if layout.by_values { "this is" } else { "by its shape this is" };
    plain(&format!(
        "{sure} {} where {} is due; a map says so with axes = \"{}\"",
        layout.is, layout.due, layout.axes
    ))
}

/// Which bug it is, and where it is put in to give what was dumped.
pub(crate) fn diagnosed(diagnosis: &PartDiagnosis) -> String {
    if let Some(why) = &diagnosis.untried {
        return plain(&format!("not looked for: {why}"));
    }
    let Some((first, others)) = diagnosis.named.split_first() else {
        let tried = figures::count(diagnosis.tried);
        return format!("none of the {tried} known bugs of what is judged here gives what was dumped");
    };
    let bug = |bug: &PlacedBug| {
        let at = if bug.at == diagnosis.activation { String::new() } else { format!(" at {}", bug.at) };
        format!("“{}”{at} gives ({} of its bound used): {}", bug.what, figures::share(bug.used.0), bug.id)
    };
    let also: Vec<String> = others.iter().take(3).map(|other| format!("; and what {}", bug(other))).collect();
    plain(&format!("this is what {}{}", bug(first), also.concat()))
}

/// Refused, and not a consequence of anything.
pub(crate) fn refused(results: &PartResults) -> impl Iterator<Item = &PartComparison> {
    let first = results.first().map(|found| found.comparison.tensor_name());
    results.comparisons.iter().filter(move |found| {
        found.comparison.verdict != ComparisonVerdict::Pass
            && !found.comparison.downstream
            && Some(found.comparison.tensor_name()) != first
    })
}

fn others(page: &mut Page<'_>, results: &PartResults) {
    let few = if page.is_verbose() { usize::MAX } else { FEW };
    let all: Vec<&PartComparison> = refused(results).collect();
    if !all.is_empty() {
        page.heading(if results.first_divergence.is_some() { "also not a pass" } else { "not a pass" });
    }
    for found in all.iter().take(few) {
        let comparison = &found.comparison;
        let mode = if comparison.mode == Mode::Chained { " (chained)" } else { "" };
        let name = named(results, &comparison.tensor_name().to_string());
        let line = format!("{name}{mode}: {}", phrases::outcome(comparison));
        page.entry(&format!("  {}", words::comparison(comparison.verdict)), Style::new(), &plain(&line));
    }
    if all.len() > few {
        page.entry("", DIM, &format!("… and {} more (--verbose shows them)", all.len() - few));
    }
    let first = results.first_divergence.as_ref().map(|first| (&first.activation, first.step));
    for diagnosis in results.diagnoses.iter().filter(|d| Some((&d.activation, d.step)) != first) {
        if !diagnosis.named.is_empty() {
            let line = format!("{}: {}", diagnosis.activation, diagnosed(diagnosis));
            page.entry("  which bug", BOLD, &plain(&line));
        }
    }
    let consequences = results.comparisons.iter().filter(|found| found.comparison.downstream).count();
    if consequences > 0 {
        let line = format!(
            "{} cannot be judged: what they follow from is not finite",
            many(consequences, "activation")
        );
        page.entry("downstream", DIM, &line);
    }
    for requirement in &results.requirements {
        let line =
            format!("{} {}: {}", requirement.id, words::comparison(requirement.verdict), requirement.text);
        page.entry("requirement", YELLOW, &plain(&line));
        for finding in requirement.findings.iter().take(1) {
            page.entry("", Style::new(), &plain(&format!("{}: {}", finding.tensor, finding.message)));
        }
    }
}

fn layouts(page: &mut Page<'_>, results: &PartResults) {
    let first = results.first_divergence.as_ref().map(|first| (first.activation.as_str(), first.step));
    let others =
        results.layouts.iter().filter(|layout| Some((layout.activation.as_str(), layout.step)) != first);
    let kind = |layout: &RecognisedLayout| {
        layout.activation.chars().filter(|c| !c.is_ascii_digit()).collect::<String>()
    };
    let mut kinds: Vec<(&RecognisedLayout, usize)> = Vec::new();
    for layout in others {
        let alike = kinds.iter_mut().find(|(known, _)| kind(known) == kind(layout) && known.is == layout.is);
        match alike {
            Some((_, more)) => *more += 1,
            None => kinds.push((layout, 0)),
        }
    }
    for (position, (layout, more)) in kinds.into_iter().enumerate() {
        let label = if position == 0 { "layouts" } else { "" };
        let likewise = if more > 0 { format!(" ({more} more likewise)") } else { String::new() };
        let line = format!("{}: {}{likewise}", layout.activation, layout_line(layout));
        page.entry(label, Style::new(), &plain(&line));
    }
}

/// The chained error where it starts, in the middle and where it ends.
fn growth(page: &mut Page<'_>, results: &PartResults) {
    let rows = &results.growth;
    let shown: Vec<&GrowthRow> = match rows.len() {
        0 => return,
        1..=3 => rows.iter().collect(),
        n if page.is_verbose() => rows.iter().take(n).collect(),
        n => vec![&rows[0], &rows[n / 2], &rows[n - 1]],
    };
    let row = |row: &&GrowthRow| {
        let errors: Vec<String> = row
            .errors
            .iter()
            .map(|error| format!("{} {}", error.implementation, figures::error(error.rmse.0)))
            .collect();
        format!("{} {}", row.name, errors.join(", "))
    };
    page.blank();
    let line = shown.iter().map(row).collect::<Vec<_>>().join("; ");
    page.entry(
        "chained",
        DIM,
        &plain(&format!("root mean square from the token ids on: {line}; it decides nothing")),
    );
}

fn remarks(page: &mut Page<'_>, results: &PartResults) {
    if !results.unused.is_empty() || !results.notes.is_empty() {
        page.blank();
    }
    let few = if page.is_verbose() { usize::MAX } else { FEW };
    let is_double = |unused: &&UnusedTensor| !page.is_verbose() && unused.why.ends_with(SAME_VALUES);
    let doubles = results.unused.iter().filter(is_double).count();
    let others: Vec<&UnusedTensor> = results.unused.iter().filter(|unused| !is_double(unused)).collect();
    let kinds = kinds(&others, page.is_verbose());
    for (position, (unused, more)) in kinds.iter().take(few).enumerate() {
        let label = if position == 0 { "not used" } else { "" };
        let likewise = if *more > 0 { format!(" ({more} more likewise)") } else { String::new() };
        let line = format!("{} {}: {}{likewise}", unused.name, unused.what, unused.why);
        page.entry(label, YELLOW, &plain(&line));
    }
    if kinds.len() > few {
        let more: Vec<&str> = kinds[few..].iter().map(|(unused, _)| unused.name.as_str()).collect();
        page.entry("", DIM, &plain(&format!("… and {}: {}", more.len(), more.join(", "))));
    }
    if doubles > 0 {
        let line = format!(
            "{} with the values of others, which are used (--verbose shows them)",
            many(doubles, "tensor")
        );
        page.entry("doubles", DIM, &line);
    }
    for note in &results.notes {
        page.entry("note", Style::new(), &plain(note));
    }
    if let Some(map) = &results.map {
        page.heading("the map that was guessed; keep it, mend it, and give it with --map FILE");
        for line in lines(map) {
            page.line(&line);
        }
    }
}

/// Tensors that nothing was made of, those that differ in their numbers alone told once.
fn kinds<'a>(unused: &[&'a UnusedTensor], apart: bool) -> Vec<(&'a UnusedTensor, usize)> {
    let kind = |tensor: &UnusedTensor| {
        let digits = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        (digits(&tensor.name), digits(&tensor.why))
    };
    let mut kinds: Vec<(&'a UnusedTensor, usize)> = Vec::new();
    for tensor in unused {
        match kinds.iter_mut().find(|(known, _)| !apart && kind(known) == kind(tensor)) {
            Some((_, more)) => *more += 1,
            None => kinds.push((tensor, 0)),
        }
    }
    kinds
}

/// `compared 69 of 69 of what was dumped; 69 of 81 of what the model has`.
pub(crate) fn compared(results: &PartResults) -> String {
    let [compared, dumped, of_model] =
        [results.compared, results.dumped, results.of_model].map(figures::count);
    format!("compared {compared} of {dumped} of what was dumped; the model has {of_model} such activations")
}

/// What a verdict means of a dump.
pub(crate) const fn meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "the whole forward pass was dumped, and all of it is within its bounds",
        Verdict::Conditional => "all that was dumped is within its bounds; it is not the whole forward pass",
        Verdict::Blocked | Verdict::Incomplete => "something that was dumped could not be judged",
        Verdict::Error => "something that was dumped could not be read",
        Verdict::Fail => "something that was dumped is out of its bounds",
    }
}

fn end(page: &mut Page<'_>, results: &PartResults) {
    page.blank();
    page.line(&compared(results));
    let verdict = page.paint(colour(results.verdict), &words::verdict(results.verdict).to_uppercase());
    let code = check_exit_code(results, page.is_strict());
    let strict = if page.is_strict() { " (strict)" } else { "" };
    page.line(&format!("verdict {verdict}: {} · exit {code}{strict}", meaning(results.verdict)));
}

const fn word_colour(verdict: ComparisonVerdict) -> Style {
    match verdict {
        ComparisonVerdict::Pass => GREEN,
        ComparisonVerdict::Incomplete => YELLOW,
        ComparisonVerdict::Error | ComparisonVerdict::Missing | ComparisonVerdict::Fail => RED,
    }
}
