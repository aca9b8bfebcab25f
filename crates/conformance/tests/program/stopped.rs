//! Ctrl-C and a full disk in the middle: nothing half-written stays, and the next run works.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::scene::{Scene, Told, files_below};

#[test]
fn an_interrupt_leaves_nothing_and_the_next_run_works() {
    // At f64 the references hang; by then the one at f32 has been told of.
    let scene = Scene::with_worker("grep -q '\"precision\":\"f32\"' && exit 1; exec sleep 600");
    scene.model("tiny");
    for signal in [Signal::INT, Signal::TERM] {
        let mut child = scene
            .program()
            .args(["checkpoint", "all", "--model", "tiny", "--case", "two-tokens"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(stderr.any(|line| line.contains("torch@f32")));
        kill_process(Pid::from_child(&child), signal).unwrap();
        let rest: Vec<String> = stderr.collect();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(130), 0), "{rest:?}");
        assert!(rest.iter().any(|line| line.contains("interrupted")), "{rest:?}");
        scene.assert_nothing_left();
    }
    scene.script("worker", "exit 1");
    let told = scene.checkpoint(&["all", "--model", "tiny", "--case", "two-tokens"]);
    assert_eq!(told.code, Some(4), "{told:?}");
    let bundles = fs::read_dir(scene.at("proof-bundles")).unwrap();
    assert_eq!(bundles.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count(), 1);
}

/// `checkpoint all` where no file can grow beyond so many blocks of the shell's, as on a full disk.
fn with_full_disk(scene: &Scene, blocks: u64, arguments: &[&str]) -> Told {
    // Ignored, the signal that comes with the limit leaves an error to be met.
    let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    let mut shell = Command::new("sh");
    scene.furnish(&mut shell);
    shell
        .args(["-c", &limited, "sh", env!("CARGO_BIN_EXE_conformance"), "checkpoint", "all"])
        .args(arguments);
    shell.output().unwrap().into()
}

#[test]
fn a_disk_too_full_for_a_capture() {
    let scene = Scene::new();
    scene.model("tiny");
    let told = with_full_disk(&scene, 1, &["--model", "tiny", "--case", "two-tokens"]);
    told.assert_error(70, &["capture of case `two-tokens`", "two-tokens.run.safetensors: File too large"]);
    assert_eq!(told.stderr.matches("File too large").count(), 1, "{told:?}");
    scene.assert_nothing_left();
}

#[test]
fn a_disk_too_full_for_a_bundle() {
    let scene = Scene::new();
    scene.model("tiny");
    // Many steps: a record that is larger than any capture.
    let arguments = ["--model", "tiny", "--case", "two-tokens", "--case", "decode-from-first"];
    assert_eq!(scene.checkpoint(&[&["all"], &arguments[..]].concat()).code, Some(4));
    let bundles = scene.at("proof-bundles");
    let before = files_below(&bundles);
    let record = before.iter().find(|file| file.ends_with("data/results.json")).unwrap();
    // A block is 512 bytes for some shells and 1024 for others: the limit is between half of the record and all of it.
    let blocks = record.metadata().unwrap().len() / 1024 - 1;
    fs::remove_dir_all(&bundles).unwrap();
    let told = with_full_disk(&scene, blocks, &arguments);
    told.assert_error(70, &["data/results.json", "File too large"]);
    scene.assert_nothing_left();
}

#[test]
fn a_folder_for_bundles_that_cannot_be() {
    let scene = Scene::new();
    scene.model("tiny");
    fs::write(scene.at("taken"), "").unwrap();
    let told = scene.checkpoint(&["all", "--model", "tiny", "--case", "two-tokens", "--bundles", "taken"]);
    told.assert_error(70, &["taken"]);
    scene.assert_nothing_left();
}

#[test]
fn a_disk_too_full_for_a_synthetic_model() {
    let scene = Scene::new();
    let told = with_full_disk(&scene, 1, &["--model", "synthetic:1,8,2,300,16"]);
    told.assert_error(70, &["synthetic-1-8-2-300-16", "weights cannot be written"]);
    assert_eq!(files_below(&scene.at("cache")), Vec::<std::path::PathBuf>::new());
}
