use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

/// A folder that looks like an environment and a reference, as far as can be seen before Python starts.
fn house() -> TempDir {
    let house = TempDir::new().unwrap();
    let at = |path: &str| house.path().join(path);
    fs::create_dir_all(at("env/bin")).unwrap();
    fs::create_dir_all(at(&format!("env/lib/python{PYTHON_VERSION}/site-packages"))).unwrap();
    fs::create_dir_all(at("reference/trialplate_reference")).unwrap();
    for file in ["env/pyvenv.cfg", "env/bin/python3", "reference/trialplate_reference/__init__.py"] {
        fs::write(at(file), "").unwrap();
    }
    house
}

fn find(house: &TempDir) -> Result<Environment, WorkerError> {
    let at = |folder: &str| Some(house.path().join(folder).into_os_string());
    Environment::from_variables(|name| if name == PYTHON_ENV { at("env") } else { at("reference") })
}

#[track_caller]
fn assert_missing(result: Result<Environment, WorkerError>, part: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.exit_code(), WorkerError::INTERNAL);
    let text = error.to_string();
    assert!(text.contains(part) && text.contains("cargo xtask setup"), "`{part}` is not in: {text}");
}

#[test]
fn an_environment_is_found_by_its_variables() {
    let house = house();
    let found = find(&house).unwrap();
    assert_eq!(found.python_env, house.path().join("env"));
    assert_eq!(found.reference, house.path().join("reference"));
}

#[test]
fn variables_that_are_unset_or_empty_are_named() {
    assert_missing(Environment::from_variables(|_| None), "TRIALPLATE_PYTHON_ENV is not set");
    assert_missing(Environment::from_variables(|_| Some("".into())), "TRIALPLATE_PYTHON_ENV is not set");
    let env = house();
    let only_env = |name: &str| (name == PYTHON_ENV).then(|| env.path().join("env").into_os_string());
    assert_missing(Environment::from_variables(only_env), "TRIALPLATE_REFERENCE is not set");
}

#[test]
fn what_is_not_an_environment_is_refused_with_the_reason() {
    let lacking = |path: &str| {
        let house = house();
        fs::remove_file(house.path().join(path)).unwrap();
        find(&house)
    };
    assert_missing(lacking("env/pyvenv.cfg"), "is not a virtual environment");
    assert_missing(lacking("env/bin/python3"), "has no working interpreter");
    let package = "reference/trialplate_reference/__init__.py";
    assert_missing(lacking(package), "does not hold the package trialplate_reference");
}

#[test]
fn an_environment_of_another_python_is_refused_before_it_is_started() {
    let house = house();
    fs::rename(house.path().join("env/lib"), house.path().join("lib")).unwrap();
    fs::create_dir_all(house.path().join("env/lib/python2.7/site-packages")).unwrap();
    assert_missing(find(&house), &format!("is not of Python {PYTHON_VERSION}"));
}

#[test]
fn an_interpreter_that_was_uninstalled_is_noticed() {
    let house = house();
    let python = house.path().join("env/bin/python3");
    fs::remove_file(&python).unwrap();
    symlink("/nowhere/python3", &python).unwrap();
    assert_missing(find(&house), "has no working interpreter");
}
