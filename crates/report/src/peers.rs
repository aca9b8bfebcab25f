//! How every implementation fares at each checkpoint, side by side.

use checkpoint_spec::{Measured, PeerFigure, Results};

use crate::figures;
use crate::text::plain;

/// The subject, and whoever else has figures: the references at its precision in order of precedence, then others.
pub(crate) struct Peers<'a> {
    results: &'a Results,
    implementations: Vec<String>,
}

/// What the table of budgets shows.
pub(crate) const BUDGETS: &str = "Largest share of the rounding budget that an element uses, every implementation \
    judged from its own inputs by the oracle.";
/// What the table of errors shows.
pub(crate) const ERRORS: &str = "Largest absolute error against the oracle, chained and from own inputs, and the share \
    of a classic ceiling that the chained error comes to. No ceiling decides anything, and a chained error only where \
    nothing nearer can judge.";

impl<'a> Peers<'a> {
    pub(crate) fn new(results: &'a Results) -> Self {
        let others = results.peers.iter().map(|peer| peer.implementation.clone());
        let references = results
            .references
            .iter()
            .map(|reference| format!("{}@{}", reference.name, results.subject.precision.peer()));
        let has_figures = |name: &String| results.peers.iter().any(|peer| peer.implementation == *name);
        let mut implementations = vec![results.subject.to_string()];
        for name in references.chain(others).filter(has_figures) {
            if !implementations.contains(&name) {
                implementations.push(name);
            }
        }
        Self { results, implementations }
    }

    /// `rust`, `torch`, …; with the precision where two have the same name.
    pub(crate) fn names(&self) -> Vec<String> {
        fn short(id: &str) -> &str {
            id.split('@').next().unwrap_or(id)
        }
        let alone =
            |id: &str| self.implementations.iter().filter(|other| short(other) == short(id)).count() == 1;
        self.implementations.iter().map(|id| plain(if alone(id) { short(id) } else { id })).collect()
    }

    /// The figures at a checkpoint, one per implementation.
    pub(crate) fn at(&self, checkpoint: &str) -> Vec<Option<&'a PeerFigure>> {
        let figure = |implementation: &str| {
            self.results
                .peers
                .iter()
                .find(|p| p.checkpoint == checkpoint && p.implementation == implementation)
        };
        self.implementations.iter().map(|implementation| figure(implementation)).collect()
    }

    /// The shares of the budget used at a checkpoint, one per implementation.
    pub(crate) fn budgets(&self, checkpoint: &str) -> Vec<Option<Measured>> {
        self.at(checkpoint).into_iter().map(|figure| figure.and_then(|f| f.budget_used)).collect()
    }

    /// The shares of a classic ceiling that chained errors come to at a checkpoint, one per implementation.
    pub(crate) fn ceilings(&self, checkpoint: &str) -> Vec<Option<Measured>> {
        self.at(checkpoint).into_iter().map(|figure| figure.and_then(|f| f.ceiling_used)).collect()
    }

    /// Whether anyone was held to a rounding budget at a checkpoint of this run.
    pub(crate) fn have_budgets(&self) -> bool {
        self.results.checkpoints.iter().any(|c| self.budgets(&c.id).iter().any(Option::is_some))
    }

    /// Whether a ceiling is stated at a checkpoint of this run.
    pub(crate) fn have_ceilings(&self) -> bool {
        self.results.checkpoints.iter().any(|c| self.ceilings(&c.id).iter().any(Option::is_some))
    }
}

/// The share of a budget or ceiling that is used, `—` where there is none.
pub(crate) fn share(used: Option<Measured>) -> String {
    used.map_or_else(|| "—".to_owned(), |used| figures::share(used.0))
}

/// The figures of the subject at a checkpoint.
pub(crate) fn of_subject<'a>(results: &'a Results, checkpoint: &str) -> Option<&'a PeerFigure> {
    let subject = results.subject.to_string();
    results.peers.iter().find(|peer| peer.checkpoint == checkpoint && peer.implementation == subject)
}

/// The worst errors of a figure, chained and from own inputs, `—` where nothing is rounded there.
pub(crate) fn errors(figure: &PeerFigure) -> [String; 2] {
    let isolated = figure.budget_used.map(|_| figures::error(figure.isolated_max_abs.0));
    [figures::error(figure.chained_max_abs.0), isolated.unwrap_or_else(|| "—".to_owned())]
}

