//! Models of a hub, served on loopback.

mod server;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::scene::{Scene, TINY, Told, files_below};
use server::{Flaw, Server};

const WEIGHTS: &str = "model.safetensors";

/// A scene whose hub has the tiny model as `owner/tiny`, and its commit.
fn scene() -> (Scene, Server, String) {
    let (scene, server) = (Scene::new(), Server::new());
    let commit = server.publish("owner/tiny", "main", &files(&scene, TINY));
    (scene, server, commit)
}

/// Configuration and weights of a synthetic model.
fn files(scene: &Scene, spec: &str) -> [(&'static str, Vec<u8>); 2] {
    let directory = scene.model_of("published", spec);
    ["config.json", WEIGHTS].map(|name| (name, fs::read(directory.join(name)).unwrap()))
}

fn program(scene: &Scene, server: &Server, model: &str) -> Command {
    let mut program = scene.program();
    for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "HF_TOKEN", "HF_HUB_OFFLINE"] {
        program.env_remove(variable);
    }
    program.env("HF_ENDPOINT", server.address()).env("HF_HOME", scene.at("hf-home"));
    program.args(["checkpoint", "all", "--case", "two-tokens", "--no-bundle", "--model", model]);
    program
}

fn run(scene: &Scene, server: &Server, model: &str) -> Told {
    program(scene, server, model).output().unwrap().into()
}

/// The run got as far as the references, which do not answer.
#[track_caller]
fn assert_model_was_used(told: &Told, model: &str) {
    assert_eq!(told.code, Some(4), "{told:?}");
    assert!(told.stdout.contains(model), "{told:?}");
}

/// Where the model of a repository is once it is complete.
fn place(scene: &Scene, repository: &str, commit: &str) -> PathBuf {
    scene.at("cache/hub").join(repository.replace('/', "--")).join(commit)
}

#[track_caller]
fn assert_complete(directory: &Path, files: &[(&str, Vec<u8>)]) {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let mut expected: Vec<_> = files.iter().map(|(name, _)| *name).collect();
    names.sort();
    expected.sort_unstable();
    assert_eq!(names, expected);
    for (name, bytes) in files {
        assert!(fs::read(directory.join(name)).unwrap() == *bytes, "{name}");
    }
}

#[track_caller]
fn assert_nothing_complete(scene: &Scene) {
    let left: Vec<PathBuf> = files_below(&scene.at("cache/hub"))
        .into_iter()
        .filter(|file| !file.starts_with(scene.at("cache/hub/.downloads")))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    scene.assert_nothing_left();
}

#[test]
fn a_model_is_downloaded_once() {
    let (scene, server, commit) = scene();
    let told = run(&scene, &server, "hf:owner/tiny");
    assert_model_was_used(&told, "hf:owner/tiny");
    assert!(told.stderr.contains("model.safetensors        downloading"), "{told:?}");
    assert_complete(&place(&scene, "owner/tiny", &commit), &files(&scene, TINY));
    server.requests();

    assert_model_was_used(&run(&scene, &server, "hf:owner/tiny"), "hf:owner/tiny");
    let asked: Vec<String> = server.requests();
    assert_eq!(
        asked,
        ["/owner/tiny/resolve/main/config.json Some((0, Some(0)))"],
        "only where the branch is"
    );
    assert_model_was_used(&run(&scene, &server, &format!("hf:owner/tiny@{commit}")), &commit);
    assert_eq!(server.requests(), Vec::<String>::new(), "a commit is what it is");

    server.be(Some(Flaw::Status(503)));
    let told = run(&scene, &server, "hf:owner/tiny");
    assert_model_was_used(&told, "hf:owner/tiny");
    let note = format!("HTTP 503: hf:owner/tiny@main as it was at {commit} is used");
    assert!(told.stderr.contains(&note), "{told:?}");
}

