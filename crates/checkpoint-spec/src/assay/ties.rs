//! Tokens: equal, or a tie of the oracle's logits.

use capture::{Precision, Tensor, TensorName, TensorSource};
use tensor_compare::{Criterion, MatchedPair, compare};

use super::measure::{compared, mismatch_outcome};
use super::{CaseEvidence, Setting, last_step};
use crate::plan::Required;
use crate::results::Outcome;

/// How many times the f32 references' own worst error two logits may be apart, in all, to count as tied. Each of
/// the two logits may be off by three times what the peers are off, the factor that chained runs are allowed.
const TIE_FACTOR: f64 = 2.0 * 3.0;

/// Compares token ids; a flip between tokens whose oracle logits are closer than the error of f32 is a tie, not a
/// violation. `[B]` tokens of a step, or `[B, N]` generated ones.
pub(super) fn compare_tokens(
    required: &Required,
    actual: &Tensor,
    expected: &Tensor,
    setting: &Setting<'_>,
    evidence: &CaseEvidence<'_>,
) -> Result<Outcome, Outcome> {
    let pair = MatchedPair::new(actual.view(), expected.view())
        .map_err(|mismatch| mismatch_outcome(mismatch, "subject"))?;
    let mut statistics = compare(pair, Criterion::BitExact);
    if statistics.violations == 0 {
        return Ok(compared(actual, &statistics, 0, None));
    }
    let unreadable = |error: tensor_compare::TensorError| Outcome::Unreadable { problem: error.to_string() };
    let (actual_ids, expected_ids) =
        (actual.view().to_i64().map_err(unreadable)?, expected.view().to_i64().map_err(unreadable)?);
    let judge = TieJudge::new(&required.name, setting, evidence)?;
    let flips = actual_ids.iter().zip(&expected_ids).enumerate().filter(|(_, (a, e))| a != e);
    let ties = flips.filter(|&(position, (&a, &e))| judge.is_tie(position, a, e)).count() as u64;
    statistics.violations = statistics.violations.saturating_sub(ties);
    Ok(compared(actual, &statistics, ties, None))
}

/// Whether the subject, left to itself, first leaves the oracle's generation at a tie, in every row that leaves it.
/// Only then may it be fed the oracle's tokens and asked again: past a flip that is none, what it does when fed shows
/// nothing of what it did. False where either generation cannot be read.
pub fn first_flips_are_ties(setting: &Setting<'_>, evidence: &CaseEvidence<'_>) -> bool {
    let name = TensorName::of_case("generated");
    let tokens =
        |source: Option<&dyn TensorSource>| source?.tensor(&name).ok().flatten()?.view().to_i64().ok();
    let oracle = evidence.oracle().and_then(|oracle| tokens(oracle.f64.run));
    let (Some(actual), Some(expected)) = (tokens(evidence.subject.run), oracle) else { return false };
    let Ok(judge) = TieJudge::new(&name, setting, evidence) else { return false };
    let row = evidence.case.generate.max(1);
    actual.len() == expected.len()
        && (0..expected.len()).step_by(row).all(|start| {
            let mut positions = start..expected.len().min(start + row);
            let first = positions.find(|&position| actual[position] != expected[position]);
            first.is_none_or(|position| judge.is_tie(position, actual[position], expected[position]))
        })
}

