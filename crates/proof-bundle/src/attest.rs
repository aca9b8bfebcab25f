//! An in-toto statement about a bundle.

use serde_json::{Value, json};

use crate::layout::TAG_MANIFEST;
use crate::{Evidence, Verification};

/// The type of a statement: <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The type of our predicate; its fields are those that [`statement`] writes.
pub const PREDICATE_TYPE: &str = "urn:trialplate:predicate:checkpoint-conformance:1";

/// The statement about a bundle that was found to be valid; none about any other. Its subject is the tag manifest, whose
/// SHA-256 stands for every file.
///
/// The predicate: `verdict` and `exit_code` as recorded, `digest_only` (the cases whose tensors are not in the bundle),
/// `compared` of `required` activations, `model`, `subject` and `references` (name@precision and version), `cases`,
/// `checkpoints`, and `materials` as in `materials.json`.
pub fn statement(verification: &Verification) -> Option<Value> {
    let (results, root) = (verification.results.as_ref()?, verification.root?);
    let Evidence { materials, .. } = verification.evidence.as_ref()?;
    let identity =
        |identity: &capture::Identity| json!({ "id": identity.to_string(), "version": identity.version });
    let count = |of: fn(&checkpoint_spec::CheckpointResult) -> u64| -> u64 {
        results.checkpoints.iter().map(of).fold(0, u64::saturating_add)
    };
    Some(json!({
        "_type": STATEMENT_TYPE,
        "subject": [{ "name": TAG_MANIFEST, "digest": { "sha256": root } }],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "verdict": results.verdict,
            "exit_code": results.exit_code,
            "digest_only": results.tensors.digest_only,
            "compared": count(|checkpoint| checkpoint.compared),
            "required": count(|checkpoint| checkpoint.required),
            "model": results.model,
            "subject": identity(&results.subject),
            "references": results.references.iter().map(identity).collect::<Vec<_>>(),
            "cases": results.cases.iter().map(|case| case.id.as_str()).collect::<Vec<_>>(),
            "checkpoints": results.checkpoints.iter().map(|checkpoint| checkpoint.id.as_str()).collect::<Vec<_>>(),
            "materials": materials,
        },
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::fixtures::Run;
    use crate::{Digest, verify};

    #[test]
    fn a_statement_is_about_the_bundle_and_says_its_verdict() {
        let run = Run::new();
        let bundle = run.write();
        let statement = statement(&verify(&bundle).unwrap()).unwrap();
        let tag_manifest = fs::read(bundle.join(TAG_MANIFEST)).unwrap();
        assert_eq!(statement["_type"], STATEMENT_TYPE);
        assert_eq!(statement["subject"][0]["digest"]["sha256"], Digest::of(&tag_manifest).to_string());
        assert_eq!(statement["predicate"]["exit_code"], 4);
        assert_eq!(statement["predicate"]["materials"]["git"]["dirty"], false);
    }

    #[test]
    fn what_does_not_verify_is_not_attested() {
        let run = Run::new();
        let bundle = run.write();
        fs::write(bundle.join("data/report.md"), "pass").unwrap();
        assert_eq!(statement(&verify(&bundle).unwrap()), None);
    }
}
