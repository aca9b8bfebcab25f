//! The bounds of a comparison and what it uses of them.

use checkpoint_spec::{
    BudgetRecord, Comparison, ComparisonVerdict, ElementRecord, Measured, Mode, Outcome, StatisticsRecord,
};

use crate::figures;
use crate::text::plain;

/// One bound of a comparison: `budget`, `systematic`, `chained` or `bits`, and how much of it is used.
pub(crate) struct Bound {
    pub(crate) label: &'static str,
    pub(crate) text: String,
    /// Whether the error is out of it.
    pub(crate) broken: bool,
}

/// The bounds of a comparison: its rounding budget with the systematic errors that are out of theirs, what a chained
/// error may be, or the very bits.
pub(crate) fn bounds(comparison: &Comparison) -> Vec<Bound> {
    let Outcome::Compared { statistics, .. } = &comparison.outcome else { return Vec::new() };
    match (&statistics.budget, comparison.mode) {
        (Some(budget), _) => {
            let elementwise = elementwise(budget, statistics.elements);
            std::iter::once(elementwise).chain(systematic(budget)).collect()
        }
        (None, Mode::Chained) => vec![chained(statistics, comparison.chained_allowed)],
        (None, Mode::Isolated) => vec![bits(statistics)],
    }
}

/// The share of the bound that judges which is used; where there are two, the larger share.
pub(crate) fn used(comparison: &Comparison, statistics: &StatisticsRecord) -> f64 {
    match (&statistics.budget, comparison.chained_allowed) {
        // Beside a budget no other bound is set.
        (Some(budget), _) => {
            let systematic = budget.systematic.iter().map(|found| found.used);
            systematic.fold(budget.used, Measured::or_worse).0
        }
        (None, Some(allowed)) => statistics.used.or_worse(Measured(share(statistics.rmse, allowed))).0,
        (None, None) => statistics.used.0,
    }
}

/// Elements out of the bound that judges.
pub(crate) fn violations(statistics: &StatisticsRecord) -> u64 {
    statistics.budget.as_ref().map_or(statistics.violations, |budget| budget.violations)
}

fn elementwise(budget: &BudgetRecord, elements: u64) -> Bound {
    let used = figures::share(budget.used.0);
    let [outside, elements] = [budget.violations, elements].map(figures::count);
    let text = format!("{used} of the rounding budget used, {outside} of {elements} elements out of it");
    Bound { label: "budget", text, broken: budget.violations > 0 }
}

fn systematic(budget: &BudgetRecord) -> impl Iterator<Item = Bound> {
    let broken = budget.systematic.iter().filter(|found| found.used.0.is_nan() || found.used.0 > 1.0);
    broken.map(|found| {
        let text = format!("{} ({} of it)", plain(&found.to_string()), figures::share(found.used.0));
        Bound { label: "systematic", text, broken: true }
    })
}

fn chained(statistics: &StatisticsRecord, allowed: Option<Measured>) -> Bound {
    let rmse = statistics.rmse;
    let out_of_allowed = allowed.is_some_and(|allowed| allowed.or_worse(rmse) != allowed);
    let mut text = format!("rmse {}", figures::error(rmse.0));
    text.extend(allowed.map(|allowed| {
        let share = figures::share(share(rmse, allowed));
        format!(", {share} of the {} that the errors of replicas allow", figures::error(allowed.0))
    }));
    let [outside, elements] = [statistics.violations, statistics.elements].map(figures::count);
    let used = figures::share(statistics.used.0);
    text += &format!("; the worst element uses {used} of its bound, {outside} of {elements} are out of it");
    Bound { label: "chained", text, broken: out_of_allowed || statistics.violations > 0 }
}

/// The worst error of a comparison and its share of the bound that judges it, or in one word why there is none. Where a
/// token may be another one, it is a tie.
pub(crate) fn worst_figures(comparison: &Comparison) -> (String, String) {
    match &comparison.outcome {
        Outcome::Compared { statistics: s, .. }
            if s.ties > 0 && comparison.verdict == ComparisonVerdict::Pass =>
        {
            (figures::error(s.max_abs.0), "tie".to_owned())
        }
        Outcome::Compared { statistics: s, .. } => {
            (figures::error(s.max_abs.0), figures::share(used(comparison, s)))
        }
        Outcome::ShapeMismatch { .. } => ("shape".to_owned(), "—".to_owned()),
        Outcome::DtypeMismatch { .. } => ("dtype".to_owned(), "—".to_owned()),
        Outcome::Missing { .. } => ("missing".to_owned(), "—".to_owned()),
        Outcome::Unreadable { .. } => ("unreadable".to_owned(), "—".to_owned()),
    }
}

