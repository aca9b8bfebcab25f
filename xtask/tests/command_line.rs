//! The program as a person or a CI job meets it, in small clones made for the test.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::{TempDir, tempdir};

/// What makes a folder a clone.
fn clone() -> TempDir {
    let place = tempdir().unwrap();
    write(place.path(), "xtask/Cargo.toml", "");
    write(place.path(), "reference/requirements.lock", "");
    write(place.path(), "reference/installer.lock", "");
    place
}

fn write(root: &Path, file: &str, text: &str) -> PathBuf {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

fn xtask(root: &Path, arguments: &[&str]) -> Command {
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    xtask.current_dir(root).args(arguments).env("CARGO_TARGET_DIR", root.join("target")).stdin(Stdio::null());
    xtask
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A stand-in for Python that says it is suitable, and does `then` when it is to make an environment.
fn python(root: &Path, then: &str) -> PathBuf {
    let path = root.join("python");
    let this = path.display();
    let answer = format!(
        r#"{{"version":"3.11.7","executable":"{this}","library":"{this}","linkable":true,"venv":true}}"#
    );
    let script = format!("#!/bin/sh\ncase \"$*\" in\n*'-m venv'*) {then} ;;\n*) echo '{answer}' ;;\nesac\n");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn left_in_environment(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join(".venv")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn an_interrupt_ends_the_set_up_and_all_that_it_started() {
    let place = clone();
    let pipe = place.path().join("alive");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // The pipe stays open for writing as long as the stand-in or its child lives.
    let python = python(
        place.path(),
        &format!("touch .venv/half; exec 3>'{}'; echo begun >&3; sleep 300", pipe.display()),
    );
    let mut setup = xtask(place.path(), &["setup"])
        .env("TRIALPLATE_PYTHON", &python)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut alive = BufReader::new(File::open(&pipe).unwrap());
    alive.read_line(&mut String::new()).unwrap();

    let interrupted = Instant::now();
    kill_process(Pid::from_child(&setup), Signal::INT).unwrap();
    let status = setup.wait().unwrap();
    alive.read_to_end(&mut Vec::new()).unwrap();
    assert!(interrupted.elapsed() < Duration::from_secs(200), "something outlived the interrupt");
    assert_eq!(status.code(), Some(130));
    let mut errors = String::new();
    setup.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert!(errors.contains("error: interrupted"), "{errors}");
    assert!(!left_in_environment(place.path()).contains(&"setup.json".to_owned()));
}

#[test]
fn after_a_full_disk_nothing_is_left_and_the_advice_is_to_make_room() {
    let place = clone();
    write(place.path(), ".venv/setup.lock", "");
    write(place.path(), ".venv/half/installed", "");
    let python = python(place.path(), "touch .venv/more; echo 'No space left on device' >&2; exit 1");
    let done = xtask(place.path(), &["setup"]).env("TRIALPLATE_PYTHON", &python).output().unwrap();
    let errors = said(&done.stderr);
    assert_eq!(done.status.code(), Some(70), "{errors}");
    assert!(errors.contains("| No space left on device"), "{errors}");
    assert!(errors.contains("the disk is full: make room"), "{errors}");
    assert_eq!(left_in_environment(place.path()), ["setup.lock"]);
}

#[test]
fn without_a_suitable_python_nothing_is_touched() {
    let place = clone();
    let unsuitable = python(place.path(), "exit 1");
    let text = fs::read_to_string(&unsuitable).unwrap().replace("\"linkable\":true", "\"linkable\":false");
    fs::write(&unsuitable, text).unwrap();
    let done = xtask(place.path(), &["setup"]).env("TRIALPLATE_PYTHON", &unsuitable).output().unwrap();
    let errors = said(&done.stderr);
    assert_eq!(done.status.code(), Some(70), "{errors}");
    assert!(errors.contains("without a shared libpython"), "{errors}");
    assert!(!place.path().join(".venv").exists());
}

/// A clone whose conformance binary prints what it was given.
fn clone_with_echo() -> TempDir {
    let place = clone();
    let root = place.path();
    write(
        root,
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\nexclude = [\"xtask\"]\n",
    );
    let manifest = "[package]\nname = \"conformance\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    write(root, "crates/conformance/Cargo.toml", manifest);
    let echo = r#"
        fn main() {
            let arguments: Vec<_> = std::env::args().skip(1).collect();
            println!("{}", arguments.join("|"));
            print!("{}", std::io::read_to_string(std::io::stdin()).unwrap());
            eprintln!("in {}", std::env::current_dir().unwrap().display());
            for (name, value) in std::env::vars().filter(|(name, _)| name.starts_with("TRIALPLATE_")) {
                eprintln!("{name}={value}");
            }
            std::process::exit(3);
        }"#;
    write(root, "crates/conformance/src/main.rs", echo);
    place
}

fn with_input(mut command: Command, input: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn arguments_input_output_and_exit_code_are_the_binarys_own() {
    let place = clone_with_echo();
    let root = place.path().canonicalize().unwrap();
    let inside = root.join("crates");
    let mut list = xtask(&root, &["checkpoint", "list", "--", "--format", "json", "--", "-x"]);
    list.current_dir(&inside);
    let done = with_input(list, "given\n");
    let errors = said(&done.stderr);
    assert_eq!(done.status.code(), Some(3), "{errors}");
    assert_eq!(said(&done.stdout), "checkpoint|list|--|--format|json|--|-x\ngiven\n");
    for told in [
        format!("in {}", inside.display()),
        format!("TRIALPLATE_ROOT={}", root.display()),
        format!("TRIALPLATE_REFERENCE={}", root.join("reference").display()),
        format!("TRIALPLATE_PYTHON_ENV={}", root.join(".venv").display()),
        format!("TRIALPLATE_WORKER={}", root.join("target/debug/reference-bridge").display()),
        format!("TRIALPLATE_CACHE={}", root.join("target/trialplate").display()),
    ] {
        assert!(errors.lines().any(|line| line == told), "{told}\n{errors}");
    }
    assert!(!root.join(".venv").exists(), "reading specs needs no Python");

    let done = xtask(&root, &["bundle", "verify", "somewhere"]).output().unwrap();
    assert_eq!((done.status.code(), said(&done.stdout)), (Some(3), "bundle|verify|somewhere\n".into()));
}

#[test]
fn a_command_line_that_makes_no_sense_is_a_usage_error() {
    let place = clone();
    for arguments in [&["chekpoint"][..], &[], &["setup", "--fersh"], &["test", "--only", "clipy"]] {
        let done = xtask(place.path(), arguments).output().unwrap();
        assert_eq!(done.status.code(), Some(64), "{arguments:?}: {}", said(&done.stderr));
        assert!(done.stdout.is_empty());
    }
    let help = xtask(place.path(), &["--help"]).output().unwrap();
    assert_eq!(help.status.code(), Some(0));
    assert!(said(&help.stdout).contains("cargo xtask checkpoint all"));
}
