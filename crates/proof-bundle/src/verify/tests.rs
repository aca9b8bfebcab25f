mod digest_only;
mod materials;

use std::fs;

use capture::Precision;
use checkpoint_spec::{ComparisonVerdict, Verdict};

use super::*;
use crate::bag::TAG_FILES;
use crate::fixtures::{Run, consumed_tokens, files, forge_captures, forge_manifests, identity};
use crate::layout::TAG_MANIFEST;
use crate::layout::{self, manifest};

/// The problems of a bundle after something was done to it; `forge` makes the manifests agree with what was done.
fn after(forge: bool, change: impl FnOnce(&Path)) -> Vec<String> {
    let run = Run::new();
    let bundle = run.write();
    change(&bundle);
    if forge {
        forge_manifests(&bundle);
    }
    let verification = verify(&bundle).unwrap();
    assert_eq!(verification.exit_code, 2, "{:#?}", verification.lines);
    assert!(verification.results.is_none());
    verification.problems.iter().map(ToString::to_string).collect()
}

fn edit(bundle: &Path, path: &str, from: &str, to: &str) {
    let text = fs::read_to_string(bundle.join(path)).unwrap();
    assert!(text.contains(from), "{path} has no {from}");
    fs::write(bundle.join(path), text.replacen(from, to, 1)).unwrap();
}

#[track_caller]
fn assert_one(problems: &[String], start: &str, part: &str) {
    assert!(
        problems.len() == 1 && problems[0].starts_with(start) && problems[0].contains(part),
        "{problems:#?}"
    );
}

#[test]
fn valid_evidence_of_an_incomplete_run() {
    let run = Run::new();
    let bundle = run.write();
    let verification = verify(&bundle).unwrap();
    assert_eq!(verification.problems, []);
    assert_eq!(verification.exit_code, 4, "{:#?}", verification.lines);
    assert_eq!(verification.results.as_ref(), Some(&run.results));
    let tag_manifest = fs::read(bundle.join("tagmanifest-sha256.txt")).unwrap();
    assert_eq!(verification.root, Some(Digest::of(&tag_manifest)));
    let said = verification.lines.join("\n");
    assert!(said.contains("--rerun") && said.contains("required activations"), "{said}");
    assert!(said.contains("tiny; left out: single-token, full-context"), "{said}");
}

#[test]
fn the_smallest_change_of_any_file_is_seen() {
    let run = Run::new();
    let bundle = run.write();
    for (path, bytes) in files(&bundle) {
        let mut changed = bytes.clone();
        let last = changed.len() - 2;
        changed[last] ^= 1;
        fs::write(bundle.join(&path), changed).unwrap();
        assert_eq!(verify(&bundle).unwrap().exit_code, 2, "{path}");
        fs::write(bundle.join(&path), bytes).unwrap();
    }
    assert_eq!(verify(&bundle).unwrap().problems, []);
}

#[test]
fn what_is_missing_or_added_is_seen() {
    let missing = after(false, |bundle| fs::remove_file(bundle.join(layout::HTML)).unwrap());
    assert_one(&missing, "data/report.html: missing, manifest-sha256.txt lists it", "");
    let added = after(false, |bundle| fs::write(bundle.join("data/extra"), "").unwrap());
    assert!(
        added.iter().any(|problem| problem.starts_with("data/extra: manifest-sha256.txt does not list it"))
    );
    let added = after(true, |bundle| fs::write(bundle.join("data/extra"), "").unwrap());
    assert_one(&added, "data/extra", "nothing in the results calls for this file");
    let tag = after(false, |bundle| fs::write(bundle.join("fetch.txt"), "").unwrap());
    assert_one(&tag, "fetch.txt", "does not list it");
    let no_bag = after(false, |bundle| fs::remove_file(bundle.join("bagit.txt")).unwrap());
    assert_one(&no_bag, "bagit.txt", "no BagIt bag");
}

#[test]
fn links_and_empty_folders_are_refused() {
    let link = after(true, |bundle| {
        fs::remove_file(bundle.join(layout::HTML)).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", bundle.join(layout::HTML)).unwrap();
    });
    assert_one(&link, "data/report.html", "neither a file nor a folder");
    let empty = after(false, |bundle| fs::create_dir(bundle.join("data/empty")).unwrap());
    assert_one(&empty, "data/empty/", "an empty folder");
}

