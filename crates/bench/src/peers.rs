//! The fault corpus as captures, before the rules of other harnesses: who would have seen what?
//!
//! Their way of work is modelled as their documentation states it: one chained run of the subject beside one of a
//! reference, tensor by tensor, in the order of the reference's names.

use anyhow::Result;
use capture::{DType, Precision, Tensor, TensorName, TensorSource};
use checkpoint_spec::{Extent, FaultWord, RunFacts, judge};
use harness::events::Progress;
use harness::fault::{Bench, Evidence, Fault, Ground, Injection, each_fault, examine};
use serde::Serialize;

use crate::rules::all_close;

/// A rule of another harness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// `numpy.allclose(actual, expected, rtol=1e-4, atol=1e-4)`. Raises where shapes differ or a tensor is missing.
    Allclose,
    /// `torch.testing.assert_close` with its defaults for f32: rtol 1.3e-6, atol 1e-5, and the dtype.
    AssertClose,
    /// Polygraphy's `CompareFunc.simple()`: an element is out when its absolute error is above 1e-5 *and* its relative
    /// error is, which NaN never is; outputs that one side lacks are left out.
    Polygraphy,
    /// Cosine similarity above 0.99.
    Cosine,
}

/// The rules, in the order of the columns.
pub const PEERS: [Peer; 4] = [Peer::Allclose, Peer::AssertClose, Peer::Polygraphy, Peer::Cosine];

/// One fault and who sees it.
#[derive(Clone, Debug, Serialize)]
pub struct PeerRow {
    /// `norm-epsilon-1e-6`.
    pub id: String,
    /// The checkpoint that declares it.
    pub checkpoint: String,
    /// What is wrong.
    pub what: String,
    /// What became of it here.
    pub word: FaultWord,
    /// Whether each of [`PEERS`] refuses a tensor that it accepts without the fault; none where it would not be asked.
    pub seen: Option<[bool; PEERS.len()]>,
}

/// What the rules of other harnesses make of the faults, and of the carrier without one.
#[derive(Clone, Debug, Serialize)]
pub struct PeerTable {
    /// One row for every declared fault.
    pub rows: Vec<PeerRow>,
    /// Tensors of the correct carrier's run that each of [`PEERS`] refuses.
    pub refused_correct: [usize; PEERS.len()],
}

/// Puts every declared fault in, before the judge and before the peers' rules.
pub fn against_peers(ground: Ground<'_>, progress: &Progress) -> Result<PeerTable> {
    debug_assert_eq!(ground.request.faults, Extent::All);
    let faults = examine(ground, progress)?;
    let panel = judge(ground.law.specs, &RunFacts { faults, ..ground.facts.clone() }, &[])?.faults;
    let seen = each_fault(ground, progress, |bench, fault, evidence| {
        Ok((fault.spec.id.clone(), seen(bench, fault, evidence)?))
    })?;
    let seen = seen.map_err(|problem| anyhow::anyhow!("the faults show nothing: {problem}"))?;
    let row = |fault: &checkpoint_spec::FaultResult| PeerRow {
        id: fault.id.clone(),
        checkpoint: fault.checkpoint.clone(),
        what: fault.what.clone(),
        word: fault.word,
        seen: seen
            .iter()
            .find(|(id, _)| *id == fault.id)
            .and_then(|(_, seen)| seen.as_ref().map(|seen| seen.0)),
    };
    let refused_correct = seen.iter().map(|(_, seen)| seen.as_ref().map_or([0; PEERS.len()], |s| s.1));
    let refused_correct = refused_correct.reduce(|a, b| std::array::from_fn(|peer| a[peer].max(b[peer])));
    let rows = panel.faults.iter().map(row).collect();
    Ok(PeerTable { rows, refused_correct: refused_correct.unwrap_or_default() })
}

/// Whether each rule refuses more with the fault than without, and how many tensors it refuses without.
type Seen = ([bool; PEERS.len()], [usize; PEERS.len()]);

