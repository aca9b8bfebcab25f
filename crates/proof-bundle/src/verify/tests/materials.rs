//! What comes with a bundle beside its record: format, name, diff and model.

use std::fs;

use super::{after, assert_one, edit};
use crate::fixtures::{Run, change_weight, forge_manifests};
use crate::{Demands, Digest, Known, layout, verify, verify_as};

/// The problem of a bundle whose `bag-info.txt` names that version, or none.
#[track_caller]
fn assert_refused(line: &str, part: &str) {
    let problems = after(false, |bundle| edit(bundle, "bag-info.txt", "Trialplate-Format: 2.1\n", line));
    assert_one(&problems, "bag-info.txt", part);
}

#[test]
fn a_bundle_of_another_format_is_refused_by_name() {
    assert_refused("", "format 1.0 is read by trialplate 0.1");
    assert_refused("Trialplate-Format: 3.0\n", "format 3.0 is read by a later trialplate");
    assert_refused("Trialplate-Format: 2.2\n", "format 2.2 is newer than 2.1");
    assert_refused("Trialplate-Format: two\n", "`two` is no version");
    assert_refused("Trialplate-Format: 2.00\n", "`2.00` is no version");
}

#[test]
fn a_record_of_another_version_than_its_bundle_is_refused() {
    for (path, kind) in [(layout::MATERIALS, "materials"), (layout::CAPTURES, "captures")] {
        let (from, to) = (format!("trialplate/{kind}/2.1"), format!("trialplate/{kind}/2.2"));
        let problems = after(true, |bundle| edit(bundle, path, &from, &to));
        assert_one(&problems, path, &to);
    }
}

#[test]
fn a_stronger_name_than_what_is_in_the_bundle_is_refused() {
    let problems = after(false, |bundle| {
        edit(bundle, "bag-info.txt", "-faults-none", "");
        forge_manifests(bundle);
    });
    assert_one(&problems, "bag-info.txt", "what is in it is");
}

#[test]
fn a_diff_is_held_against_the_materials() {
    let run = Run::new().dirty("diff --git a/file b/file\n");
    let bundle = run.write();
    assert_eq!(verify(&bundle).unwrap().problems, []);
    fs::remove_file(bundle.join(layout::DIFF)).unwrap();
    fs::write(bundle.join(layout::DIFF), "diff --git a/other b/other\n").unwrap();
    forge_manifests(&bundle);
    let problems = verify(&bundle).unwrap().problems;
    assert!(
        problems[0].to_string().starts_with("data/materials.diff: another digest or size"),
        "{problems:?}"
    );

    let bundle = run.write();
    fs::remove_file(bundle.join(layout::DIFF)).unwrap();
    forge_manifests(&bundle);
    let problems = verify(&bundle).unwrap().problems;
    assert_eq!(problems[0].to_string(), "data/materials.diff: missing");

    let nobodys = after(true, |bundle| fs::write(bundle.join(layout::DIFF), "").unwrap());
    assert_one(&nobodys, layout::DIFF, "calls for this file");
}

#[test]
fn a_model_in_the_bundle_is_the_one_that_is_found() {
    let run = Run::new();
    let bundle = run.write();
    let evidence = verify(&bundle).unwrap().evidence.unwrap();
    assert_eq!(evidence.model, Some(bundle.join("data/model")));

    let problems =
        after(true, |bundle| fs::write(bundle.join("data/model/model.safetensors"), "others").unwrap());
    assert_one(&problems, "data/model: model.safetensors", "bytes");
    let weights = "data/model/model.safetensors";
    let problems = after(true, |bundle| fs::remove_file(bundle.join(weights)).unwrap());
    assert_one(&problems, weights, "missing");
    let problems = after(true, |bundle| fs::write(bundle.join("data/model/other.safetensors"), "").unwrap());
    assert_one(&problems, "data/model/other.safetensors", "calls for this file");
}

/// Weights of the same shapes can be read with other heads and another epsilon.
#[test]
fn sizes_and_constants_are_those_of_the_models_own_configuration() {
    for (from, to, part) in [
        ("1e-5", "1e-3", "\"epsilon\": 0.001"),
        ("\"n_head\":2", "\"n_head\":4", "\"H\": 4"),
        ("\"n_head\":2", "\"n_head\":3", "there is no size `Dh`"),
        ("{", "[", "config.json: "),
        ("1e-5", "1e-5,\"activation_function\":\"relu\"", "features: {\"relu\"}"),
    ] {
        let mut run = Run::new();
        let path = run.model().join("config.json");
        let config = fs::read_to_string(&path).unwrap().replacen(from, to, 1);
        fs::write(path, &config).unwrap();
        let file = run.materials.weights.iter_mut().find(|file| file.name == "config.json").unwrap();
        (file.bytes, file.sha256) = (config.len() as u64, Digest::of(config.as_bytes()));
        let problems = verify(&run.write()).unwrap().problems;
        assert!(problems[0].path == layout::MODEL && problems[0].message.contains(part), "{problems:?}");
    }
    let mut run = Run::new();
    run.materials.weights.retain(|file| file.name != "config.json");
    let problems = verify(&run.write()).unwrap().problems;
    assert!(problems[0].message.contains("the materials name no such file"), "{problems:?}");
}

#[test]
fn a_model_that_is_not_in_the_bundle_is_the_given_one() {
    let mut run = Run::new();
    run.materials.weights_in_bundle = false;
    let bundle = run.write();
    let asked = |folder: Option<&std::path::Path>| {
        let demands = Demands { model: folder, ..Demands::default() };
        let verification = verify_as(&bundle, &demands).unwrap();
        (verification.exit_code, verification.evidence.unwrap().model, verification.stale)
    };
    assert_eq!(asked(None), (4, None, vec![]));
    let folder = run.model();
    assert_eq!(asked(Some(&folder)), (4, Some(folder.clone()), vec![]));
    change_weight(&folder);
    let (code, model, stale) = asked(Some(&folder));
    assert_eq!((code, model), (3, None));
    assert!(stale[0].contains("another model than the given one: model.safetensors"), "{stale:?}");
}

#[test]
fn a_bundle_about_another_model_than_the_given_one_is_stale_though_it_has_its_own() {
    let run = Run::new();
    let bundle = run.write();
    let folder = run.model();
    change_weight(&folder);
    let verification = verify_as(&bundle, &Demands { model: Some(&folder), ..Demands::default() }).unwrap();
    assert_eq!(verification.exit_code, 3);
}

#[test]
fn what_is_not_known_has_its_reason_in_the_record() {
    let mut run = Run::new();
    run.materials.subject_executable = Known::Unknown("it was deleted".to_owned());
    let text = fs::read_to_string(run.write().join(layout::MATERIALS)).unwrap();
    assert!(text.contains(r#""subject_executable":{"value":null,"reason":"it was deleted"}"#), "{text}");
    let problems = after(true, |bundle| {
        edit(bundle, layout::MATERIALS, r#""reason":"there is no /proc/cpuinfo""#, r#""reason":null"#);
    });
    assert_one(&problems, layout::MATERIALS, "neither a value nor the reason");
}
