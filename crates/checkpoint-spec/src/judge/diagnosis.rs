//! Which bug is it? What is refused is computed once more under each change that its operation may have suffered, from the
//! same own inputs: those that give what was observed, within the budget, are named.

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::finding::Law;
use crate::assay::{CaseEvidence, Setting, plan, under};
use crate::results::{
    Comparison, ComparisonVerdict, Diagnosis, Mode, NamedBug, Outcome, Results, StatisticsRecord,
};
use crate::spec::{NamedChange, SpecError};
use crate::{Measured, Required};

/// Diagnoses of one run: what follows from the first ones is seldom another bug.
const MOST: usize = 6;

/// Refusals that a diagnosis may explain: of each kind of activation the first, in execution order.
pub fn culprits(results: &Results) -> Vec<&Comparison> {
    let refused = results.checkpoints.iter().flat_map(|checkpoint| &checkpoint.comparisons).filter(|c| {
        let has_numbers = matches!(c.outcome, Outcome::Compared { .. });
        c.verdict == ComparisonVerdict::Fail && c.mode == Mode::Isolated && !c.downstream && has_numbers
    });
    let mut first: Vec<&Comparison> = Vec::new();
    for comparison in refused {
        if !first.iter().any(|known| kind(known) == kind(comparison)) {
            first.push(comparison);
        }
    }
    first.truncate(MOST);
    first
}

/// What may have gone wrong where a comparison was refused; none where no operation gives the activation.
///
/// # Errors
/// If the specs do not fit the model.
pub fn diagnose(
    setting: &Setting<'_>,
    evidence: &CaseEvidence<'_>,
    culprit: &Comparison,
) -> Result<Option<Diagnosis>, SpecError> {
    let plan = plan(setting, evidence)?;
    let Some(required) = plan.iter().find(|required| required.name == culprit.tensor_name()) else {
        return Ok(None);
    };
    let changes = setting.specs.changes_at(setting.specs.of(required));
    if changes.is_empty() {
        return Ok(None);
    }
    let tried = changes.len() as u64;
    let named = |change: NamedChange<'_>| named(setting, evidence, required, change);
    let mut named: Vec<NamedBug> = changes.into_par_iter().filter_map(named).collect();
    named.sort_by(|a, b| a.used.0.total_cmp(&b.used.0));
    Ok(Some(Diagnosis {
        checkpoint: setting.specs.specs[required.spec].id.clone(),
        activation: culprit.name.clone(),
        case: culprit.case.clone(),
        step: culprit.step,
        tried,
        named,
    }))
}

/// A bug that gives what was observed, with the share of the budget that this takes.
fn named(
    setting: &Setting<'_>,
    evidence: &CaseEvidence<'_>,
    required: &Required,
    NamedChange { id, what, change }: NamedChange<'_>,
) -> Option<NamedBug> {
    let observation = under(setting, evidence, required, change);
    let law = Law { specs: setting.specs, subject_weights: false };
    let (ComparisonVerdict::Pass, Outcome::Compared { statistics, .. }) =
        (law.finding(&observation).0, &observation.outcome)
    else {
        return None;
    };
    Some(NamedBug { id: id.to_owned(), what: what.to_owned(), used: used(statistics) })
}

/// The largest share of a bound that is used; 0 where bits are the same.
pub(super) fn used(statistics: &StatisticsRecord) -> Measured {
    let Some(budget) = &statistics.budget else { return Measured(0.0) };
    budget.systematic.iter().map(|found| found.used).fold(budget.used, Measured::or_worse)
}

/// Checkpoint and name, whatever the layer.
fn kind(comparison: &Comparison) -> String {
    match comparison.layer {
        Some(layer) => comparison.name.replacen(&format!(".{layer}."), ".", 1),
        None => comparison.name.clone(),
    }
}
