//! Repeats, compared: the same question, asked again in one process, in fresh ones and with other thread counts.
//!
//! Produces numbers; what they mean is the judge's.

use capture::{Case, Precision, TensorName, TensorSource};
use sha2::{Digest, Sha256};

use crate::Architecture;
use crate::plan::{Traits, required};
use crate::results::{Difference, Repeat, Repeated};
use crate::spec::{SpecError, SpecSet};

/// Processes that repeat the run that is judged, in order: threads, and how often each computes. More than one thread
/// where one process computes again, for that is where a race shows; one thread in a fresh process, where another order
/// of summation does.
pub const REPEATS: [(usize, usize); 2] = [(2, 3), (1, 1)];

/// An activation of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepeatedActivation {
    /// The case.
    pub case: String,
    /// The tensor.
    pub name: TensorName,
}

/// SHA-256 of an activation: dtype, shape and bytes; none where there is no such activation, or it cannot be read.
pub type ActivationDigest = Option<[u8; 32]>;

/// One computation of the cases.
#[derive(Clone, Debug)]
pub struct RepeatDigests {
    /// Which process computed; 0 is the run that is judged.
    pub process: usize,
    /// Threads that it was told to compute with.
    pub threads: usize,
    /// One for each activation, in their order.
    pub digests: Vec<ActivationDigest>,
}

/// What a chained run of the cases must leave, case after case in execution order.
///
/// # Errors
/// As [`required`].
pub fn repeated_activations<'a>(
    specs: &SpecSet,
    architecture: &Architecture,
    traits: Traits,
    cases: impl IntoIterator<Item = &'a Case>,
) -> Result<Vec<RepeatedActivation>, SpecError> {
    let mut activations = Vec::new();
    for case in cases {
        let plan = required(specs, architecture, case, traits, Precision::F32)?;
        let named = plan.into_iter().map(|r| RepeatedActivation { case: case.id.clone(), name: r.name });
        activations.extend(named);
    }
    Ok(activations)
}

/// The digest of one activation of a capture.
pub fn activation_digest(name: &TensorName, source: Option<&dyn TensorSource>) -> ActivationDigest {
    let tensor = source?.tensor(name).ok()??;
    let mut hasher = Sha256::new();
    hasher.update(format!("{:?} {}\n", tensor.dtype(), tensor.shape()));
    hasher.update(tensor.bytes());
    Some(hasher.finalize().into())
}

/// SHA-256 over the names and digests of the activations in their order, in hex.
pub fn repeat_digest(activations: &[RepeatedActivation], digests: &[ActivationDigest]) -> String {
    let mut hasher = Sha256::new();
    for (RepeatedActivation { case, name }, digest) in activations.iter().zip(digests) {
        let digest = digest.map_or_else(|| "none".to_owned(), hex::encode);
        hasher.update(format!("{digest}  {case} {name}\n"));
    }
    hex::encode(hasher.finalize())
}

/// Compares the repeats of one implementation with its first.
pub fn compare_repeats(
    implementation: &str,
    cases: Vec<String>,
    activations: &[RepeatedActivation],
    repeats: &[RepeatDigests],
) -> Repeated {
    let left_by_all =
        |index: &usize| repeats.iter().all(|r| r.digests.get(*index).is_some_and(Option::is_some));
    let compared = (0..activations.len()).filter(left_by_all).count();
    let record = |repeat: &RepeatDigests| Repeat {
        process: repeat.process,
        threads: repeat.threads,
        sha256: repeat_digest(activations, &repeat.digests),
    };
    Repeated {
        implementation: implementation.to_owned(),
        cases,
        repeats: repeats.iter().map(record).collect(),
        compared: if repeats.len() < 2 { 0 } else { compared as u64 },
        required: activations.len() as u64,
        first_difference: first_difference(activations, repeats),
    }
}

fn first_difference(activations: &[RepeatedActivation], repeats: &[RepeatDigests]) -> Option<Difference> {
    let first = repeats.first()?;
    activations.iter().enumerate().find_map(|(index, RepeatedActivation { case, name })| {
        let differs = |repeat: &RepeatDigests| repeat.digests.get(index) != first.digests.get(index);
        let other = repeats.iter().position(differs)?;
        Some(Difference {
            case: case.clone(),
            step: name.step,
            activation: name.activation.clone(),
            between: [0, other],
        })
    })
}
