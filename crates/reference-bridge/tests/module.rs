//! `reference-bridge -m MODULE`: a module of Python in the worker's interpreter.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::path::Path;
use std::process::{Command, Output};

/// Status, standard output, standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let environment = std::env::var_os("TRIALPLATE_PYTHON_ENV").expect(
        "these tests need TRIALPLATE_PYTHON_ENV: the Python environment that `cargo xtask setup` installs",
    );
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_reference-bridge"))
        .args(arguments)
        .env("TRIALPLATE_PYTHON_ENV", environment)
        .env("LC_ALL", "C")
        .env("TRIALPLATE_REFERENCE", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_reference"))
        .output()
        .unwrap();
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
    (status.code(), stdout, stderr)
}

#[test]
fn a_module_has_its_arguments_the_compiled_rules_utf_8_and_standard_output() {
    let (status, stdout, stderr) = run(&["-m", "as_main", "a", "-b"]);
    let rules = "['add', 'complete', 'gelu', 'layer_norm', 'softmax', 'weigh']";
    assert_eq!((status, stdout), (Some(0), format!("['a', '-b'] {rules}\nUTF-8\n")), "{stderr}");
}

#[test]
fn its_exit_code_is_that_of_the_process() {
    for (end, expected) in [("none", 0), ("three", 3), ("words", 1)] {
        let (status, stdout, stderr) = run(&["-m", "as_main", end]);
        assert_eq!(status, Some(expected), "{stderr}");
        assert!(stdout.starts_with(&format!("['{end}']")), "{stdout}");
    }
}

#[test]
fn what_it_raises_and_what_is_not_there_is_said() {
    let (status, _, stderr) = run(&["-m", "as_main", "raise"]);
    assert_eq!(status, Some(70), "{stderr}");
    assert!(stderr.contains("the module raised ValueError: seven is not a number"), "{stderr}");
    let (status, _, stderr) = run(&["-m", "no_such_module"]);
    assert_eq!(status, Some(70), "{stderr}");
    assert!(stderr.contains("No module named no_such_module"), "{stderr}");
}

#[test]
fn any_other_argument_is_refused() {
    for arguments in [["--help"].as_slice(), &["-m"], &["list.json"]] {
        let (status, stdout, stderr) = run(arguments);
        assert_eq!((status, stdout.as_str()), (Some(64), ""), "{stderr}");
        assert!(stderr.contains("expected none, for a work list, or `-m MODULE ARGUMENT…`"), "{stderr}");
    }
}
