//! The JSON Schemas of a bundle's records, made from the types that read and write them.

use capture::Case;
use checkpoint_spec::Results;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use crate::{AssayRecord, CaptureList, Materials, RecordKind};

/// The schemas, by path in a bundle.
pub(crate) fn schemas() -> serde_json::Result<[(&'static str, String); 5]> {
    Ok([
        ("data/schema/assay.json", schema::<AssayRecord>(RecordKind::Assay)?),
        ("data/schema/captures.json", schema::<CaptureList>(RecordKind::Captures)?),
        ("data/schema/case.json", schema::<Case>(RecordKind::Case)?),
        ("data/schema/materials.json", schema::<Materials>(RecordKind::Materials)?),
        ("data/schema/results.json", schema::<Results>(RecordKind::Results)?),
    ])
}

fn schema<T: JsonSchema>(kind: RecordKind) -> serde_json::Result<String> {
    let mut schema: Schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    schema.insert("$id".to_owned(), kind.schema().into());
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
