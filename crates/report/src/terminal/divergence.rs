//! The first divergence, with everything that helps to find the bug.

use anstyle::Style;
use checkpoint_spec::{Comparison, Divergence, Outcome, Results, StatisticsRecord};

use super::{BOLD, DIM, Page, RED, remainder};
use crate::bounds::{bounds, worst_elements};
use crate::summary;
use crate::table::Cell;
use crate::text::plain;
use crate::{command, phrases, words};

pub(super) fn write(page: &mut Page<'_>, results: &Results) {
    let Some(divergent) = summary::divergent(results) else { return };
    let Divergence { checkpoint, case, reason, .. } = divergent.divergence;
    page.heading("first divergence, in execution order");
    page.entry("where", RED, &phrases::divergence_place(&divergent));
    page.entry("reason", Style::new(), &format!("{}: {}", words::reason(*reason), words::meaning(*reason)));
    if let Some(inputs) = phrases::divergence_inputs(divergent.divergence) {
        page.entry("inputs", Style::new(), inputs);
    }
    if let Some(diagnosis) = results.diagnosis() {
        let style = if diagnosis.named.is_empty() { Style::new() } else { BOLD };
        page.entry("which bug", style, &phrases::diagnosis(diagnosis));
    }
    for comparison in &divergent.comparisons {
        numbers(page, comparison);
    }
    let few = page.few();
    for finding in divergent.findings.iter().take(few) {
        page.entry("finding", Style::new(), &plain(&finding.message));
    }
    remainder(page, divergent.findings.len(), few);
    page.entry("reproduce", BOLD, &command::reproduce(results, checkpoint, Some(case)));
}

/// The numbers of a comparison, one kind a line.
pub(crate) fn numbers(page: &mut Page<'_>, comparison: &Comparison) {
    page.entry("judged by", Style::new(), &plain(&comparison.reference));
    match &comparison.outcome {
        Outcome::Compared { shape, statistics } => {
            page.entry("  shape", Style::new(), &shape.to_string());
            compared(page, comparison, statistics);
        }
        _ => page.entry("  found", Style::new(), &phrases::outcome(comparison)),
    }
}

fn compared(page: &mut Page<'_>, comparison: &Comparison, s: &StatisticsRecord) {
    if let Some(found) = phrases::non_finite(s) {
        page.entry("  non-finite", RED, &found);
    }
    page.entry("  errors", Style::new(), &phrases::errors(s));
    for bound in bounds(comparison) {
        let style = if bound.broken { RED } else { Style::new() };
        page.entry(&format!("  {}", bound.label), style, &bound.text);
    }
    let buckets: Vec<String> = phrases::buckets(s).iter().map(|(size, n)| format!("{size}: {n}")).collect();
    page.entry("  by size", Style::new(), &buckets.join(", "));
    worst(page, s);
}

fn worst(page: &mut Page<'_>, s: &StatisticsRecord) {
    let heads = ["worst at", "actual", "expected", "error", "allowed"];
    let mut rows = vec![heads.map(|head| Cell::left(head).style(DIM)).to_vec()];
    rows.extend(worst_elements(s).into_iter().map(|[index, numbers @ ..]| {
        [Cell::left(index)].into_iter().chain(numbers.map(Cell::right)).collect()
    }));
    page.table(&rows, 0, "  ");
}
