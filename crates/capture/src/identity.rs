//! Who produced a capture.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::DType;

/// The floating-point format an implementation computes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// binary32.
    F32,
    /// binary64.
    F64,
}

impl Precision {
    /// The dtype of the floats in such a capture.
    pub const fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F64 => DType::F64,
        }
    }

    /// `f32` or `f64`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }
}

/// Who produced a capture; lands in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
