//! What may be unknown, with the reason.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that was found out, or why it was not. Written as `{"value":…,"reason":null}` or `{"value":null,"reason":…}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written<T>", into = "Written<T>")]
#[serde(bound(serialize = "T: Clone + Serialize", deserialize = "T: Deserialize<'de>"))]
pub enum Known<T> {
    /// What it is.
    Value(T),
    /// Why it is not known.
    Unknown(String),
}

/// The written form.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written<T> {
    /// What it is; null where that is not known.
    value: Option<T>,
    /// Why it is not known; null where it is.
    reason: Option<String>,
}

impl<T> Known<T> {
    /// What it is, if that is known.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// What was found, or the reason why nothing was.
    pub fn or_unknown(found: Option<T>, reason: &str) -> Self {
        found.map_or_else(|| Self::Unknown(reason.to_owned()), Self::Value)
    }
}

impl<T: fmt::Display> fmt::Display for Known<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Unknown(reason) => write!(f, "unknown ({reason})"),
        }
    }
}

impl<T> TryFrom<Written<T>> for Known<T> {
    type Error = &'static str;

    fn try_from(written: Written<T>) -> Result<Self, Self::Error> {
        match (written.value, written.reason) {
            (Some(value), None) => Ok(Self::Value(value)),
            (None, Some(reason)) if !reason.is_empty() => Ok(Self::Unknown(reason)),
            (None, _) => Err("neither a value nor the reason why there is none"),
            (Some(_), Some(_)) => Err("a value, and a reason why there is none"),
        }
    }
}

impl<T> From<Known<T>> for Written<T> {
    fn from(known: Known<T>) -> Self {
        match known {
            Known::Value(value) => Self { value: Some(value), reason: None },
            Known::Unknown(reason) => Self { value: None, reason: Some(reason) },
        }
    }
}

impl<T: JsonSchema> JsonSchema for Known<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Known_{}", T::schema_name()).into()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        format!("{}::Known<{}>", module_path!(), T::schema_id()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Written::<T>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Known<u8>, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_known_has_a_reason() {
        for (text, known) in [
            (r#"{"value":7,"reason":null}"#, Known::Value(7)),
            (r#"{"value":null,"reason":"not looked at"}"#, Known::Unknown("not looked at".to_owned())),
        ] {
            assert_eq!(read(text), Ok(known.clone()));
            assert_eq!(serde_json::to_string(&known).unwrap(), text);
        }
        for text in [
            r#"{"value":null,"reason":null}"#,
            r#"{"value":null,"reason":""}"#,
            r#"{"value":7,"reason":"not looked at"}"#,
            r#"{"value":7,"reason":null,"more":1}"#,
            "7",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
