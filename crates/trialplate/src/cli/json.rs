//! JSON for programs: measured floats as numbers, those that are none as `"NaN"`, `"inf"` and `"-inf"`.

use schemars::Schema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::exit::Problem;

/// A record as JSON.
pub(super) fn json_of<T: Serialize>(record: &T) -> Result<String, Problem> {
    let value = serde_json::to_value(record).map_err(Problem::internal)?;
    serde_json::to_string_pretty(&plainly(value)).map(|text| text + "\n").map_err(Problem::internal)
}

/// The schema of a record that [`json_of`] writes.
pub(super) fn schema_of(schema: &Schema) -> Result<String, Problem> {
    let mut schema = schema.clone().to_value();
    if let Some(measured) = schema.pointer_mut("/$defs/Measured") {
        *measured = json!({
            "description": "A float; one that is not finite as text.",
            "anyOf": [{ "type": "number" }, { "enum": ["NaN", "inf", "-inf"] }],
        });
    }
    serde_json::to_string_pretty(&schema).map(|text| text + "\n").map_err(Problem::internal)
}

fn plainly(value: Value) -> Value {
    match value {
        Value::String(text) => measured(&text).unwrap_or(Value::String(text)),
        Value::Array(values) => Value::Array(values.into_iter().map(plainly).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, plainly(value))).collect())
        }
        other => other,
    }
}

/// `1.5=3ff8000000000000` as 1.5; none of any other text.
fn measured(text: &str) -> Option<Value> {
    let (_, bits) = text.split_once('=')?;
    let number = f64::from_bits((bits.len() == 16).then(|| u64::from_str_radix(bits, 16).ok())??);
    if checkpoint_spec::Measured(number).to_string() != text {
        return None;
    }
    Some(if number.is_finite() { json!(number) } else { json!(number.to_string()) })
}

#[cfg(test)]
mod tests {
    use checkpoint_spec::Measured;

    use super::*;

    #[test]
    fn measured_floats_are_numbers() {
        let record = vec![Measured(1.5), Measured(f64::NAN), Measured(f64::NEG_INFINITY)];
        let found: Value = serde_json::from_str(&json_of(&record).unwrap()).unwrap();
        assert_eq!(found, json!([1.5, "NaN", "-inf"]));
        assert_eq!(measured("a=3ff8000000000000"), None);
    }
}
