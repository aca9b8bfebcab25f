//! What a comparison uses of its bounds other than the classic ceiling.

use checkpoint_spec::{BudgetRecord, Comparison, Measured, Outcome, StatisticsRecord};

use crate::text::plain;
use crate::{figures, phrases};

/// One bound of a comparison: `budget`, `systematic` or `chained`, and how much of it is used.
pub(crate) struct Bound {
    pub(crate) label: &'static str,
    pub(crate) text: String,
    /// Whether the error is out of it.
    pub(crate) broken: bool,
}

/// The bounds of a comparison: its rounding budget, the systematic errors that are out of theirs, and what a chained
/// error may be.
pub(crate) fn bounds(comparison: &Comparison) -> Vec<Bound> {
    let Outcome::Compared { statistics, .. } = &comparison.outcome else { return Vec::new() };
    let mut bounds = Vec::new();
    if let Some(budget) = &statistics.budget {
        bounds.push(elementwise(budget, statistics.elements));
        bounds.extend(systematic(budget));
    }
    bounds.extend(comparison.chained_allowed.map(|allowed| chained(statistics, allowed)));
    bounds
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

fn chained(statistics: &StatisticsRecord, allowed: Measured) -> Bound {
    let rmse = statistics.rmse;
    let broken = allowed.or_worse(rmse) != allowed;
    let share = if rmse.0 == 0.0 { 0.0 } else { rmse.0 / allowed.0 };
    let [rmse, allowed] = [rmse, allowed].map(|error| figures::error(error.0));
    let share = figures::share(share);
    let text = format!("rmse {rmse}, {share} of the {allowed} that the references' own errors allow");
    Bound { label: "chained", text, broken }
}

/// The worst elements, each with the bound it is worst under where there are two.
pub(crate) fn worst_elements(statistics: &StatisticsRecord) -> Vec<[String; 5]> {
    let budget = statistics.budget.as_ref().and_then(|budget| budget.worst.as_ref());
    let named = |element, bound: &str| {
        let [index, numbers @ ..] = phrases::element(element);
        let index = if budget.is_some() { format!("{index}, {bound}") } else { index };
        let [actual, expected, error, allowed] = numbers;
        [index, actual, expected, error, allowed]
    };
    let under_budget = budget.map(|element| named(element, "budget"));
    under_budget.into_iter().chain(statistics.worst.iter().map(|e| named(e, "ceiling"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn told(comparison: &Comparison) -> Vec<(&'static str, bool)> {
        bounds(comparison).iter().map(|bound| (bound.label, bound.broken)).collect()
    }

    #[test]
    fn bounds_are_told_apart() {
        assert_eq!(told(&fixtures::compared("mlp.act", 0.1)), []);
        assert_eq!(told(&fixtures::within_budget("mlp.act", 0.1)), [("budget", false)]);
        assert_eq!(told(&fixtures::out_of_budget("mlp.act")), [("budget", true)]);
        assert_eq!(told(&fixtures::systematic("mlp.out")), [("budget", false), ("systematic", true)]);
        assert_eq!(told(&fixtures::out_of_chain("out")), [("chained", true)]);
        assert_eq!(told(&fixtures::shape_mismatch("attn.q")), []);
    }

    #[test]
    fn no_error_uses_nothing_and_a_nan_is_out() {
        let mut comparison = fixtures::out_of_chain("out");
        let mut chained = |rmse, allowed| {
            comparison.chained_allowed = Some(Measured(allowed));
            if let Outcome::Compared { statistics, .. } = &mut comparison.outcome {
                statistics.rmse = Measured(rmse);
            }
            let bound = bounds(&comparison).pop().unwrap();
            (bound.broken, bound.text.split(',').nth(1).unwrap().to_owned())
        };
        assert!(chained(0.0, 0.0).1.starts_with(" 0 % of the 0 "));
        assert!(!chained(0.0, 0.0).0);
        assert!(chained(f64::NAN, 1.0).0);
    }
}
