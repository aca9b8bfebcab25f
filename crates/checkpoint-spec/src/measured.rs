//! A measured float, written so that its bits survive.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A measured float. In JSON it is the string `decimal=bits`, for example `"1.1920929e-7=3e80000000000000"`: the
/// decimal is for people, the sixteen hex digits are the IEEE 754 bits, and both must be the same number. NaN and
/// infinities are written alike (`NaN=…`, `inf=…`), so none is ever turned into `null`.
#[derive(Clone, Copy)]
pub struct Measured(pub f64);

impl Measured {
    fn parse(text: &str) -> Option<Self> {
        let (_, bits) = text.split_once('=')?;
        let value = f64::from_bits((bits.len() == 16).then(|| u64::from_str_radix(bits, 16).ok())??);
        (Self(value).to_string() == text).then_some(Self(value))
    }
}

impl Measured {
    /// The larger of two errors; NaN is worse than any number.
    pub fn or_worse(self, other: Self) -> Self {
        if self.0.is_nan() || other.0 <= self.0 { self } else { other }
    }
}

impl PartialEq for Measured {
    /// By bits: −0.0 is not 0.0, and a NaN is itself.
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Measured {}

impl From<f64> for Measured {
    fn from(value: f64) -> Self {
        Self(value)
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}={:016x}", self.0, self.0.to_bits())
    }
}

impl fmt::Debug for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl JsonSchema for Measured {
    fn schema_name() -> Cow<'static, str> {
        "Measured".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A float as `decimal=bits`: the sixteen hex digits are its IEEE 754 bits.",
            "pattern": "^[^=]+=[0-9a-f]{16}$"
        })
    }
}

impl Serialize for Measured {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Measured {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is not a float in the form decimal=bits")))
    }
}