#[test]
fn a_revision_is_not_another() {
    let (scene, server, main) = scene();
    let other = files(&scene, "1,8,2,300,16@7");
    let tag = server.publish("owner/tiny", "v2/final", &other);
    assert_model_was_used(&run(&scene, &server, "hf:owner/tiny@v2/final"), "hf:owner/tiny@v2/final");
    assert_complete(&place(&scene, "owner/tiny", &tag), &other);
    assert!(!place(&scene, "owner/tiny", &main).exists());
    // A branch moves.
    assert_model_was_used(&run(&scene, &server, "hf:owner/tiny"), "hf:owner/tiny");
    let moved = server.publish("owner/tiny", "main", &files(&scene, "1,8,2,300,16@8"));
    assert_model_was_used(&run(&scene, &server, "hf:owner/tiny"), "hf:owner/tiny");
    assert!(place(&scene, "owner/tiny", &main).is_dir() && place(&scene, "owner/tiny", &moved).is_dir());
}

#[test]
fn what_is_not_there() {
    let (scene, server, _) = scene();
    for model in ["hf:owner/none", "hf:none", "hf:owner/tiny@v9"] {
        let told = run(&scene, &server, model);
        let page = format!("{}/{}", server.address(), model[3..].split('@').next().unwrap());
        told.assert_error(64, &[model, "config.json", "HTTP 404", &page, "hf:OWNER/NAME[@REVISION]"]);
    }
    let [config, weights] = files(&scene, TINY);
    server.publish("owner/pickled", "main", &[config, ("pytorch_model.bin", weights.1)]);
    let told = run(&scene, &server, "hf:owner/pickled");
    told.assert_error(64, &["hf:owner/pickled@main", WEIGHTS, "safe_serialization=True"]);
    assert_nothing_complete(&scene);
}

#[test]
fn what_needs_a_token() {
    let (scene, server, commit) = scene();
    server.require_token("hf_secret");
    let told = run(&scene, &server, "hf:owner/tiny");
    told.assert_error(
        64,
        &["hf:owner/tiny@main", "HTTP 401", "HF_TOKEN is not set", "gated", server.address()],
    );
    let with = |token: &str| -> Told {
        program(&scene, &server, "hf:owner/tiny").env("HF_TOKEN", token).output().unwrap().into()
    };
    let told = with("hf_other");
    told.assert_error(64, &["HF_TOKEN was sent and does not suffice"]);
    assert!(!told.stderr.contains("hf_other"), "{told:?}");
    assert_nothing_complete(&scene);
    assert_model_was_used(&with("hf_secret"), "hf:owner/tiny");
    assert!(place(&scene, "owner/tiny", &commit).is_dir());
    // A token that was stored is as good.
    fs::create_dir(scene.at("hf-home")).unwrap();
    fs::write(scene.at("hf-home/token"), "hf_secret\n").unwrap();
    assert_model_was_used(&run(&scene, &server, "hf:owner/tiny"), "hf:owner/tiny");
}

#[test]
fn a_hub_that_is_not_there() {
    let (scene, server, _) = scene();
    let told = |variable: &str, value: &str| -> Told {
        program(&scene, &server, "hf:owner/tiny").env(variable, value).output().unwrap().into()
    };
    // Port 9 discards, where anybody listens at all.
    told("HF_ENDPOINT", "http://127.0.0.1:9")
        .assert_error(70, &["hf:owner/tiny@main", "cannot be reached", "http://127.0.0.1:9", "--model DIR"]);
    told("HF_ENDPOINT", "127.0.0.1").assert_error(64, &["HF_ENDPOINT is \"127.0.0.1\"", "https://"]);
    told("HF_HUB_OFFLINE", "1").assert_error(70, &["HF_HUB_OFFLINE is set", "--model DIR"]);
    assert_eq!(server.requests(), Vec::<String>::new());
    server.be(Some(Flaw::NoHeaders));
    run(&scene, &server, "hf:owner/tiny").assert_error(70, &["not a hub's", "HF_ENDPOINT", server.address()]);
    server.be(Some(Flaw::Status(500)));
    run(&scene, &server, "hf:owner/tiny").assert_error(70, &["HTTP 500", "try again later"]);
    assert_nothing_complete(&scene);
}

