//! What is shown and decides nothing: figures of everyone at each checkpoint, and how chained errors grow.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Measured;

/// One implementation's worst figures at one checkpoint, measured against the oracle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeerFigure {
    /// The checkpoint.
    pub checkpoint: String,
    /// The implementation: `rust@f32`, `torch@f32`, …
    pub implementation: String,
    /// Worst absolute error in the chained run.
    pub chained_max_abs: Measured,
    /// Worst absolute error from its own inputs.
    pub isolated_max_abs: Measured,
    /// Largest share of a rounding budget used; none where nothing is rounded.
    pub budget_used: Option<Measured>,
    /// Largest share of a classic ceiling that the chained error comes to; none where none is stated. It decides nothing.
    pub ceiling_used: Option<Measured>,
}

/// The chained error of everyone at one place of the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrowthRow {
    /// The case.
    pub case: String,
    /// The step; none for what belongs to the whole case.
    pub step: Option<usize>,
    /// The activation.
    pub name: String,
    /// Its layer.
    pub layer: Option<usize>,
    /// Root mean square error by implementation, the subject's first.
    pub errors: Vec<GrowthError>,
}

/// The chained error of one implementation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrowthError {
    /// The implementation.
    pub implementation: String,
    /// Root mean square error against the oracle's chain.
    pub rmse: Measured,
    /// The worst element's error.
    pub max_abs: Measured,
}
