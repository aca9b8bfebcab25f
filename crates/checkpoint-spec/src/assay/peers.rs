//! Every f32 reference measured as if it were the subject.

use capture::Precision;

use super::{CaseEvidence, Setting, against_oracle, fetch, fetch_f64, replay_outcome};
use crate::plan::Required;
use crate::results::{Mode, Outcome};
use crate::spec::Rule;

/// One activation of one f32 reference against the oracle.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerObservation {
    /// The reference: `torch@f32`.
    pub implementation: String,
    /// What was compared.
    pub required: Required,
    /// Chained or isolated.
    pub mode: Mode,
    /// The numbers, or why there are none.
    pub outcome: Outcome,
}

/// Measures all float activations that are judged by a bound.
pub(super) fn observe(
    setting: &Setting<'_>,
    evidence: &CaseEvidence<'_>,
    run: &[Required],
    replay: &[Required],
) -> Vec<PeerObservation> {
    let Some(oracle) = evidence.oracle() else { return Vec::new() };
    let oracle_side = oracle.at(Precision::F64);
    let mut observations = Vec::new();
    for reference in evidence.references {
        let implementation = reference.at(Precision::F32);
        let mut push = |required: &Required, mode, outcome| {
            let (implementation, required) = (implementation.clone(), required.clone());
            observations.push(PeerObservation { implementation, required, mode, outcome });
        };
        let rule = |r: &Required| &setting.specs.specs[r.spec].activations[r.activation].rule;
        for required in run {
            let Rule::Classic { tolerance, .. } = rule(required) else { continue };
            let outcome = fetch(reference.f32.run, &implementation, required).and_then(|actual| {
                let expected = fetch_f64(oracle.f64.run, &oracle_side, required)?;
                against_oracle(&actual, &expected, *tolerance, &oracle_side)
            });
            push(required, Mode::Run, outcome.unwrap_or_else(|outcome| outcome));
        }
        for required in replay.iter().filter(|required| required.dtype.is_float()) {
            let rule = rule(required);
            let outcome = replay_outcome(
                rule,
                required,
                reference.f32.replay,
                &implementation,
                oracle.f64.replay,
                &oracle_side,
            );
            push(required, Mode::Replay, outcome);
        }
    }
    observations
}
