//! What requirements are bound to, by name: which activations each can look at.

use serde::{Deserialize, Serialize};

use super::{ActivationSpec, Kind, Steps};

/// What can fail a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The comparisons of the activations pass.
    Agreement,
    /// No NaN, and an infinity only where the activation's spec has one.
    Finite,
    /// Contiguous, in C order, where it was observed.
    Contiguous,
    /// All values lie in the plausible range of the activation's spec. A departure is a warning.
    PlausibleRange,
    /// The activations differ from each other.
    Distinct,
    /// Cache slots beyond what has been consumed hold zero bits.
    CacheZeroWhenUnused,
    /// What the first step stored is still there, bit by bit, after the last.
    CacheAppendOnly,
    /// Probabilities of keys after the query are exactly 0.
    MaskBeforeSoftmax,
    /// All values lie in `[0, 1]`.
    ProbabilitiesInUnitInterval,
    /// Every row sums to 1.
    ProbabilitiesSumToOne,
    /// The largest probability falls as the temperature rises.
    TemperatureFlattens,
    /// Generation starts with what the last step of the prompt gave.
    GenerationContinues,
    /// The capture holds no tensor that no spec asks for.
    NothingUnexpected,
}

impl Check {
    /// Every check.
    pub const ALL: [Self; 13] = [
        Self::Agreement,
        Self::Finite,
        Self::Contiguous,
        Self::PlausibleRange,
        Self::Distinct,
        Self::CacheZeroWhenUnused,
        Self::CacheAppendOnly,
        Self::MaskBeforeSoftmax,
        Self::ProbabilitiesInUnitInterval,
        Self::ProbabilitiesSumToOne,
        Self::TemperatureFlattens,
        Self::GenerationContinues,
        Self::NothingUnexpected,
    ];

    /// Whether the check looks at tensors itself. [`Check::Agreement`] and [`Check::NothingUnexpected`] do not: they
    /// are judged from the comparisons and from the names in the capture.
    pub fn is_examined(self) -> bool {
        !matches!(self, Self::Agreement | Self::NothingUnexpected)
    }

    /// Whether the check looks at activations of other checkpoints, too.
    pub(crate) fn looks_elsewhere(self) -> bool {
        self == Self::GenerationContinues
    }

    /// Whether a departure is a reservation and not a failure.
    pub fn is_warning(self) -> bool {
        self == Self::PlausibleRange
    }

    /// Whether the check can look at such an activation at all; the problem otherwise.
    pub(crate) fn admits(self, activation: &ActivationSpec) -> Result<(), &'static str> {
        let float = activation.kind == Kind::Float;
        let (fits, problem) = match self {
            Self::Agreement => return Ok(()),
            Self::PlausibleRange => (activation.range.is_some(), "has no range"),
            Self::GenerationContinues => {
                (activation.steps == Steps::Case, "does not belong to the whole case")
            }
            Self::MaskBeforeSoftmax => {
                (float && activation.shape.ends_with(&["S".to_owned(), "K".to_owned()]), "is no [.., S, K]")
            }
            Self::CacheZeroWhenUnused => (activation.shape.contains(&"C".to_owned()), "has no unused slots"),
            Self::CacheAppendOnly => {
                (activation.shape.iter().any(|s| s == "C" || s == "K"), "is not indexed by position")
            }
            Self::TemperatureFlattens => {
                (float && temperature(&activation.name).is_some(), "names no temperature")
            }
            _ => (float, "holds no floats"),
        };
        if fits { Ok(()) } else { Err(problem) }
    }
}

/// `0.5` of `probs.t0.5`.
pub(crate) fn temperature(activation: &str) -> Option<f64> {
    activation.rsplit_once(".t")?.1.parse().ok().filter(|t: &f64| t.is_finite())
}
