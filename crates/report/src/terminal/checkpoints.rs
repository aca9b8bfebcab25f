//! The table of checkpoints, and of the activations of each.

use anstyle::Style;
use checkpoint_spec::{CheckpointResult, Measured, Mode, Results};

use super::{DIM, Page, RED, YELLOW, colour, comparison_colour};
use crate::peers::{Peers, share};
use crate::table::{self, Cell};
use crate::text::plain;
use crate::{figures, phrases, summary, words};

/// The column of names, which gives way to the width of the screen.
const NAME: usize = 1;
/// What the columns after those of [`own`] are about.
const BUDGETS: &str = "rounding budget used";
/// The share of a budget above which a pass has a reservation.
const HALF: f64 = 0.5;

pub(super) fn write(page: &mut Page<'_>, results: &Results) {
    page.blank();
    let heads = ["", "checkpoint", "verdict", "compared", "ties", "run", "replay", "of ceiling"];
    let run = heads.iter().position(|&head| head == "run").unwrap_or_default();
    let mut rows = vec![heads.map(head).to_vec()];
    rows.extend(results.checkpoints.iter().map(own));
    let budgets = budgets(results);
    let whole: Vec<Vec<Cell>> =
        rows.iter().zip(&budgets).map(|(own, budgets)| [&own[..], budgets].concat()).collect();
    let width = page.presentation.width;
    let widths = table::widths(&whole, NAME, width);
    let errors = (run, "worst error");
    if budgets.iter().all(Vec::is_empty) {
        captioned(page, &rows, &[errors]);
    } else if table::total(&widths) <= width {
        captioned(page, &whole, &[errors, (heads.len(), BUDGETS)]);
    } else {
        captioned(page, &rows, &[errors]);
        page.blank();
        let apart = rows.iter().zip(&budgets).map(|(own, budgets)| [&own[..=NAME], budgets].concat());
        captioned(page, &apart.collect::<Vec<_>>(), &[(NAME + 1, BUDGETS)]);
    }
    if page.presentation.verbose {
        for checkpoint in &results.checkpoints {
            page.heading(&plain(&format!("{} {}: {}", checkpoint.id, checkpoint.name, checkpoint.title)));
            kinds(page, checkpoint);
        }
    }
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

fn own(checkpoint: &CheckpointResult) -> Vec<Cell> {
    let worst = |mode: Option<Mode>| {
        let asked = checkpoint.comparisons.iter().filter(|c| mode.is_none_or(|mode| c.mode == mode));
        summary::worst(asked).map_or_else(Default::default, phrases::worst_figures)
    };
    let compared =
        format!("{} of {}", figures::count(checkpoint.compared), figures::count(checkpoint.required));
    let complete = checkpoint.compared == checkpoint.required && checkpoint.required > 0;
    vec![
        Cell::left(plain(&checkpoint.id)).style(DIM),
        Cell::left(plain(&checkpoint.name)),
        Cell::left(words::verdict(checkpoint.verdict)).style(colour(checkpoint.verdict)),
        Cell::right(compared).style(if complete { Style::new() } else { YELLOW }),
        Cell::right(figures::count(checkpoint.ties)).style(if checkpoint.ties > 0 { YELLOW } else { DIM }),
        Cell::right(worst(Some(Mode::Run)).0),
        Cell::right(worst(Some(Mode::Replay)).0),
        Cell::right(worst(None).1),
    ]
}

/// What everyone uses of the rounding budget, the heads first; nothing where nobody was held to one.
fn budgets(results: &Results) -> Vec<Vec<Cell>> {
    let peers = Peers::new(results);
    if !peers.have_budgets() {
        return vec![Vec::new(); results.checkpoints.len() + 1];
    }
    let heads = peers.names().into_iter().map(|name| Cell::right(name).style(DIM)).collect();
    let row = |checkpoint: &CheckpointResult| {
        let budgets = peers.budgets(&checkpoint.id).into_iter();
        budgets
            .enumerate()
            .map(|(rank, used)| Cell::right(share(used)).style(burden(used, rank == 0)))
            .collect()
    };
    std::iter::once(heads).chain(results.checkpoints.iter().map(row)).collect()
}

fn burden(used: Option<Measured>, subject: bool) -> Style {
    match used {
        Some(Measured(used)) if used.is_nan() || used > 1.0 => RED,
        Some(Measured(used)) if subject => {
            if used > HALF {
                YELLOW
            } else {
                Style::new()
            }
        }
        _ => DIM,
    }
}

fn kinds(page: &mut Page<'_>, checkpoint: &CheckpointResult) {
    let heads = ["activation", "verdict", "compared", "run", "replay", "of ceiling", "of budget", "where"];
    let mut rows = vec![heads.map(head).to_vec()];
    for group in summary::groups(checkpoint, false) {
        let figure = |mode| group.worst(mode).map(|c| phrases::worst_figures(c).0).unwrap_or_default();
        let worst = summary::worst(group.comparisons.iter().copied());
        let listed = group.comparisons.len() as u64;
        rows.push(vec![
            Cell::left(plain(&group.kind)),
            Cell::left(words::comparison(group.verdict())).style(comparison_colour(group.verdict())),
            Cell::right(format!("{} of {}", figures::count(group.compared() as u64), figures::count(listed))),
            Cell::right(figure(Mode::Run)),
            Cell::right(figure(Mode::Replay)),
            Cell::right(worst.map(|c| phrases::worst_figures(c).1).unwrap_or_default()),
            Cell::right(share(group.budget_used())).style(burden(group.budget_used(), true)),
            Cell::left(worst.map(phrases::place).unwrap_or_default()).style(DIM),
        ]);
    }
    page.table(&rows, heads.len() - 1, "  ");
}
