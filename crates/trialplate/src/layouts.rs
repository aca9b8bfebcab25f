//! Layouts that are a permutation of the right one, recognised: by values where these tell, else by shape.

use std::collections::{BTreeMap, BTreeSet};

use capture::dump::{Dump, DumpTensor};
use capture::{Capture, FileError, Tensor, TensorName, TensorSource};
use checkpoint_spec::{
    CaseEvidence, ComparisonVerdict, Part, PartComparison, PartResults, RecognisedLayout, Setting, holds,
};

use crate::axes::{Axes, Due, Ways};
use crate::bring::{Brought, due_shape, fitted, gathered};
use crate::model::Subject;

/// Recognised in one dump: more of a kind say nothing new.
const MOST: usize = 12;

/// What is refused, and would be right in another order of its axes.
pub(crate) fn recognise(
    subject: &Subject,
    setting: &Setting<'_>,
    evidence: &CaseEvidence<'_>,
    tokens: bool,
    dump: &Dump,
    brought: &Brought,
    results: &PartResults,
) -> Vec<RecognisedLayout> {
    let looked = Looked { subject, setting, evidence, tokens, dump, brought };
    let refused = results
        .comparisons
        .iter()
        .filter(|found| found.comparison.verdict == ComparisonVerdict::Fail && !found.comparison.downstream);
    refused.filter_map(|found| looked.at(found)).take(MOST).collect()
}

struct Looked<'a> {
    subject: &'a Subject,
    setting: &'a Setting<'a>,
    evidence: &'a CaseEvidence<'a>,
    tokens: bool,
    dump: &'a Dump,
    brought: &'a Brought,
}

/// The dump with one tensor in another layout.
struct Instead<'a> {
    capture: &'a Capture,
    name: &'a TensorName,
    tensor: Tensor,
}

impl TensorSource for Instead<'_> {
    fn names(&self) -> BTreeSet<TensorName> {
        self.capture.names()
    }

    fn tensor(&self, name: &TensorName) -> Result<Option<Tensor>, FileError> {
        if name == self.name { Ok(Some(self.tensor.clone())) } else { self.capture.tensor(name) }
    }
}

impl Looked<'_> {
    fn at(&self, found: &PartComparison) -> Option<RecognisedLayout> {
        let ours = found.comparison.tensor_name();
        let source = self.brought.from.get(&ours)?;
        if source.entry.as_ref().is_some_and(|entry| entry.part.is_some()) {
            return None;
        }
        let theirs = self.dump.tensors.get(&source.tensor)?;
        let shape = due_shape(self.subject, self.evidence.case, &ours)?;
        let sizes: Vec<usize> = shape.iter().map(|(_, size)| *size).collect();
        let right = self.brought.capture.tensors.get(&ours)?;
        let mut distinct: BTreeMap<Vec<usize>, (Axes, Vec<Due>)> = BTreeMap::new();
        for (axes, due) in candidates(&shape, theirs, self.subject) {
            let Ok(places) = axes.places(&due, &theirs.shape, &Ways::default()) else { continue };
            distinct.entry(places).or_insert((axes, due));
        }
        let mut fitting = Vec::new();
        for (places, (axes, due)) in distinct {
            let Ok(tensor) = gathered(theirs, &places, &sizes) else { continue };
            if tensor != *right {
                fitting.push((tensor, axes, due));
            }
        }
        let only = fitting.len() == 1 && theirs.shape != sizes;
        let by_values = fitting.iter().find(|(tensor, _, _)| self.is_right(&ours, tensor.clone()));
        let (axes, due, by_values) = match (by_values, fitting.first()) {
            (Some((_, axes, due)), _) => (axes, due, true),
            (None, Some((_, axes, due))) if only => (axes, due, false),
            _ => return None,
        };
        let of_due = Axes::of(due.iter().map(|(letter, _)| vec![*letter]).collect());
        Some(RecognisedLayout {
            activation: ours.activation,
            step: ours.step,
            tensor: source.tensor.clone(),
            is: axes.in_words(),
            due: of_due.in_words(),
            axes: axes.to_string(),
            by_values,
        })
    }

    fn is_right(&self, ours: &TensorName, tensor: Tensor) -> bool {
        let instead = Instead { capture: &self.brought.capture, name: ours, tensor };
        let evidence = CaseEvidence { subject: Some(&instead), ..*self.evidence };
        let part = Part::new(self.setting, &evidence, self.tokens).ok().flatten();
        part.is_some_and(|part| {
            let required = part.there().iter().find(|required| required.name == *ours);
            required.is_some_and(|required| holds(self.setting.specs, &part.observe(required)))
        })
    }
}

/// Every order of the axes, joined in every way, that has the tensor's shape; the plainest first.
pub(crate) fn candidates(shape: &[Due], theirs: &DumpTensor, subject: &Subject) -> Vec<(Axes, Vec<Due>)> {
    let by_heads = fitted(shape, Axes::of(vec![vec!['h'], vec!['d']]), subject).0;
    let mut candidates = Vec::new();
    for due in [shape.to_vec(), by_heads] {
        let letters: Vec<char> = due.iter().map(|(letter, _)| *letter).collect();
        let without_one: Vec<char> =
            due.iter().filter(|(_, size)| *size != 1).map(|(letter, _)| *letter).collect();
        for letters in [letters, without_one] {
            for order in orders(&letters) {
                for axes in joined(&order) {
                    if axes.len() == theirs.shape.len() {
                        candidates.push((order.len() - axes.len(), Axes::of(axes), due.clone()));
                    }
                }
            }
        }
    }
    // What joins nothing says it best.
    candidates.sort_by_key(|(joints, _, _)| *joints);
    let candidates = candidates.into_iter().map(|(_, axes, due)| (axes, due));
    candidates.collect()
}

fn orders(letters: &[char]) -> Vec<Vec<char>> {
    let Some((first, rest)) = letters.split_first() else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for order in orders(rest) {
        for at in 0..=order.len() {
            let mut order = order.clone();
            order.insert(at, *first);
            all.push(order);
        }
    }
    all.sort_by_key(|order| {
        order.iter().map(|letter| letters.iter().position(|l| l == letter)).collect::<Vec<_>>()
    });
    all
}

/// Neighbours that are one axis or two, in every way, with fewest joined first.
fn joined(order: &[char]) -> Vec<Vec<Vec<char>>> {
    let gaps = order.len().saturating_sub(1);
    let mut all: Vec<Vec<Vec<char>>> = (0..1_u32 << gaps)
        .map(|mask| {
            let mut axes: Vec<Vec<char>> = Vec::new();
            for (at, letter) in order.iter().enumerate() {
                match axes.last_mut() {
                    Some(axis) if mask >> (at - 1) & 1 == 1 => axis.push(*letter),
                    _ => axes.push(vec![*letter]),
                }
            }
            axes
        })
        .collect();
    all.sort_by_key(|axes| std::cmp::Reverse(axes.len()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_tried_the_right_one_first() {
        assert_eq!(orders(&['b', 's', 'h', 'd']).len(), 24);
        assert_eq!(orders(&['b', 's', 'h', 'd'])[0], ['b', 's', 'h', 'd']);
        assert_eq!(joined(&['b', 's', 'h']).len(), 4);
        assert_eq!(joined(&['b', 's'])[0], [vec!['b'], vec!['s']]);
    }
}
