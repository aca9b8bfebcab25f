//! The JSON Schemas of a bundle's records, made from the types that read and write them.

use capture::Case;
use checkpoint_spec::{RESULTS_SCHEMA, Results};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use crate::captures::{ASSAY_SCHEMA, CAPTURES_SCHEMA};
use crate::{AssayRecord, CaptureList, MATERIALS_SCHEMA, Materials};

/// Version of the cases, which carry none themselves.
pub const CASE_SCHEMA: &str = "trialplate/case/1";

/// The schemas, by path in a bundle.
pub(crate) fn schemas() -> serde_json::Result<[(&'static str, String); 5]> {
    Ok([
        ("data/schema/assay.json", schema::<AssayRecord>(ASSAY_SCHEMA)?),
        ("data/schema/captures.json", schema::<CaptureList>(CAPTURES_SCHEMA)?),
        ("data/schema/case.json", schema::<Case>(CASE_SCHEMA)?),
        ("data/schema/materials.json", schema::<Materials>(MATERIALS_SCHEMA)?),
        ("data/schema/results.json", schema::<Results>(RESULTS_SCHEMA)?),
    ])
}

fn schema<T: JsonSchema>(id: &str) -> serde_json::Result<String> {
    let mut schema: Schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    schema.insert("$id".to_owned(), id.into());
    Ok(serde_json::to_string_pretty(&schema)? + "\n")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::fixtures::{Run, files};

    /// Every field that a record has is in its schema, and no schema allows one more.
    #[test]
    fn schemas_are_of_the_records() {
        let there = files(&Run::keeping(checkpoint_spec::Keep::Digest).write());
        let read = |path: &str| -> Value { serde_json::from_slice(&there[path]).unwrap() };
        for (record, schema) in [
            ("data/results.json", "data/schema/results.json"),
            ("data/materials.json", "data/schema/materials.json"),
            ("data/captures.json", "data/schema/captures.json"),
            ("data/cases/tiny.json", "data/schema/case.json"),
            ("data/assays/tiny.json", "data/schema/assay.json"),
        ] {
            let (record, schema) = (read(record), read(schema));
            let (fields, known) = (record.as_object().unwrap(), schema["properties"].as_object().unwrap());
            assert!(fields.keys().all(|field| known.contains_key(field)), "{schema}");
            assert_eq!(schema["additionalProperties"], false);
            assert!(schema["$id"].as_str().unwrap().starts_with("trialplate/"));
        }
        assert_eq!(read("data/results.json")["schema"], read("data/schema/results.json")["$id"]);
    }
}
