//! What every rendering needs to know of a record, derived from it alone.

use capture::TensorName;
use checkpoint_spec::{
    CheckpointResult, Comparison, ComparisonVerdict, Diagnosis, Divergence, Finding, Measured, Mode, Reason,
    RequirementResult, Results, Verdict,
};

use crate::bounds::worst_figures;
use crate::figures;

/// Sums over all checkpoints.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) compared: u64,
    pub(crate) required: u64,
    pub(crate) ties: u64,
    pub(crate) requirements_held: u64,
    pub(crate) requirements_broken: u64,
    pub(crate) not_exercised: u64,
    pub(crate) not_applicable: u64,
}

/// The first divergence, with what the record holds about it.
pub(crate) struct Divergent<'a> {
    pub(crate) divergence: &'a Divergence,
    pub(crate) checkpoint: Option<&'a CheckpointResult>,
    /// The comparisons there that are not a pass, one per reference.
    pub(crate) comparisons: Vec<&'a Comparison>,
    /// What requirements found there.
    pub(crate) findings: Vec<&'a Finding>,
}

/// The comparisons of one kind of activation, `h.*.attn.q`, over all layers and steps.
pub(crate) struct Group<'a> {
    pub(crate) kind: String,
    /// The case, when grouped by case.
    pub(crate) case: Option<&'a str>,
    pub(crate) comparisons: Vec<&'a Comparison>,
}

/// Sums over all checkpoints.
pub(crate) fn totals(results: &Results) -> Totals {
    let mut sum = Totals::default();
    for checkpoint in &results.checkpoints {
        sum.compared = sum.compared.saturating_add(checkpoint.compared);
        sum.required = sum.required.saturating_add(checkpoint.required);
        sum.ties = sum.ties.saturating_add(checkpoint.ties);
        for requirement in &checkpoint.requirements {
            match standing(requirement) {
                Standing::Holds => sum.requirements_held += 1,
                Standing::NotExercised => sum.not_exercised += 1,
                Standing::Broken(_) => sum.requirements_broken += 1,
            }
        }
        sum.not_applicable += checkpoint.not_applicable.len() as u64;
    }
    sum
}

/// The worst of some comparisons: those without numbers that should have them first, then those out of bounds, then
/// by share of the bound that judges. The first in order wins among equals.
pub(crate) fn worst<'a>(comparisons: impl IntoIterator<Item = &'a Comparison>) -> Option<&'a Comparison> {
    let mut worst: Option<(&Comparison, (u8, f64))> = None;
    for comparison in comparisons.into_iter().filter(|comparison| !is_waived(comparison)) {
        let key = badness(comparison);
        if worst.is_none_or(|(_, (rank, used))| key.0 > rank || (key.0 == rank && key.1 > used)) {
            worst = Some((comparison, key));
        }
    }
    worst.map(|(comparison, _)| comparison)
}

/// The largest error of a checkpoint from own inputs, or in one word why there is none.
pub(crate) fn isolated_error(checkpoint: &CheckpointResult) -> String {
    let isolated = || checkpoint.comparisons.iter().filter(|c| c.mode == Mode::Isolated);
    let floats = isolated().filter_map(|c| c.outcome.float_statistics());
    match worst(isolated()) {
        Some(worst) if worst.outcome.statistics().is_some() => floats
            .map(|statistics| statistics.max_abs)
            .reduce(Measured::or_worse)
            .map_or_else(|| worst_figures(worst).0, |error| figures::error(error.0)),
        worst => worst.map(|worst| worst_figures(worst).0).unwrap_or_default(),
    }
}

/// A pass with a reason that is no tie: a digest of weights that the subject was given by choice. It is a note.
fn is_waived(comparison: &Comparison) -> bool {
    comparison.verdict == ComparisonVerdict::Pass && comparison.reason == Some(Reason::Exact)
}

