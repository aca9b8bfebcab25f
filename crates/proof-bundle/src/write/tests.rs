mod killed;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use capture::Precision;
use checkpoint_spec::Extent;

use super::*;
use crate::fixtures::{Run, files};
use crate::{Digest, LARGEST_MODEL};

#[test]
fn the_layout_is_that_of_the_design() {
    let run = Run::new();
    let bundle = run.write();
    let name = bundle.file_name().unwrap().to_string_lossy().into_owned();
    let files = files(&bundle);
    let payload = Digest::of(&files["manifest-sha256.txt"]);
    let digests = ["0123456789ab", &run.materials.specs.start(8), &payload.start(8)];
    assert_eq!(name, format!("{}-faults-none-without-2-cases-incomplete", digests.join("-")));
    let paths: Vec<&str> =
        files.keys().map(String::as_str).filter(|path| !path.starts_with("data/spec/")).collect();
    assert_eq!(
        paths,
        [
            "bag-info.txt",
            "bagit.txt",
            "data/captures.json",
            "data/captures/subject-rust@f32/tiny.safetensors",
            "data/cases/tiny.json",
            "data/junit.xml",
            "data/materials.json",
            "data/model/config.json",
            "data/model/model.safetensors",
            "data/report.html",
            "data/report.md",
            "data/results.json",
            "data/schema/assay.json",
            "data/schema/captures.json",
            "data/schema/case.json",
            "data/schema/materials.json",
            "data/schema/results.json",
            "manifest-sha256.txt",
            "tagmanifest-sha256.txt",
        ]
    );
    assert_eq!(files.len() - paths.len(), run.specs.len());
    let payload = files.iter().filter(|(path, _)| path.starts_with("data/"));
    let octets: usize = payload.clone().map(|(_, bytes)| bytes.len()).sum();
    let info = String::from_utf8(files["bag-info.txt"].clone()).unwrap();
    assert!(info.contains("Trialplate-Format: 2.1\n"), "{info}");
    assert!(info.contains("Bagging-Date: 2025-01-01\n"), "{info}");
    assert!(info.contains(&format!("External-Identifier: {name}\n")), "{info}");
    assert!(info.contains(&format!("Payload-Oxum: {octets}.{}\n", payload.count())), "{info}");
}

/// What `sha256sum -c` does.
#[test]
fn a_stranger_can_check_the_manifests() {
    let run = Run::new();
    let files = files(&run.write());
    for (manifest, payload) in [("manifest-sha256.txt", true), ("tagmanifest-sha256.txt", false)] {
        let text = String::from_utf8(files[manifest].clone()).unwrap();
        let mut checked = Vec::new();
        for line in text.lines() {
            let (digest, path) = line.split_once("  ").unwrap();
            assert_eq!(Digest::of(&files[path]).to_string(), digest, "{path}");
            checked.push(path);
        }
        let there = files
            .keys()
            .filter(|path| path.starts_with("data/") == payload && *path != "tagmanifest-sha256.txt");
        assert_eq!(checked, there.collect::<Vec<_>>());
    }
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let (first, second) = (Run::new(), Run::new());
    let (a, b) = (first.write(), second.write());
    assert_eq!(a.file_name(), b.file_name());
    assert_eq!(files(&a), files(&b));
    let mut later = Run::new();
    later.day += Duration::from_secs(86_400);
    let (before, after) = (files(&a), files(&later.write()));
    let changed: Vec<&String> = before.keys().filter(|path| before[*path] != after[*path]).collect();
    assert_eq!(changed, ["bag-info.txt", "tagmanifest-sha256.txt"]);
}

#[test]
fn the_same_run_replaces_its_bundle_and_another_does_not() {
    let mut run = Run::new();
    let first = run.write();
    fs::write(first.join("leftover"), "of the old bundle").unwrap();
    assert_eq!(run.write(), first);
    assert!(!first.join("leftover").exists());
    run.materials.threads = 1;
    assert_ne!(run.write(), first);
    assert!(first.exists());
}

/// The story of the run without faults that wrote its bundle over the one with all of them.
#[test]
fn a_weaker_run_does_not_replace_stronger_evidence() {
    let mut run = Run::new();
    run.results.faults.extent = Extent::All;
    let strong = run.write();
    let before = files(&strong);
    run.results.faults.extent = Extent::None;
    let weak = run.write();
    assert_ne!(weak, strong);
    assert_eq!(files(&strong), before);
}

