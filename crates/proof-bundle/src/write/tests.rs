mod killed;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use capture::Precision;

use super::*;
use crate::Digest;
use crate::fixtures::{Run, files};

#[test]
fn the_layout_is_that_of_the_design() {
    let run = Run::new();
    let bundle = run.write();
    let name = bundle.file_name().unwrap().to_string_lossy().into_owned();
    let spec = run.materials.specs.to_string();
    assert_eq!(name.split('-').take(2).collect::<Vec<_>>(), ["0123456789ab", &spec[..8]]);
    let files = files(&bundle);
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

#[test]
fn captures_are_linked_and_links_are_followed() {
    let mut run = Run::new();
    let source = run.folder.path().join("tiny.safetensors");
    let inode = |path: &Path| fs::symlink_metadata(path).unwrap().ino();
    let stored = run.write().join("data/captures/subject-rust@f32/tiny.safetensors");
    assert_eq!(inode(&stored), inode(&source));
    let link = run.folder.path().join("link.safetensors");
    std::os::unix::fs::symlink(&source, &link).unwrap();
    run.captures
        .values_mut()
        .flat_map(|cases| cases.values_mut())
        .for_each(|paths| paths.run = Some(link.clone()));
    let stored = run.write().join("data/captures/subject-rust@f32/tiny.safetensors");
    assert!(fs::symlink_metadata(&stored).unwrap().is_file());
    assert_eq!(fs::read(&stored).unwrap(), fs::read(&source).unwrap());
}

#[test]
fn what_fails_leaves_nothing_and_keeps_the_old_bundle() {
    let mut run = Run::new();
    let old = run.write();
    let before = files(&run.shelf());
    let gone = CapturePaths { run: Some(run.folder.path().join("gone.safetensors")), replay: None };
    run.captures.insert(Role::Subject, BTreeMap::from([("tiny".to_owned(), gone)]));
    let error = write(&run.shelf(), &run.contents()).unwrap_err();
    assert!(error.to_string().contains("gone.safetensors"), "{error}");
    assert_eq!(files(&run.shelf()), before);
    assert!(old.exists());
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
    let stranger = Role::Reference { name: "stranger".to_owned(), precision: Precision::F32 };
    assert!(
        problem(&|run| drop(run.captures.insert(stranger.clone(), BTreeMap::new()))).contains("stranger@f32")
    );
    let other = BTreeMap::from([("other".to_owned(), CapturePaths::default())]);
    assert!(problem(&|run| drop(run.captures.insert(Role::Subject, other.clone()))).contains("other"));
}