fn badness(comparison: &Comparison) -> (u8, f64) {
    let Some(statistics) = comparison.outcome.statistics() else { return (2, 0.0) };
    let used = crate::bounds::used(comparison, statistics);
    let used = if used.is_nan() { f64::INFINITY } else { used };
    (u8::from(comparison.verdict != ComparisonVerdict::Pass), used)
}

/// The first divergence and what is known of it.
pub(crate) fn divergent(results: &Results) -> Option<Divergent<'_>> {
    let divergence = results.first_divergence.as_ref()?;
    let checkpoint = results.checkpoints.iter().find(|c| c.id == divergence.checkpoint);
    let here = |c: &&Comparison| {
        c.name == divergence.activation
            && (&c.case, c.step, c.mode) == (&divergence.case, divergence.step, divergence.mode)
            && c.verdict != ComparisonVerdict::Pass
    };
    let tensor = TensorName { step: divergence.step, activation: divergence.activation.clone() }.to_string();
    let comparisons: Vec<&Comparison> = checkpoint.iter().flat_map(|c| &c.comparisons).filter(here).collect();
    // What a comparison says is not said again.
    let said = |f: &Finding| {
        comparisons.iter().any(|c| f.message.starts_with(&format!("against {}: ", c.reference)))
    };
    let findings = checkpoint
        .iter()
        .flat_map(|c| c.requirements.iter().flat_map(|r| &r.findings))
        .filter(|f| f.case == divergence.case && f.tensor == tensor && !said(f))
        .collect();
    Some(Divergent { divergence, checkpoint, comparisons, findings })
}

/// Groups comparisons by kind of activation, in order of first appearance.
pub(crate) fn groups(checkpoint: &CheckpointResult, by_case: bool) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut positions = std::collections::BTreeMap::new();
    for comparison in &checkpoint.comparisons {
        let kind = kind(comparison);
        let case = by_case.then_some(comparison.case.as_str());
        let position = *positions.entry((case, kind.clone())).or_insert_with(|| {
            groups.push(Group { kind, case, comparisons: Vec::new() });
            groups.len() - 1
        });
        groups[position].comparisons.push(comparison);
    }
    groups
}

fn kind(comparison: &Comparison) -> String {
    match comparison.layer {
        Some(layer) => comparison.name.replacen(&format!("h.{layer}."), "h.*.", 1),
        None => comparison.name.clone(),
    }
}

impl<'a> Group<'a> {
    /// The worst verdict of the group.
    pub(crate) fn verdict(&self) -> ComparisonVerdict {
        self.comparisons.iter().map(|c| c.verdict).max().unwrap_or(ComparisonVerdict::Incomplete)
    }

    /// How many have numbers.
    pub(crate) fn compared(&self) -> usize {
        self.comparisons.iter().filter(|c| c.outcome.elements() > 0).count()
    }

    /// The worst comparison, and its figures.
    pub(crate) fn worst(&self) -> Option<(&'a Comparison, (String, String))> {
        worst(self.comparisons.iter().copied()).map(|c| (c, worst_figures(c)))
    }
}

/// What is said of a checkpoint's refusals, but for the first divergence, where a bug has a name.
pub(crate) fn other_diagnoses<'a>(
    results: &'a Results,
    checkpoint: &'a CheckpointResult,
) -> impl Iterator<Item = &'a Diagnosis> {
    let of_the_first = results.diagnosis();
    results
        .diagnoses
        .iter()
        .filter(|diagnosis| diagnosis.checkpoint == checkpoint.id && !diagnosis.named.is_empty())
        .filter(move |diagnosis| of_the_first != Some(*diagnosis))
}

/// The exit code that a run ends with. `strict` makes reservations non-conforming.
pub fn exit_code(results: &Results, strict: bool) -> u8 {
    let reserved = strict && results.verdict == Verdict::Conditional;
    if reserved { Verdict::Fail.exit_code() } else { results.exit_code }
}