#[test]
fn a_download_that_breaks_off_goes_on_the_next_time() {
    let (scene, server, commit) = scene();
    server.be(Some(Flaw::BreaksOff(WEIGHTS)));
    let told = run(&scene, &server, "hf:owner/tiny");
    told.assert_error(70, &["hf:owner/tiny@main", WEIGHTS, "did not succeed", "goes on where this ended"]);
    assert_nothing_complete(&scene);
    server.be(None);
    server.requests();
    assert_model_was_used(&run(&scene, &server, "hf:owner/tiny"), "hf:owner/tiny");
    let resumed = server.requests();
    let taken_up = |request: &&String| request.starts_with("/blobs/") && !request.contains("(0, ");
    assert_eq!(resumed.iter().filter(taken_up).count(), 1, "{resumed:?}");
    assert_complete(&place(&scene, "owner/tiny", &commit), &files(&scene, TINY));
}

#[test]
fn a_download_that_is_not_what_was_announced_is_thrown_away() {
    let (scene, server, commit) = scene();
    server.be(Some(Flaw::Corrupts(WEIGHTS)));
    let told = run(&scene, &server, "hf:owner/tiny");
    told.assert_error(70, &["hf:owner/tiny@main", WEIGHTS, "SHA-256", "was announced", "removed"]);
    assert_nothing_complete(&scene);
    server.be(None);
    assert_model_was_used(&run(&scene, &server, "hf:owner/tiny"), "hf:owner/tiny");
    assert_complete(&place(&scene, "owner/tiny", &commit), &files(&scene, TINY));
}

#[test]
fn an_interrupt_while_downloading() {
    let (scene, server, _) = scene();
    server.be(Some(Flaw::Stalls(WEIGHTS)));
    let mut child = program(&scene, &server, "hf:owner/tiny")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(stderr.any(|line| line.contains("model.safetensors") && line.contains("downloading")));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let rest: Vec<String> = stderr.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    server.be(None);
    assert_model_was_used(&run(&scene, &server, "hf:owner/tiny"), "hf:owner/tiny");
}

#[test]
fn a_model_in_shards() {
    let (scene, server) = (Scene::new(), Server::new());
    let [config, (_, weights)] = files(&scene, TINY);
    let names: Vec<String> = capture::WeightFile::open(&scene.at("published").join(WEIGHTS))
        .unwrap()
        .names()
        .map(str::to_owned)
        .collect();
    let index = |shard: &str| {
        let map: serde_json::Map<String, serde_json::Value> =
            names.iter().map(|name| (name.clone(), json!(shard))).collect();
        ("model.safetensors.index.json", json!({ "weight_map": map }).to_string().into_bytes())
    };
    let shard = ("model-1-of-1.safetensors", weights);
    let whole = [config.clone(), index("model-1-of-1.safetensors"), shard.clone()];
    let commit = server.publish("owner/sharded", "main", &whole);
    assert_model_was_used(&run(&scene, &server, "hf:owner/sharded"), "hf:owner/sharded");
    assert_complete(&place(&scene, "owner/sharded", &commit), &whole);

    server.publish("owner/gone", "main", &[config.clone(), index("gone.safetensors"), shard.clone()]);
    run(&scene, &server, "hf:owner/gone")
        .assert_error(64, &["hf:owner/gone@main: gone.safetensors", "HTTP 404"]);
    server.publish("owner/outside", "main", &[config, index("../outside"), shard]);
    run(&scene, &server, "hf:owner/outside")
        .assert_error(64, &["index.json", "\"../outside\" is not the name"]);
}

#[test]
fn a_tokenizer_comes_along() {
    let (scene, server) = (Scene::new(), Server::new());
    let [config, weights] = files(&scene, TINY);
    let letters =
        json!({"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": false});
    let vocabulary = json!({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"});
    let tokenizer =
        json!({"version": "1.0", "added_tokens": [], "pre_tokenizer": letters, "model": vocabulary});
    let tokenizer = tokenizer.to_string().into_bytes();
    let files = [config, weights, ("tokenizer.json", tokenizer)];
    let commit = server.publish("worded", "main", &files);
    let told = run(&scene, &server, "hf:worded");
    assert_model_was_used(&told, "hf:worded");
    assert!(!told.stdout.contains("no tokenizer"), "{told:?}");
    assert_complete(&place(&scene, "worded", &commit), &files);
}
