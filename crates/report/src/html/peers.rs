//! Tables with one row per checkpoint and one column per implementation.

use checkpoint_spec::{PeerFigure, Results};

use crate::peers::{Peers, errors, share};
use crate::text::plain;

/// One figure of every implementation at every checkpoint that has one.
pub(super) struct Table {
    pub(super) implementations: Vec<String>,
    /// Checkpoint and cells.
    pub(super) rows: Vec<(String, Vec<String>)>,
}

impl Table {
    /// Shares of the rounding budget used.
    pub(super) fn budgets(results: &Results) -> Self {
        Self::new(results, |figure| figure.budget_used.map(|used| share(Some(used))))
    }

    /// Worst errors chained and from own inputs.
    pub(super) fn errors(results: &Results) -> Self {
        Self::new(results, |figure| Some(errors(figure).join(" / ")))
    }

    /// Shares of a classic ceiling that chained errors come to.
    pub(super) fn ceilings(results: &Results) -> Self {
        Self::new(results, |figure| figure.ceiling_used.map(|used| share(Some(used))))
    }

    fn new(results: &Results, of: fn(&PeerFigure) -> Option<String>) -> Self {
        let peers = Peers::new(results);
        let mut rows = Vec::new();
        for checkpoint in &results.checkpoints {
            let cells: Vec<Option<String>> =
                peers.at(&checkpoint.id).into_iter().map(|figure| figure.and_then(of)).collect();
            if cells.iter().any(Option::is_some) {
                let cells = cells.into_iter().map(|cell| cell.unwrap_or_else(|| "—".to_owned()));
                rows.push((plain(&format!("{} {}", checkpoint.id, checkpoint.name)), cells.collect()));
            }
        }
        Self { implementations: peers.names(), rows }
    }
}