/// A reference that left less, on the same source and inputs.
#[test]
fn a_run_of_the_same_inputs_that_found_something_else_has_another_name() {
    let mut run = Run::new();
    let first = run.write();
    run.results.notes.push("a reference crashed".to_owned());
    assert_ne!(run.write(), first);
    assert!(first.exists());
}

#[test]
fn a_diff_comes_with_the_bundle() {
    let diff = "diff --git a/file b/file\n";
    let run = Run::new().dirty(diff);
    let bundle = run.write();
    assert_eq!(fs::read_to_string(bundle.join("data/materials.diff")).unwrap(), diff);
    assert!(bundle.to_string_lossy().contains("-dirty-"));
}

#[test]
fn a_model_that_changes_later_does_not_change_in_the_bundle() {
    let run = Run::new();
    let (bundle, weights) = (run.write(), run.model().join("model.safetensors"));
    let before = fs::read(&weights).unwrap();
    fs::write(weights, "others").unwrap();
    assert_eq!(fs::read(bundle.join("data/model/model.safetensors")).unwrap(), before);
}

#[test]
fn captures_are_linked_and_links_are_followed() {
    let mut run = Run::new();
    let source = run.folder.path().join("tiny.safetensors");
    let inode = |path: &Path| fs::symlink_metadata(path).unwrap().ino();
    let stored = run.write().join("data/captures/subject-rust@f32/tiny.safetensors");
    assert_eq!(inode(&stored), inode(&source));
    let link = run.folder.path().join("link.safetensors");
    std::os::unix::fs::symlink(&source, &link).unwrap();
    run.captures.values_mut().flat_map(|cases| cases.values_mut()).for_each(|path| path.clone_from(&link));
    let stored = run.write().join("data/captures/subject-rust@f32/tiny.safetensors");
    assert!(fs::symlink_metadata(&stored).unwrap().is_file());
    assert_eq!(fs::read(&stored).unwrap(), fs::read(&source).unwrap());
}

#[test]
fn what_fails_leaves_nothing_and_keeps_the_old_bundle() {
    let mut run = Run::new();
    let old = run.write();
    let before = files(&run.shelf());
    let gone = run.folder.path().join("gone.safetensors");
    run.captures.insert(Role::Subject, BTreeMap::from([("tiny".to_owned(), gone)]));
    let error = write(&run.shelf(), &run.contents()).unwrap_err();
    assert!(error.to_string().contains("gone.safetensors"), "{error}");
    assert_eq!(files(&run.shelf()), before);
    assert!(old.exists());
}

#[test]
fn what_comes_with_a_bundle_is_what_its_materials_say() {
    let problem = |run: &Run| write(&run.shelf(), &run.contents()).unwrap_err().to_string();
    let run = Run::new();
    fs::write(run.model().join("model.safetensors"), "others").unwrap();
    assert!(problem(&run).contains("data/model/model.safetensors has other contents"));
    let run = Run::new().dirty("diff --git a/file b/file\n");
    fs::write(run.diff.as_ref().unwrap(), "").unwrap();
    assert!(problem(&run).contains("data/materials.diff has other contents"));
}

#[test]
fn contents_must_not_contradict_each_other() {
    let problem = |change: &dyn Fn(&mut Run)| {
        let mut run = Run::new();
        change(&mut run);
        let error = write(&run.shelf(), &run.contents()).unwrap_err();
        assert!(matches!(error, WriteError::Inconsistent { .. }), "{error}");
        assert!(!run.shelf().exists());
        error.to_string()
    };
    assert!(problem(&|run| run.specs[0].1.push('\n')).contains("specs"));
    assert!(problem(&|run| run.cases.clear()).contains("cases"));
    assert!(problem(&|run| run.materials.schema.push('1')).contains("another version"));
    assert!(problem(&|run| run.diff = Some(PathBuf::new())).contains("the diff is there"));
    let too_large = |run: &mut Run| run.materials.weights[0].bytes = LARGEST_MODEL + 1;
    assert!(problem(&too_large).contains("a model in the bundle"));
    let stranger = Role::Reference { name: "stranger".to_owned(), precision: Precision::F32 };
    assert!(
        problem(&|run| drop(run.captures.insert(stranger.clone(), BTreeMap::new()))).contains("stranger@f32")
    );
    let other = BTreeMap::from([("other".to_owned(), PathBuf::new())]);
    assert!(problem(&|run| drop(run.captures.insert(Role::Subject, other.clone()))).contains("other"));
}
