//! Every reference at the subject's precision measured as if it were the subject.

use std::collections::BTreeMap;

use capture::{Precision, TensorName};
use rayon::iter::{IntoParallelRefIterator, ParallelExtend, ParallelIterator};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tensor_compare::Tolerance;

use super::measure::{IntoOutcome, Side, against_oracle, fetch, fetch_f64, replayed};
use super::{CaseEvidence, Observation, Setting};
use crate::Measured;
use crate::plan::Required;
use crate::results::{Mode, Outcome};
use crate::spec::{ActivationSpec, Rule};

/// How many times the worst f32 reference's root mean square error a chained run may have. Errors made in another
/// order of summation differ by a small factor; a bug upstream is off by orders of magnitude.
pub(super) const CHAINED_FACTOR: f64 = 3.0;

/// One activation of one reference against the oracle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
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
    let (oracle_side, precision) = (oracle.at(Precision::F64), setting.precision().peer());
    let mut observations = Vec::new();
    for reference in evidence.references {
        let implementation = reference.at(precision);
        let observation = |required: &Required, mode, outcome| {
            let (implementation, required) = (implementation.clone(), required.clone());
            PeerObservation { implementation, required, mode, outcome }
        };
        let activation = |r: &Required| &setting.specs.specs[r.spec].activations[r.activation];
        observations.par_extend(run.par_iter().filter_map(|required| {
            let tolerance = chained_tolerance(activation(required), required, precision)?;
            let measure = || {
                let actual = fetch(reference.peer.run, &implementation, required)?;
                let expected = fetch_f64(oracle.f64.run, &oracle_side, required)?;
                against_oracle(&actual, &expected, tolerance, None, &oracle_side)
            };
            Some(observation(required, Mode::Run, measure().into_outcome()))
        }));
        let subject = Side { source: reference.peer.replay, name: &implementation };
        let judge = Side { source: oracle.f64.replay, name: &oracle_side };
        let floats = replay.par_iter().filter(|required| required.dtype.is_float());
        observations.par_extend(floats.map(|required| {
            let outcome =
                replayed(activation(required), required, (setting.confidence, precision), subject, judge);
            observation(required, Mode::Replay, outcome)
        }));
    }
    observations
}

/// Bounds the chained error of the subject by that of its peers: three times the worst root mean square error, and
/// one rounding unit of the largest value, which an exact peer cannot take away. Without a peer there is no bound.
pub(super) fn bound_chained_errors(
    setting: &Setting<'_>,
    evidence: &CaseEvidence<'_>,
    peers: &[PeerObservation],
    observations: &mut [Observation],
) {
    let Some(oracle) = evidence.oracle().map(|oracle| oracle.at(Precision::F64)) else { return };
    let worst = worst_chained(setting, peers);
    for observation in observations.iter_mut().filter(|o| o.mode == Mode::Run && o.reference == oracle) {
        let Some(worst) = worst.get(&observation.required.name) else { continue };
        let Some(statistics) = observation.outcome.float_statistics() else { continue };
        let largest = statistics.range.map_or(0.0, |(least, most)| least.0.abs().max(most.0.abs()));
        observation.chained_allowed =
            Some(Measured(CHAINED_FACTOR * worst + Precision::F32.unit() * largest));
    }
}

/// The worst root mean square error of each chained activation among the peers of the subject.
pub(super) fn worst_chained<'a>(
    setting: &Setting<'_>,
    peers: &'a [PeerObservation],
) -> BTreeMap<&'a TensorName, f64> {
    let mut worst: BTreeMap<&TensorName, f64> = BTreeMap::new();
    for peer in peers.iter().filter(|peer| peer.mode == Mode::Run && peer.implementation != setting.subject) {
        if let Some(statistics) = peer.outcome.statistics() {
            let entry = worst.entry(&peer.required.name).or_insert(0.0);
            // A peer that is not finite raises no bound.
            *entry = if statistics.rmse.0 > *entry { statistics.rmse.0 } else { *entry };
        }
    }
    worst
}

/// The bound that chained floats are measured under. Nobody applies one in half precision, where the peers' errors are
/// the bound.
fn chained_tolerance(
    activation: &ActivationSpec,
    required: &Required,
    precision: Precision,
) -> Option<Tolerance> {
    let ruled = matches!(activation.rule, Rule::Classic { .. } | Rule::Exact { .. });
    if precision.is_half() && ruled && required.dtype.is_float() {
        return Tolerance::new(f64::MAX, 0.0).ok();
    }
    activation.rule.chained_tolerance()
}