#[test]
fn records_have_one_spelling() {
    for (from, to) in [
        ("{\"schema\":", "{ \"schema\":"),
        ("\"model\":", "\"unknown\":1,\"model\":"),
        ("\"sizes\":{", "\"sizes\":{\"C\":9,"),
        ("\"layers\":1,", "\"layers\":1,\"layers\":1,"),
        ("\"exit_code\":4", "\"exit_code\":4.0"),
    ] {
        assert_one(&after(true, |bundle| edit(bundle, layout::RESULTS, from, to)), layout::RESULTS, "");
    }
    let trailing = after(true, |bundle| {
        let text = fs::read_to_string(bundle.join(layout::RESULTS)).unwrap();
        fs::write(bundle.join(layout::RESULTS), text + "\n").unwrap();
    });
    assert_one(&trailing, layout::RESULTS, "one spelling");
    let schema = after(true, |bundle| edit(bundle, layout::RESULTS, "results/2.1", "results/9.0"));
    assert_one(&schema, layout::RESULTS, "trialplate/results/9.0");
}

#[test]
fn a_bundle_cannot_bring_its_own_law() {
    let problems = after(true, |bundle| edit(bundle, "data/spec/02-qkv.toml", "1e-4", "1e-1"));
    assert_one(&problems, "data/spec/02-qkv.toml", "not the spec that this verifier judges by");
    let problems =
        after(true, |bundle| fs::remove_file(bundle.join("data/spec/12-end-to-end.toml")).unwrap());
    assert_one(&problems, "data/spec/12-end-to-end.toml", "missing");
}

#[test]
fn an_edited_report_is_seen() {
    let problems = after(true, |bundle| edit(bundle, layout::MARKDOWN, "incomplete", "pass"));
    assert_one(&problems, layout::MARKDOWN, "not what results.json renders to");
}

/// The story of the report that said PASS before anything was checked.
#[test]
fn a_verdict_that_the_tensors_do_not_give_is_seen() {
    let mut run = Run::new();
    run.results.verdict = Verdict::Pass;
    run.results.exit_code = 0;
    let verification = verify(&run.write()).unwrap();
    assert_eq!(verification.exit_code, 2);
    assert!(
        verification.problems[0].message.contains("recorded Pass, exit code 0; the tensors give"),
        "{:?}",
        verification.problems
    );

    let mut run = Run::new();
    let comparison = run.results.checkpoints.iter_mut().flat_map(|c| &mut c.comparisons);
    let missing = comparison.filter(|c| c.verdict != ComparisonVerdict::Pass).take(1);
    missing.for_each(|comparison| comparison.verdict = ComparisonVerdict::Pass);
    let verification = verify(&run.write()).unwrap();
    assert!(verification.problems[0].message.starts_with("checkpoint "), "{:?}", verification.problems);
}

#[test]
fn a_checkpoint_or_count_left_out_is_seen() {
    let mut run = Run::new();
    run.results.checkpoints[0].required = run.results.checkpoints[0].compared;
    assert_eq!(verify(&run.write()).unwrap().exit_code, 2);
    let mut run = Run::new();
    run.results.checkpoints[0].comparisons.pop();
    assert_eq!(verify(&run.write()).unwrap().exit_code, 2);
}

#[test]
fn a_digest_that_the_tensors_do_not_give_is_seen() {
    let mut run = Run::new();
    for repeat in &mut run.results.determinism.implementations[0].repeats {
        repeat.sha256 = "0".repeat(64);
    }
    let problems = verify(&run.write()).unwrap().problems;
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert!(problem.message.contains("is recorded as 0000"), "{problem}");

    let mut run = Run::new();
    run.results.determinism.implementations[0].repeats.clear();
    assert_eq!(verify(&run.write()).unwrap().exit_code, 2);
}

#[test]
fn a_difference_between_repeats_is_judged_again() {
    let mut run = Run::new();
    run.results.determinism.implementations[0].repeats[3].sha256 = "0".repeat(64);
    let problems = verify(&run.write()).unwrap().problems;
    assert!(problems[0].message.contains("exit code 4; the tensors give Fail"), "{problems:?}");
}

