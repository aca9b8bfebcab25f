//! `bundle`: what an auditor sees.

use std::fs;
use std::path::PathBuf;

use crate::scene::{Scene, Told, files_below};

/// A scene with a bundle of a run whose references did not answer.
fn with_bundle(arguments: &[&str]) -> (Scene, PathBuf) {
    let scene = Scene::new();
    scene.model("tiny");
    let usual = ["all", "--quiet", "--model", "tiny", "--case", "two-tokens"];
    let told = scene.checkpoint(&[&usual, arguments].concat());
    assert_eq!(told.code, Some(4), "{told:?}");
    let mut bundle = fs::read_dir(scene.at("proof-bundles")).unwrap().map(|entry| entry.unwrap().path());
    let bundle = bundle.find(|path| path.is_dir()).unwrap();
    (scene, bundle)
}

fn bundle(scene: &Scene, arguments: &[&str]) -> Told {
    scene.program().arg("bundle").args(arguments).output().unwrap().into()
}

#[test]
fn evidence_that_nothing_here_confirms_is_stale() {
    let (scene, path) = with_bundle(&[]);
    let path = path.to_str().unwrap();
    let told = bundle(&scene, &["verify", path]);
    assert_eq!(told.code, Some(3), "{told:?}");
    assert!(told.stdout.contains("stale         there is no git commit here"), "{told:?}");
    let told = bundle(&scene, &["verify", path, "--historical"]);
    assert_eq!(told.code, Some(4), "{told:?}");
    assert!(told.stdout.contains("historical    of no commit"), "{told:?}");
    let told = bundle(&scene, &["verify", path, "--historical", "--expect-commit", "0123456"]);
    assert_eq!(told.code, Some(3), "{told:?}");
    let told = bundle(&scene, &["verify", "--all", "--historical"]);
    assert_eq!(told.code, Some(4), "{told:?}");
}

#[test]
fn status_says_what_has_changed() {
    let (scene, path) = with_bundle(&[]);
    fs::write(scene.at("Cargo.lock"), "another").unwrap();
    let told = bundle(&scene, &["status"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(told.stdout.contains(&format!("stale         {name}: rust@f32 on tiny")), "{told:?}");
    assert!(told.stdout.contains("Cargo.lock was e3b0c44298fc, is "), "{told:?}");
}

#[test]
fn a_bundle_may_hold_digests_only() {
    let (scene, path) = with_bundle(&["--tensors", "digest"]);
    assert!(!files_below(&path).iter().any(|file| file.extension().is_some_and(|e| e == "safetensors")));
    let told = bundle(&scene, &["verify", path.to_str().unwrap(), "--historical"]);
    assert_eq!(told.code, Some(4), "{told:?}");
    assert!(told.stdout.contains("verdict DIGEST-ONLY"), "{told:?}");
}

#[test]
fn what_cannot_be_verified_is_a_usage_error() {
    let scene = Scene::new();
    bundle(&scene, &["verify", "gone"]).assert_error(64, &["no bundle at gone"]);
    bundle(&scene, &["verify", "gone", "--expect-commit", "HEAD"]).assert_error(64, &["hex digits"]);
    bundle(&scene, &["verify", "gone", "--require-signature"]).assert_error(64, &["--allowed-signers"]);
    bundle(&scene, &["sign", "gone", "--key", "nowhere"]).assert_error(64, &["nowhere"]);
}