/// Compares the replayed tokens of a subject that stores in half precision, from logits that it stored first: a flip
/// between logits that one unit in the last place each can bring together is a tie.
pub(super) fn compare_stored(
    required: &Required,
    actual: &Tensor,
    expected: &Tensor,
    logits: &Tensor,
    precision: Precision,
) -> Result<Outcome, Outcome> {
    let pair = MatchedPair::new(actual.view(), expected.view())
        .map_err(|mismatch| mismatch_outcome(mismatch, "subject"))?;
    let mut statistics = compare(pair, Criterion::BitExact);
    let unreadable = |error: tensor_compare::TensorError| Outcome::Unreadable { problem: error.to_string() };
    let (actual_ids, expected_ids) =
        (actual.view().to_i64().map_err(unreadable)?, expected.view().to_i64().map_err(unreadable)?);
    let (logits, rows) = (logits.view().to_f64_lossy(), required.shape.elements().max(1));
    let vocabulary = logits.len() / rows;
    let logit = |row: usize, token: i64| {
        let token = usize::try_from(token).ok().filter(|&token| token < vocabulary)?;
        logits.get(row * vocabulary + token).copied()
    };
    let is_tie = |row: usize, a: i64, e: i64| match (logit(row, a), logit(row, e)) {
        (Some(a), Some(e)) => {
            (a - e).abs() <= 2.0 * (precision.unit() * (a.abs() + e.abs()) + precision.smallest_normal())
        }
        _ => false,
    };
    let flips = actual_ids.iter().zip(&expected_ids).enumerate().filter(|(_, (a, e))| a != e);
    let ties = flips.filter(|&(row, (&a, &e))| is_tie(row, a, e)).count() as u64;
    statistics.violations = statistics.violations.saturating_sub(ties);
    Ok(compared(actual, &statistics, ties, None))
}

/// The oracle's logits from which the tokens were taken, and the error that f32 makes in them.
struct TieJudge {
    logits: Vec<f64>,
    vocabulary: usize,
    error: f64,
}

impl TieJudge {
    fn new(tokens: &TensorName, setting: &Setting<'_>, evidence: &CaseEvidence<'_>) -> Result<Self, Outcome> {
        let oracle = evidence.oracle().ok_or(Outcome::Missing { side: "oracle".to_owned() })?;
        let logits_name = match tokens.step {
            Some(step) => TensorName::of_step(step, "logits.last"),
            None => TensorName::of_case("generated.logits"),
        };
        let side = oracle.at(Precision::F64);
        let missing = || Outcome::Missing { side: format!("{side} (`{logits_name}`)") };
        let unreadable = |error: capture::FileError| Outcome::Unreadable { problem: error.to_string() };
        let source = oracle.f64.run.ok_or_else(missing)?;
        let logits = source.tensor(&logits_name).map_err(unreadable)?.ok_or_else(missing)?;
        let vocabulary = logits.shape().dimensions().last().copied().unwrap_or(1).max(1);
        Ok(Self { logits: logits.view().to_f64_lossy(), vocabulary, error: peer_error(setting, evidence) })
    }

    fn is_tie(&self, position: usize, actual: i64, expected: i64) -> bool {
        let logit = |token: i64| {
            let token = usize::try_from(token).ok().filter(|&token| token < self.vocabulary)?;
            self.logits.get(position * self.vocabulary + token)
        };
        match (logit(actual), logit(expected)) {
            (Some(a), Some(e)) => (a - e).abs() <= TIE_FACTOR * self.error,
            _ => false,
        }
    }
}

/// The largest error that an f32 reference other than the subject makes in the logits of the last step; 0 without
/// one, so that no tie is granted on no evidence, nor by the subject's own error.
fn peer_error(setting: &Setting<'_>, evidence: &CaseEvidence<'_>) -> f64 {
    let name = TensorName::of_step(last_step(evidence.case), "logits.last");
    let values = |source: Option<&dyn TensorSource>| {
        source
            .and_then(|source| source.tensor(&name).ok().flatten())
            .map(|tensor| tensor.view().to_f64_lossy())
    };
    let Some(oracle) = evidence.oracle().and_then(|oracle| values(oracle.f64.run)) else { return 0.0 };
    let errors = evidence.peers(setting).filter_map(|reference| values(reference.peer.run)).map(|peer| {
        let error = |(a, e): (&f64, &f64)| (a - e).abs();
        if peer.len() == oracle.len() { peer.iter().zip(&oracle).map(error).fold(0.0, f64::max) } else { 0.0 }
    });
    let worst = errors.fold(0.0, f64::max);
    if worst.is_finite() { worst } else { 0.0 }
}