fn share(error: Measured, allowed: Measured) -> f64 {
    if error.0 == 0.0 { 0.0 } else { error.0 / allowed.0 }
}

fn bits(statistics: &StatisticsRecord) -> Bound {
    let [differing, elements] = [statistics.violations, statistics.elements].map(figures::count);
    let text = format!("{differing} of {elements} elements are not the same");
    Bound { label: "bits", text, broken: statistics.violations > 0 }
}

/// The worst elements: the one that uses most of its budget, then those whose error is largest. Under a budget nothing
/// else bounds these.
pub(crate) fn worst_elements(statistics: &StatisticsRecord) -> Vec<[String; 5]> {
    let budget = statistics.budget.as_ref().and_then(|budget| budget.worst.as_ref());
    let is_shown = |index: &[usize]| budget.is_some_and(|shown| shown.index == index);
    let others = statistics.worst.iter().filter(|element| !is_shown(&element.index)).map(|element| {
        let mut shown = cells(element);
        if statistics.budget.is_some() {
            shown[4] = "—".to_owned();
        }
        shown
    });
    budget.map(cells).into_iter().chain(others).collect()
}

/// An element: where, actual, expected, error, allowed.
fn cells(element: &ElementRecord) -> [String; 5] {
    let ElementRecord { index, actual, expected, error, allowed } = element;
    let [actual, expected] = [actual, expected].map(|value| figures::value(value.0));
    let [error, allowed] = [error, allowed].map(|error| figures::error(error.0));
    [format!("{index:?}"), actual, expected, error, allowed]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn told(comparison: &Comparison) -> Vec<(&'static str, bool)> {
        bounds(comparison).iter().map(|bound| (bound.label, bound.broken)).collect()
    }

    fn used_by(comparison: &Comparison) -> f64 {
        used(comparison, comparison.outcome.statistics().unwrap())
    }

    #[test]
    fn bounds_are_told_apart() {
        assert_eq!(told(&fixtures::bits("attn.heads")), [("bits", false)]);
        assert_eq!(told(&fixtures::other_bits("attn.heads")), [("bits", true)]);
        assert_eq!(told(&fixtures::compared("mlp.act", 0.1)), [("budget", false)]);
        assert_eq!(told(&fixtures::out_of_budget("mlp.act", 13.1)), [("budget", true)]);
        assert_eq!(told(&fixtures::systematic("mlp.out")), [("budget", false), ("systematic", true)]);
        assert_eq!(told(&fixtures::generated(0.2)), [("chained", false)]);
        assert_eq!(told(&fixtures::out_of_chain()), [("chained", true)]);
        assert_eq!(told(&fixtures::shape_mismatch("attn.q")), []);
    }

    #[test]
    fn the_bound_that_judges_says_what_is_used() {
        let judged = [
            fixtures::bits("attn.heads"),
            fixtures::compared("mlp.act", 0.25),
            fixtures::systematic("mlp.out"),
            fixtures::out_of_chain(),
        ];
        let shares = judged.each_ref().map(|comparison| figures::share(used_by(comparison)));
        assert_eq!(shares, ["0 %", "25.0 %", "10.0×", "5.00×"]);
    }

    #[test]
    fn no_error_uses_nothing_and_a_nan_is_out() {
        let told = |rmse, allowed| {
            let mut comparison = fixtures::generated(0.0);
            comparison.chained_allowed = Some(Measured(allowed));
            fixtures::statistics_of(&mut comparison).rmse = Measured(rmse);
            let bound = bounds(&comparison).remove(0);
            (bound.broken, bound.text.split(',').nth(1).unwrap().to_owned())
        };
        assert!(told(0.0, 0.0).1.starts_with(" 0 % of the 0 "));
        assert!(!told(0.0, 0.0).0);
        assert!(told(f64::NAN, 1.0).0);
    }

    #[test]
    fn under_a_budget_no_other_bound_is_shown() {
        let comparison = fixtures::compared("mlp.act", 0.25);
        let elements = worst_elements(comparison.outcome.statistics().unwrap());
        let allowed: Vec<&str> = elements.iter().map(|cells| cells[4].as_str()).collect();
        assert_eq!(allowed, ["2.00e-6", "—"]);
    }
}