/// The chained error of the subject at a checkpoint; empty where it has none.
pub(crate) fn chained_error(results: &Results, checkpoint: &str) -> String {
    of_subject(results, checkpoint).map(|figure| figures::error(figure.chained_max_abs.0)).unwrap_or_default()
}

/// Who is over a classic ceiling, in a line per circle of implementations:
/// `torch@f32 is over the classic ceiling of 08 too: it decides nothing`.
pub(crate) fn over_ceiling(results: &Results) -> Vec<String> {
    let subject = results.subject.to_string();
    let is_over = |peer: &&PeerFigure| peer.ceiling_used.is_some_and(|used| used.0.is_nan() || used.0 > 1.0);
    let mut circles: Vec<(Vec<&str>, Vec<&str>)> = Vec::new();
    for checkpoint in &results.checkpoints {
        let here = results.peers.iter().filter(|peer| peer.checkpoint == checkpoint.id).filter(is_over);
        let over: Vec<&str> = here.map(|peer| peer.implementation.as_str()).collect();
        match circles.iter_mut().find(|(circle, _)| *circle == over) {
            Some((_, ids)) => ids.push(&checkpoint.id),
            None if over.is_empty() => {}
            None => circles.push((over, vec![&checkpoint.id])),
        }
    }
    let line = |(over, ids): (Vec<&str>, Vec<&str>)| {
        let peers: Vec<&str> = over.iter().copied().filter(|name| *name != subject).collect();
        let too = if !peers.is_empty() && peers.len() < over.len() { " too" } else { "" };
        let who = if peers.is_empty() { over } else { peers };
        let are = if who.len() == 1 { "is" } else { "are" };
        let (who, ids) = (listed(&who), listed(&ids));
        plain(&format!("{who} {are} over the classic ceiling of {ids}{too}: it decides nothing"))
    };
    circles.into_iter().map(line).collect()
}

/// `a`, `a and b`, `a, b and c`.
fn listed(names: &[&str]) -> String {
    match names {
        [first @ .., before, last] => {
            let start: String = first.iter().map(|name| format!("{name}, ")).collect();
            format!("{start}{before} and {last}")
        }
        names => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn the_subject_comes_first_and_every_implementation_has_its_column() {
        let mut results = fixtures::passing();
        results
            .peers
            .retain(|peer| (peer.checkpoint.as_str(), peer.implementation.as_str()) != ("02", "rust@f32"));
        let peers = Peers::new(&results);
        assert_eq!(peers.names(), ["rust", "torch", "tinygrad"]);
        let shares: Vec<String> = peers.budgets("02").into_iter().map(share).collect();
        assert_eq!(shares, ["—", "23.0 %", "31.0 %"]);
        assert_eq!(of_subject(&results, "02"), None);
        assert_eq!(of_subject(&results, "06").and_then(|figure| figure.budget_used), Some(Measured(0.12)));
    }

    #[test]
    fn who_is_over_a_ceiling_is_said_with_what_that_decides() {
        assert!(over_ceiling(&fixtures::passing()).is_empty());
        assert_eq!(
            over_ceiling(&fixtures::over_ceiling()),
            ["torch@f32 is over the classic ceiling of 06 too: it decides nothing"]
        );
        let mut results = fixtures::over_ceiling();
        for peer in &mut results.peers {
            peer.ceiling_used = Some(Measured(if peer.implementation == "rust@f32" { 0.9 } else { 1.5 }));
        }
        assert_eq!(
            over_ceiling(&results),
            ["torch@f32 and tinygrad@f32 are over the classic ceiling of 02, 06 and 12: it decides nothing"]
        );
        for peer in &mut results.peers {
            peer.ceiling_used = Some(Measured(if peer.checkpoint == "06" { f64::NAN } else { 0.9 }));
        }
        results.peers.retain(|peer| peer.implementation == "rust@f32");
        assert_eq!(
            over_ceiling(&results),
            ["rust@f32 is over the classic ceiling of 06: it decides nothing"]
        );
    }

    #[test]
    fn the_same_name_at_two_precisions_keeps_its_precision() {
        let mut results = fixtures::passing();
        results.peers[0].implementation = "torch@f16".to_owned();
        assert_eq!(Peers::new(&results).names(), ["rust", "torch@f32", "tinygrad", "torch@f16"]);
    }
}