#[test]
fn repeats_of_who_took_no_part_are_seen() {
    let mut run = Run::new();
    let mut other = run.results.determinism.implementations[0].clone();
    other.implementation = "somebody@f32".to_owned();
    run.results.determinism.implementations.push(other);
    let problems = verify(&run.write()).unwrap().problems;
    assert!(!problems.is_empty());
}

#[test]
fn other_tensors_than_the_results_are_of_are_seen() {
    let problems = after(true, |bundle| {
        let path = bundle.join("data/captures/subject-rust@f32/tiny.safetensors");
        capture::write(&path, &identity("rust", Precision::F32), &consumed_tokens(&[1, 3])).unwrap();
        forge_captures(bundle);
    });
    assert_one(&problems, layout::RESULTS, "token_ids");
    let problems = after(true, |bundle| {
        let path = bundle.join("data/captures/subject-rust@f32/tiny.safetensors");
        fs::remove_file(&path).unwrap();
        fs::write(path, "not safetensors at all").unwrap();
        forge_captures(bundle);
    });
    assert_one(&problems, "data/captures/subject-rust@f32/tiny.safetensors", "");
}

#[test]
fn a_capture_must_be_of_whom_it_is_filed_under() {
    let problems = after(true, |bundle| {
        let path = bundle.join("data/captures/subject-rust@f32/tiny.safetensors");
        capture::write(&path, &identity("torch", Precision::F32), &consumed_tokens(&[1, 2])).unwrap();
        forge_captures(bundle);
    });
    assert_one(&problems, "data/captures/subject", "was left by torch@f32, expected is rust@f32");
}

#[test]
fn names_and_tags_have_one_form() {
    for (from, to) in [
        ("External-Identifier: ", "External-Identifier: x"),
        ("Bagging-Date: 2025", "Bagging-Date: 20x5"),
        ("Bag-Software-Agent: ", "Contact-Name: ::error::\nBag-Software-Agent: "),
        ("Payload-Oxum: ", "Payload-Oxum: 0"),
    ] {
        let problems = after(false, |bundle| {
            edit(bundle, "bag-info.txt", from, to);
            let files = files(bundle);
            let tags = TAG_FILES.iter().map(|tag| (*tag, Digest::of(&files[*tag])));
            fs::write(bundle.join(TAG_MANIFEST), manifest(tags)).unwrap();
        });
        assert_one(&problems, "bag-info.txt", "");
    }
    let problems = after(true, |bundle| fs::write(bundle.join("data/REPORT.md"), "").unwrap());
    assert!(problems.iter().any(|problem| problem.contains("in case only")), "{problems:?}");
}

/// What a record claims costs nothing until it is there.
#[test]
fn a_record_that_calls_for_more_than_any_run_has_is_refused() {
    for (from, to) in [
        ("\"layers\":1,", "\"layers\":18446744073709551615,"),
        ("\"layers\":1,", "\"layers\":1000000,"),
        ("\"V\":8", "\"V\":9223372036854775807"),
        ("\"H\":2", "\"H\":4294967296"),
    ] {
        after(true, |bundle| edit(bundle, layout::RESULTS, from, to));
    }
}

#[test]
fn uncommitted_changes_cannot_be_kept_quiet() {
    let mut run = Run::new();
    run.materials.git.as_mut().unwrap().dirty = true;
    let verification = verify(&run.write()).unwrap();
    assert!(verification.problems[0].message.contains("materials.json tells of such changes"));
}

#[test]
fn a_replayed_bundle_is_stale() {
    let run = Run::new();
    let bundle = run.write();
    let commit = &run.materials.git.as_ref().unwrap().commit;
    let stale = |expected: &str| {
        let demands = Demands { expected_commit: Some(expected), ..Demands::default() };
        let verification = verify_as(&bundle, &demands).unwrap();
        assert_eq!(verification.problems, []);
        (verification.exit_code, verification.stale)
    };
    assert_eq!(stale(&commit[..12]), (4, vec![]));
    let (code, why) = stale("fffffff");
    assert_eq!(code, 3);
    assert!(why[0].contains("expected is fffffff"), "{why:?}");
}

#[test]
fn what_is_not_there_is_no_evidence_at_all() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(verify(&folder.path().join("gone")), Err(VerifyError::Io { .. })));
    assert_eq!(verify(folder.path()).unwrap().exit_code, 2);
}
