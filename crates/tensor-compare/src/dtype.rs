//! The element types a capture may hold.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Element type of a tensor, named as safetensors names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DType {
    /// IEEE 754 binary64.
    F64,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    BF16,
    /// 64-bit signed integer.
    I64,
    /// 32-bit signed integer.
    I32,
    /// 8-bit unsigned integer.
    U8,
    /// One byte, 0 or 1.
    #[serde(rename = "BOOL")]
    Bool,
}

impl DType {
    /// Every dtype, in declaration order.
    pub const ALL: [Self; 8] =
        [Self::F64, Self::F32, Self::F16, Self::BF16, Self::I64, Self::I32, Self::U8, Self::Bool];

    /// Bytes per element.
    pub const fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::U8 | Self::Bool => 1,
        }
    }

    /// Whether elements are floating-point numbers.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::BF16)
    }

    /// The safetensors spelling: `F32`, `BOOL`, …
    pub const fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
        }
    }

    /// The dtype with that safetensors spelling.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::DType;

    #[test]
    fn a_name_is_read_back_as_its_dtype() {
        for dtype in DType::ALL {
            assert_eq!(DType::from_name(dtype.name()), Some(dtype));
            assert_eq!(dtype.to_string(), dtype.name());
        }
    }

    #[test]
    fn other_spellings_are_no_dtype() {
        for name in ["", "f32", "F32 ", "Bool", "float32", "I16", "U64", "F8_E4M3", "F"] {
            assert_eq!(DType::from_name(name), None, "{name:?}");
        }
    }

    #[test]
    fn names_tell_sizes() {
        for dtype in DType::ALL {
            let bits: String = dtype.name().chars().filter(char::is_ascii_digit).collect();
            assert_eq!(dtype.size(), bits.parse().map_or(1, |bits: usize| bits / 8), "{dtype}");
            assert_eq!(dtype.is_float(), dtype.name().contains('F'), "{dtype}");
        }
    }
}
