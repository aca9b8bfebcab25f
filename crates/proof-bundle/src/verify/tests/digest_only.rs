//! Bundles without tensors: what is digest-only is never a pass, and cannot shrink either.

use std::path::Path;

use checkpoint_spec::{ComparisonVerdict, Keep, Outcome};

use super::{assert_one, edit};
use crate::fixtures::{Run, files, forge_manifests};
use crate::{Demands, layout, verify, verify_as};

const ASSAY: &str = "data/assays/tiny.json";

fn after(change: impl FnOnce(&Path)) -> Vec<String> {
    let run = Run::keeping(Keep::Digest);
    let bundle = run.write();
    change(&bundle);
    forge_manifests(&bundle);
    let verification = verify(&bundle).unwrap();
    assert_eq!(verification.exit_code, 2, "{:#?}", verification.lines);
    verification.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_bundle_without_tensors_says_so_and_is_no_pass() {
    let run = Run::keeping(Keep::Digest);
    let bundle = run.write();
    let there = files(&bundle);
    assert!(there.contains_key(ASSAY) && !there.keys().any(|path| path.starts_with("data/captures/")));
    for report in [layout::HTML, layout::MARKDOWN, layout::JUNIT] {
        let text = String::from_utf8_lossy(&there[report]);
        assert!(text.contains("DIGEST-ONLY: of 1 of 1 cases (tiny)"), "{report}");
    }
    let verification = verify(&bundle).unwrap();
    assert_eq!(verification.problems, []);
    assert_eq!(verification.exit_code, 4);
    let said = verification.lines.join("\n");
    assert!(said.contains("digest-only   tiny:") && said.contains("verdict DIGEST-ONLY"), "{said}");
}

/// Even a record that claims conformity.
#[test]
fn claimed_conformity_of_less_than_everything_is_exit_4() {
    let mut run = Run::keeping(Keep::Digest);
    run.results.exit_code = 0;
    let exit_code = |less| super::super::exit_code(&run.results, &[], less);
    assert_eq!((exit_code(false), exit_code(true)), (0, 4));
}

#[test]
fn without_weights_the_numbers_are_the_records_word_until_somebody_has_them() {
    let mut run = Run::new();
    run.materials.weights_in_bundle = false;
    let verified = |run: &Run, model: Option<&Path>| {
        verify_as(&run.write(), &Demands { model, ..Demands::default() }).unwrap()
    };
    let said = |run: &Run, model| verified(run, model).lines.join("\n");
    let model = run.model();
    assert!(said(&run, None).contains("digest-only   all cases"), "{}", said(&run, None));
    assert!(said(&run, Some(&model)).contains("from the stored tensors and weights"));
    assert!(!said(&run, Some(&model)).contains("digest-only"));
    run.assays[0].measured[0].outcome = Outcome::Unreadable { problem: "made up".to_owned() };
    assert_eq!(verified(&run, None).problems, []);
    let problems = verified(&run, Some(&model)).problems;
    assert_eq!(
        problems[0].to_string(),
        "data/assays/tiny.json: the recorded numbers are not those that the tensors give"
    );
}

#[test]
fn a_case_in_which_something_is_not_a_pass_keeps_its_tensors() {
    let run = Run::keeping(Keep::Failing);
    assert!(run.results.tensors.digest_only.is_empty());
    let bundle = run.write();
    assert!(files(&bundle).contains_key("data/captures/subject-rust@f32/tiny.safetensors"));
    assert_eq!(verify(&bundle).unwrap().problems, []);
}

#[test]
fn a_comparison_left_out_of_the_numbers_is_seen() {
    let mut run = Run::keeping(Keep::Digest);
    run.assays[0].observations.pop();
    let verification = verify(&run.write()).unwrap();
    assert!(verification.problems[0].message.contains("are recorded"), "{:?}", verification.problems);
    let mut run = Run::keeping(Keep::Digest);
    run.assays[0].measured.remove(0);
    assert_eq!(verify(&run.write()).unwrap().exit_code, 2);
    let mut run = Run::keeping(Keep::Digest);
    run.assays[0].requirements[0].required += 1;
    assert_eq!(verify(&run.write()).unwrap().exit_code, 2);
}

#[test]
fn a_verdict_that_the_numbers_do_not_give_is_seen() {
    let mut run = Run::keeping(Keep::Digest);
    let missing = |c: &&mut checkpoint_spec::Comparison| c.verdict != ComparisonVerdict::Pass;
    let comparison = run.results.checkpoints.iter_mut().flat_map(|c| &mut c.comparisons).find(missing);
    comparison.unwrap().verdict = ComparisonVerdict::Pass;
    let verification = verify(&run.write()).unwrap();
    assert!(verification.problems[0].message.starts_with("checkpoint "), "{:?}", verification.problems);
}

#[test]
fn numbers_of_another_shape_are_seen() {
    let mut run = Run::keeping(Keep::Digest);
    let compared = run.assays[0].observations.iter_mut().find_map(|o| match &mut o.outcome {
        Outcome::Compared { statistics, .. } => Some(statistics),
        _ => None,
    });
    compared.unwrap().elements = 1;
    let verification = verify(&run.write()).unwrap();
    assert!(
        verification.problems[0].message.contains("required is the shape"),
        "{:?}",
        verification.problems
    );
}

#[test]
fn the_list_of_captures_is_held_to_what_is_there() {
    let stored = after(|bundle| edit(bundle, layout::CAPTURES, "\"stored\":false", "\"stored\":true"));
    assert_one(&stored, layout::CAPTURES, "against what results and list say");
    let elsewhere = after(|bundle| edit(bundle, layout::CAPTURES, "/tiny.safe", "/other.safe"));
    assert_one(&elsewhere, layout::CAPTURES, "nothing in the results calls for");
    let run = Run::new();
    let bundle = run.write();
    edit(&bundle, layout::CAPTURES, "\"bytes\":", "\"bytes\":1");
    forge_manifests(&bundle);
    assert!(verify(&bundle).unwrap().problems[0].message.contains("another digest or size"));
    edit(&bundle, layout::CAPTURES, "\"captures\":[", "\"captures\":[],\"x\":[");
    forge_manifests(&bundle);
    assert_eq!(verify(&bundle).unwrap().exit_code, 2);
}