/// Nobody compares with a reference that does not answer.
fn seen(bench: &Bench<'_>, fault: &Fault<'_>, evidence: &Evidence<'_>) -> Result<Option<Seen>> {
    if matches!(fault.injection, Injection::Worker(_)) {
        return Ok(None);
    }
    // A lying reference lies at f64; any other fault is looked at beside the first reference at f32.
    let lies = evidence.changes_references_at(Precision::F64);
    let correct = Evidence::new(bench.carrier.run.clone(), evidence.bases());
    let (mut seen, mut refused_correct) = ([false; PEERS.len()], [0; PEERS.len()]);
    for (index, peer) in PEERS.into_iter().enumerate() {
        let refused = |evidence: &Evidence<'_>| {
            evidence.show(&bench.carrier.case, |shown| {
                let reference = if lies { shown.references.last() } else { shown.references.first() };
                let expected = reference.and_then(|r| if lies { r.f64 } else { r.peer });
                expected.map(|expected| refused(peer, shown.subject, expected)).transpose()
            })
        };
        let (with, without) =
            (refused(evidence)?.unwrap_or_default(), refused(&correct)?.unwrap_or_default());
        seen[index] = with.iter().any(|name| !without.contains(name));
        // What the references' f64 sides are held against says nothing of the rule's own use.
        refused_correct[index] = if lies { 0 } else { without.len() };
    }
    Ok(Some((seen, refused_correct)))
}

/// The tensors that a rule refuses.
fn refused(
    peer: Peer,
    actual: Option<&dyn TensorSource>,
    expected: &dyn TensorSource,
) -> Result<Vec<TensorName>> {
    let mut refused = Vec::new();
    for name in expected.names() {
        let Some(expected) = expected.tensor(&name)?.filter(|tensor| tensor.dtype() != DType::U8) else {
            continue;
        };
        let actual = actual.map(|actual| actual.tensor(&name)).transpose()?.flatten();
        if !peer.accepts(actual.as_ref(), &expected) {
            refused.push(name);
        }
    }
    Ok(refused)
}

impl Peer {
    fn accepts(self, actual: Option<&Tensor>, expected: &Tensor) -> bool {
        let Some(actual) = actual else { return self == Self::Polygraphy };
        if actual.shape() != expected.shape()
            || (self == Self::AssertClose && actual.dtype() != expected.dtype())
        {
            return false;
        }
        let (a, e) = (actual.view().to_f64_lossy(), expected.view().to_f64_lossy());
        match self {
            Self::Allclose => all_close(&a, &e, 1e-4, 1e-4),
            Self::AssertClose => all_close(&a, &e, 1e-5, 1.3e-6),
            Self::Polygraphy => !a.iter().zip(&e).any(|(a, e)| {
                let error = (a - e).abs();
                error > 1e-5 && error / e.abs() > 1e-5
            }),
            Self::Cosine => cosine(&a, &e) > 0.99,
        }
    }
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(actual: &[f32], expected: &[f32]) -> [bool; PEERS.len()] {
        let tensor = |values: &[f32]| Tensor::from_f32(&[values.len()], values).unwrap();
        PEERS.map(|peer| peer.accepts(Some(&tensor(actual)), &tensor(expected)))
    }

    #[test]
    fn rules_are_as_documented() {
        assert_eq!(accepted(&[1.0, 2.0], &[1.0, 2.0]), [true; 4]);
        assert_eq!(accepted(&[1.0], &[1.0, 2.0]), [false; 4]);
        // Polygraphy lets NaN pass, beside anything.
        assert_eq!(accepted(&[1.0, f32::NAN], &[1.0, 2.0]), [false, false, true, false]);
        // Relative or absolute: a small value may be wrong altogether.
        assert_eq!(accepted(&[1.0, 9e-6], &[1.0, 0.0]), [true, true, true, true]);
        // One element of a hundred, wrong by half, is the same to the cosine.
        let mut wrong = [1.0; 100];
        wrong[0] = 0.5;
        assert_eq!(accepted(&wrong, &[1.0; 100]), [false, false, false, true]);
    }

    #[test]
    fn a_missing_output_is_a_success_for_one_and_another_dtype_for_all_but_one() {
        let expected = Tensor::from_f32(&[1], &[1.0]).unwrap();
        assert_eq!(PEERS.map(|peer| peer.accepts(None, &expected)), [false, false, true, false]);
        let wide = Tensor::from_f64(&[1], &[1.0]).unwrap();
        assert_eq!(PEERS.map(|peer| peer.accepts(Some(&wide), &expected)), [true, false, true, true]);
    }
}