/// What a requirement comes to. One that nothing was checked against does not hold, whatever the record calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Checked as often as it must be, and found to hold.
    Holds,
    /// No case of this run has anything to check it on.
    NotExercised,
    /// Does not hold, or was not checked as often as it must be.
    Broken(ComparisonVerdict),
}

/// What a requirement comes to.
pub(crate) fn standing(requirement: &RequirementResult) -> Standing {
    match requirement.verdict {
        ComparisonVerdict::Pass if requirement.required == 0 => Standing::NotExercised,
        ComparisonVerdict::Pass if requirement.checked < requirement.required => {
            Standing::Broken(ComparisonVerdict::Incomplete)
        }
        ComparisonVerdict::Pass => Standing::Holds,
        verdict => Standing::Broken(verdict),
    }
}

/// Requirements that do not hold, with the word for each, failures first.
pub(crate) fn broken(checkpoint: &CheckpointResult) -> Vec<(&RequirementResult, ComparisonVerdict)> {
    let mut broken: Vec<_> = checkpoint
        .requirements
        .iter()
        .filter_map(|requirement| match standing(requirement) {
            Standing::Broken(verdict) => Some((requirement, verdict)),
            _ => None,
        })
        .collect();
    broken.sort_by_key(|&(_, verdict)| std::cmp::Reverse(verdict));
    broken
}

impl Totals {
    /// Requirements that this run can say something about.
    pub(crate) fn requirements(self) -> u64 {
        self.requirements_held + self.requirements_broken
    }
}

/// What is not a pass in a checkpoint, causes before consequences; what the first divergence already shows is left out.
pub(crate) fn departures<'a>(results: &Results, checkpoint: &'a CheckpointResult) -> Vec<&'a Comparison> {
    let first = divergent(results).map(|d| d.comparisons).unwrap_or_default();
    let shown = |c: &Comparison| first.iter().any(|&f| std::ptr::eq(f, c));
    let mut departures: Vec<&Comparison> =
        checkpoint.comparisons.iter().filter(|c| c.verdict != ComparisonVerdict::Pass && !shown(c)).collect();
    departures.sort_by_key(|c| c.downstream);
    departures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn strict_turns_reservations_into_non_conformance() {
        let mut results = fixtures::passing();
        assert_eq!((exit_code(&results, false), exit_code(&results, true)), (0, 0));
        results.verdict = Verdict::Conditional;
        assert_eq!((exit_code(&results, false), exit_code(&results, true)), (0, 1));
    }

    #[test]
    fn the_worst_is_what_has_no_numbers_then_nan_then_the_largest_share() {
        let small = fixtures::compared("a", 0.2);
        let large = fixtures::compared("b", 0.9);
        let nan = fixtures::compared("c", f64::NAN);
        let shape = fixtures::shape_mismatch("d");
        let name = |comparisons: &[&Comparison]| worst(comparisons.iter().copied()).map(|c| c.name.clone());
        assert_eq!(name(&[&small, &large, &small]).as_deref(), Some("h.1.b"));
        assert_eq!(name(&[&nan, &large]).as_deref(), Some("h.1.c"));
        assert_eq!(name(&[&nan, &shape]).as_deref(), Some("h.1.d"));
        assert_eq!(name(&[]), None);
    }

    #[test]
    fn a_requirement_that_nothing_was_checked_against_does_not_hold() {
        let of = |checked, required, verdict| {
            let mut results = fixtures::passing();
            let mut requirement = results.checkpoints[0].requirements.remove(0);
            (requirement.checked, requirement.required, requirement.verdict) = (checked, required, verdict);
            standing(&requirement)
        };
        assert_eq!(of(16, 16, ComparisonVerdict::Pass), Standing::Holds);
        assert_eq!(of(15, 16, ComparisonVerdict::Pass), Standing::Broken(ComparisonVerdict::Incomplete));
        assert_eq!(of(0, 0, ComparisonVerdict::Pass), Standing::NotExercised);
        assert_eq!(of(16, 16, ComparisonVerdict::Fail), Standing::Broken(ComparisonVerdict::Fail));
    }
}
