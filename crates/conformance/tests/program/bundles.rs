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
    assert!(!path.join("data/captures").exists());
    let told = bundle(&scene, &["verify", path.to_str().unwrap(), "--historical"]);
    assert_eq!(told.code, Some(4), "{told:?}");
    assert!(told.stdout.contains("verdict DIGEST-ONLY"), "{told:?}");
}

/// The story of `--faults none`, whose bundle replaced the full one of the same name.
#[test]
fn a_weaker_run_keeps_the_bundle_of_a_stronger_one() {
    let (scene, strong) = with_bundle(&["--faults", "fast"]);
    let before = files_below(&strong);
    let again = ["all", "--quiet", "--model", "tiny", "--case", "two-tokens", "--faults", "none"];
    let told = scene.checkpoint(&again);
    assert_eq!(told.code, Some(4), "{told:?}");
    let bundles = fs::read_dir(scene.at("proof-bundles")).unwrap().map(|entry| entry.unwrap());
    let names = bundles.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut words: Vec<String> = names
        .filter(|name| name.starts_with("no-commit"))
        .map(|name| name.split('-').skip(4).take(2).collect::<Vec<_>>().join("-"))
        .collect();
    words.sort();
    assert_eq!(words, ["faults-fast", "faults-none"]);
    assert_eq!(files_below(&strong), before);
}

#[test]
fn a_small_model_comes_with_the_bundle_and_a_given_one_is_held_against_it() {
    let (scene, path) = with_bundle(&[]);
    let path = path.to_str().unwrap();
    let read = |file: &str| fs::read(scene.at(file)).unwrap();
    let in_bundle = fs::read(format!("{path}/data/model/model.safetensors")).unwrap();
    assert!(in_bundle == read("tiny/model.safetensors"));
    let given = ["verify", path, "--historical", "--model", "tiny"];
    let told = bundle(&scene, &given);
    assert_eq!(told.code, Some(4), "{told:?}");
    assert!(
        told.stdout.contains("model         in the bundle; the given one has the same files"),
        "{told:?}"
    );
    scene.model_of("tiny", "1,8,2,300,16@7");
    let told = bundle(&scene, &given);
    assert_eq!(told.code, Some(3), "{told:?}");
    assert!(told.stdout.contains("another model than the given one: model.safetensors"), "{told:?}");
}

#[test]
fn materials_say_which_program_was_the_subject_and_how_it_was_built() {
    let (_scene, path) = with_bundle(&[]);
    let text = fs::read_to_string(path.join("data/materials.json")).unwrap();
    let materials: serde_json::Value = serde_json::from_str(&text).unwrap();
    let program = fs::metadata(env!("CARGO_BIN_EXE_conformance")).unwrap();
    assert_eq!(materials["subject_executable"]["value"]["bytes"], program.len());
    assert_eq!(materials["subject_executable"]["value"]["name"], "conformance");
    assert!(materials["subject_build"]["value"]["rustc"].as_str().unwrap().starts_with("rustc "));
    assert_eq!(materials["diff"]["reason"], "not in a git repository");
}

#[test]
fn what_cannot_be_verified_is_a_usage_error() {
    let scene = Scene::new();
    bundle(&scene, &["verify", "gone"]).assert_error(64, &["no bundle at gone"]);
    bundle(&scene, &["verify", "gone", "--expect-commit", "HEAD"]).assert_error(64, &["hex digits"]);
    let model = ["verify", scene.at("").to_str().unwrap(), "--model", "nowhere"].map(str::to_owned);
    bundle(&scene, &model.each_ref().map(String::as_str)).assert_error(64, &["--model nowhere: no such"]);
    bundle(&scene, &["verify", "gone", "--require-signature"]).assert_error(64, &["--allowed-signers"]);
    bundle(&scene, &["sign", "gone", "--key", "nowhere"]).assert_error(64, &["nowhere"]);
}
