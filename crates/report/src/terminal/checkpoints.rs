//! The table of checkpoints, and of the activations of each.

use anstyle::Style;
use checkpoint_spec::{CheckpointResult, Measured, Results};

use super::{DIM, Page, RED, YELLOW, colour, comparison_colour};
use crate::peers::{Peers, chained_error, over_ceiling, share};
use crate::table::{self, Cell};
use crate::text::plain;
use crate::{figures, phrases, summary, words};

/// The column of names, which gives way to the width of the screen.
const NAME: usize = 1;
/// The heads of the columns that every run has.
const HEADS: [&str; 7] = ["", "checkpoint", "verdict", "compared", "ties", "chained", "isolated"];
/// The first column of errors.
const ERRORS: usize = 5;

/// Columns with a caption over them: what they show of each implementation, a row per checkpoint below the heads.
struct Shares {
    caption: &'static str,
    rows: Vec<Vec<Cell>>,
}

pub(super) fn write(page: &mut Page<'_>, results: &Results) {
    page.blank();
    let mut rows = vec![HEADS.map(head).to_vec()];
    rows.extend(results.checkpoints.iter().map(|checkpoint| own(results, checkpoint)));
    let shares = shares(results);
    let (whole, mut captions) = beside(&rows, &shares);
    captions.insert(0, (ERRORS, "worst error"));
    let width = page.presentation.width;
    if table::total(&table::widths(&whole, NAME, width)) <= width {
        captioned(page, &whole, &captions);
    } else {
        captioned(page, &rows, &captions[..1]);
        page.blank();
        let names: Vec<Vec<Cell>> = rows.iter().map(|row| row[..=NAME].to_vec()).collect();
        let (apart, captions) = beside(&names, &shares);
        captioned(page, &apart, &captions);
    }
    for line in over_ceiling(results) {
        page.entry("ceiling", DIM, &line);
    }
    if page.presentation.verbose {
        for checkpoint in &results.checkpoints {
            page.heading(&plain(&format!("{} {}: {}", checkpoint.id, checkpoint.name, checkpoint.title)));
            kinds(page, checkpoint);
        }
    }
}

/// Rows with shares to their right, and where the captions of those stand.
fn beside(rows: &[Vec<Cell>], shares: &[Shares]) -> (Vec<Vec<Cell>>, Vec<(usize, &'static str)>) {
    let (mut whole, mut captions) = (rows.to_vec(), Vec::new());
    for group in shares {
        captions.push((whole.first().map_or(0, Vec::len), group.caption));
        for (row, cells) in whole.iter_mut().zip(&group.rows) {
            row.extend_from_slice(cells);
        }
    }
    (whole, captions)
}

fn captioned(page: &mut Page<'_>, rows: &[Vec<Cell>], captions: &[(usize, &str)]) {
    let widths = table::widths(rows, NAME, page.presentation.width);
    let captions = page.paint(DIM, &table::captions(&widths, captions));
    page.line(&captions);
    page.table(rows, NAME, "");
}

fn head(text: impl Into<String>) -> Cell {
    Cell::left(text).style(DIM)
}

fn own(results: &Results, checkpoint: &CheckpointResult) -> Vec<Cell> {
    let compared =
        format!("{} of {}", figures::count(checkpoint.compared), figures::count(checkpoint.required));
    let complete = checkpoint.compared == checkpoint.required && checkpoint.required > 0;
    vec![
        Cell::left(plain(&checkpoint.id)).style(DIM),
        Cell::left(plain(&checkpoint.name)),
        Cell::left(words::verdict(checkpoint.verdict)).style(colour(checkpoint.verdict)),
        Cell::right(compared).style(if complete { Style::new() } else { YELLOW }),
        Cell::right(figures::count(checkpoint.ties)).style(if checkpoint.ties > 0 { YELLOW } else { DIM }),
        Cell::right(chained_error(results, &checkpoint.id)),
        Cell::right(summary::isolated_error(checkpoint)),
    ]
}

/// What everyone uses of rounding budgets, and what chained errors come to of classic ceilings; of these nothing where
/// there are none.
fn shares(results: &Results) -> Vec<Shares> {
    let peers = Peers::new(results);
    let group = |caption, of: &dyn Fn(&CheckpointResult) -> Vec<Cell>| {
        let heads = peers.names().into_iter().map(|name| Cell::right(name).style(DIM)).collect();
        Shares { caption, rows: std::iter::once(heads).chain(results.checkpoints.iter().map(of)).collect() }
    };
    let budgets = |checkpoint: &CheckpointResult| {
        let reserved = results.reservations.iter().any(|r| r.checkpoint.as_ref() == Some(&checkpoint.id));
        let budgets = peers.budgets(&checkpoint.id).into_iter().enumerate();
        budgets
            .map(|(rank, used)| Cell::right(share(used)).style(burden(used, rank == 0, reserved)))
            .collect()
    };
    let ceilings = |checkpoint: &CheckpointResult| {
        let ceilings = peers.ceilings(&checkpoint.id).into_iter();
        ceilings.map(|used| Cell::right(share(used)).style(DIM)).collect()
    };
    let mut groups = Vec::new();
    if peers.have_budgets() {
        groups.push(group("rounding budget used", &budgets));
    }
    if peers.have_ceilings() {
        groups.push(group("of ceiling", &ceilings));
    }
    groups
}

fn burden(used: Option<Measured>, subject: bool, reserved: bool) -> Style {
    match used {
        Some(Measured(used)) if used.is_nan() || used > 1.0 => RED,
        Some(_) if subject && reserved => YELLOW,
        Some(_) if subject => Style::new(),
        _ => DIM,
    }
}

fn kinds(page: &mut Page<'_>, checkpoint: &CheckpointResult) {
    let heads = ["activation", "verdict", "compared", "worst error", "of allowed", "where"];
    let mut rows = vec![heads.map(head).to_vec()];
    for group in summary::groups(checkpoint, false) {
        let listed = group.comparisons.len() as u64;
        let (place, (error, used)) =
            group.worst().map(|(worst, figures)| (phrases::place(worst), figures)).unwrap_or_default();
        rows.push(vec![
            Cell::left(plain(&group.kind)),
            Cell::left(words::comparison(group.verdict())).style(comparison_colour(group.verdict())),
            Cell::right(format!("{} of {}", figures::count(group.compared() as u64), figures::count(listed))),
            Cell::right(error),
            Cell::right(used),
            Cell::left(place).style(DIM),
        ]);
    }
    page.table(&rows, heads.len() - 1, "  ");
}
