//! What operations take beside inputs and weights.

use serde::{Deserialize, Serialize};

/// A constant of the architecture by its name, or a number in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Constant {
    /// By name.
    Named(String),
    /// As it is.
    Number(f64),
}

/// What the products of queries and keys are multiplied with: by name, or as it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ScoreScale {
    /// By name.
    Named(NamedScale),
    /// As it is.
    Factor(f64),
}

/// What the products of queries and keys are multiplied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedScale {
    /// 1/√Dh.
    RootOfHeadWidth,
    /// 1/Dh.
    HeadWidth,
    /// 1/√(H·Dh).
    RootOfWidth,
    /// 1/√Dh/(l + 1) in layer l.
    RootOfHeadWidthAndLayer,
    /// 1/(l + 1) in layer l.
    Layer,
    /// 1.
    None,
}

/// How a weight matrix is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `[in, out]`, as `Conv1D` stores it.
    InOut,
    /// `[out, in]`, as `nn.Linear` and embeddings store it.
    OutIn,
}

/// One of several parts of equal width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(usize, usize)", into = "(usize, usize)")]
pub struct Part {
    /// Which, counted from 0.
    pub index: usize,
    /// Of how many.
    pub count: usize,
}

impl TryFrom<(usize, usize)> for Part {
    type Error = String;

    fn try_from((index, count): (usize, usize)) -> Result<Self, String> {
        if index < count {
            Ok(Self { index, count })
        } else {
            Err(format!("part {index} of {count}; parts are counted from 0"))
        }
    }
}

impl From<Part> for (usize, usize) {
    fn from(Part { index, count }: Part) -> Self {
        (index, count)
    }
}

/// Which function is called GELU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GeluForm {
    /// `½x(1 + tanh(√(2/π)(x + 0.044715x³)))`.
    Tanh,
    /// `½x(1 + erf(x/√2))`.
    Erf,
}

/// Which table of angles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wave {
    /// Cosines.
    Cos,
    /// Sines.
    Sin,
}

/// Which channels of a head are turned together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairs {
    /// Channel i and channel i + Dh/2.
    #[default]
    Half,
    /// Channel 2i and channel 2i + 1.
    Interleaved,
}

/// How frequencies are changed for contexts that are longer than those of the training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum RopeScaling {
    /// Every frequency is divided by the factor.
    Linear {
        /// By what.
        factor: Constant,
    },
    /// Low frequencies are divided by the factor, high ones stay, those between are in between.
    Llama3 {
        /// By what low frequencies are divided.
        factor: Constant,
        /// How many waves at least fit into the original context where a frequency is not a low one.
        low: Constant,
        /// How many waves at least fit into it where a frequency stays.
        high: Constant,
        /// Positions of the original context.
        positions: Constant,
    },
}

impl Pairs {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
    pub(super) fn is_half(&self) -> bool {
        *self == Self::Half
    }
}

impl Constant {
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Number(_) => None,
        }
    }
}

impl RopeScaling {
    pub(super) fn constants(&self) -> Vec<&Constant> {
        match self {
            Self::Linear { factor } => vec![factor],
            Self::Llama3 { factor, low, high, positions } => vec![factor, low, high, positions],
        }
    }
}
