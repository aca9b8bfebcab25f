//! How every implementation fares at each checkpoint, side by side.

use checkpoint_spec::{Measured, PeerFigure, Results};

use crate::figures;
use crate::text::plain;

/// The subject, and whoever else has figures: the references at its precision in order of precedence, then others.
pub(crate) struct Peers<'a> {
    results: &'a Results,
    implementations: Vec<String>,
}

/// Every implementation measured alike.
pub(crate) const BUDGETS: &str = "Largest share of the rounding budget that an element uses in isolation, \
    every implementation fed the same inputs and measured alike.";

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

    /// Whether anyone was held to a rounding budget at a checkpoint of this run.
    pub(crate) fn have_budgets(&self) -> bool {
        self.results.checkpoints.iter().any(|c| self.budgets(&c.id).iter().any(Option::is_some))
    }
}

/// The share of a budget that is used, `—` where nothing is rounded.
pub(crate) fn share(used: Option<Measured>) -> String {
    used.map_or_else(|| "—".to_owned(), |used| figures::share(used.0))
}

/// The share that the subject uses at a checkpoint.
pub(crate) fn of_subject(results: &Results, checkpoint: &str) -> Option<Measured> {
    let subject = results.subject.to_string();
    let here = |peer: &&PeerFigure| peer.checkpoint == checkpoint && peer.implementation == subject;
    results.peers.iter().find(here).and_then(|peer| peer.budget_used)
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
        assert_eq!(of_subject(&results, "06"), Some(Measured(0.12)));
    }

    #[test]
    fn the_same_name_at_two_precisions_keeps_its_precision() {
        let mut results = fixtures::passing();
        results.peers[0].implementation = "torch@f16".to_owned();
        assert_eq!(Peers::new(&results).names(), ["rust", "torch@f32", "tinygrad", "torch@f16"]);
    }
}
