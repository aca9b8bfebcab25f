//! Who produced a capture.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DType;

/// The floating-point format an implementation computes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// binary32.
    F32,
    /// binary64.
    F64,
    /// binary16, between one operation and the next; captured as f32, which holds it exactly.
    F16,
    /// bfloat16, likewise.
    Bf16,
}

impl Precision {
    /// Every precision.
    pub const ALL: [Self; 4] = [Self::F32, Self::F64, Self::F16, Self::Bf16];

    /// The dtype of the floats in such a capture.
    pub const fn dtype(self) -> DType {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => DType::F32,
            Self::F64 => DType::F64,
        }
    }

    /// `f32`, `f64`, `f16` or `bf16`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// The precision of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|precision| precision.name() == name)
    }

    /// Whether numbers are stored in 16 bits.
    pub const fn is_half(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16)
    }

    /// The precision at which references are peers of such a subject: its own where it is a half one, else f32.
    #[must_use]
    pub const fn peer(self) -> Self {
        if self.is_half() { self } else { Self::F32 }
    }

    /// `u`: the relative error of one rounding to nearest.
    pub const fn unit(self) -> f64 {
        match self {
            Self::F16 => 1.0 / 2048.0,
            Self::Bf16 => 1.0 / 256.0,
            Self::F32 => 1.0 / 16_777_216.0,
            Self::F64 => f64::EPSILON / 2.0,
        }
    }

    /// The smallest normal number: what is smaller may be flushed to zero.
    pub fn smallest_normal(self) -> f64 {
        match self {
            Self::F16 => 1.0 / 16_384.0,
            Self::F32 | Self::Bf16 => f64::from(f32::MIN_POSITIVE),
            Self::F64 => f64::MIN_POSITIVE,
        }
    }
}

/// Who produced a capture; lands in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// `rust`, `torch`, `tinygrad`, …
    pub name: String,
    /// Version of the implementation and of what it stands on.
    pub version: String,
    /// What it computes in.
    pub precision: Precision,
    /// `cpu`.
    pub device: String,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Identity {
    /// `torch@f32`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.precision)
    }
}
