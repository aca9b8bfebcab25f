//! Finds an interpreter that the references can live in.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::process;

/// Names the interpreter to use, and none other is tried.
pub(crate) const CHOICE: &str = "TRIALPLATE_PYTHON";

const CANDIDATES: [&str; 4] = ["python3.13", "python3.12", "python3.11", "python3"];
const PROBE: &str = include_str!("../python/probe.py");

/// How to come by one.
pub(crate) const ADVICE: &str = "install Python 3.11 or newer with its shared library (Debian, Ubuntu: `apt-get install python3-venv \
     libpython3-dev`; Fedora: `dnf install python3-devel`; pyenv: `PYTHON_CONFIGURE_OPTS=--enable-shared pyenv \
     install 3.11`; Homebrew: `brew install python@3.13`), or set TRIALPLATE_PYTHON to one that you have";

/// An interpreter that can be embedded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Interpreter {
    /// The interpreter itself, never that of a virtual environment.
    pub(crate) executable: PathBuf,
    /// As in `3.11.7`.
    pub(crate) version: String,
    /// The shared library that programs are linked against.
    pub(crate) library: PathBuf,
}

#[derive(Deserialize)]
struct Told {
    version: String,
    executable: PathBuf,
    library: PathBuf,
    linkable: bool,
    venv: bool,
}

/// The interpreter that the user named, or the first suitable one on the PATH.
pub(crate) fn find() -> Result<Interpreter, Failure> {
    find_among(env::var_os(CHOICE), &CANDIDATES)
}

fn find_among(named: Option<OsString>, candidates: &[&str]) -> Result<Interpreter, Failure> {
    if let Some(named) = named {
        return probe(&named).map_err(|reason| {
            Failure::new(format!("{CHOICE} is {}, which {reason}", Path::new(&named).display()))
                .expected("Python 3.11 or newer with a shared libpython and the module venv")
                .advice(format!("unset {CHOICE}, or set it to a suitable interpreter"))
        });
    }
    let mut passed_over = Vec::new();
    for candidate in candidates {
        match probe(OsStr::new(candidate)) {
            Ok(interpreter) => return Ok(interpreter),
            Err(reason) => passed_over.push(format!("{candidate} {reason}")),
        }
    }
    Err(Failure::new("no suitable Python was found")
        .said(passed_over)
        .expected("Python 3.11 or newer with a shared libpython and the module venv, on the PATH")
        .advice(ADVICE))
}

/// Asks one interpreter; the reason why not as the rest of a sentence that begins with its name.
pub(crate) fn probe(program: &OsStr) -> Result<Interpreter, String> {
    let said = process::output(Command::new(program).args(["-I", "-c", PROBE]))
        .map_err(|reason| format!("does not run ({reason})"))?;
    let told: Told =
        serde_json::from_str(&said).map_err(|error| format!("cannot be asked what it is ({error})"))?;
    judge(told)
}

fn judge(told: Told) -> Result<Interpreter, String> {
    let Told { version, executable, library, linkable, venv } = told;
    let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
    if (parts.next(), parts.next()) < (Some(3), Some(11)) {
        return Err(format!("is version {version}: 3.11 or newer is needed"));
    }
    if !linkable {
        return Err(format!("is version {version} without a shared libpython: no {}", library.display()));
    }
    if !venv {
        return Err(format!("is version {version} without the modules venv and ensurepip"));
    }
    Ok(Interpreter { executable, version, library })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(version: &str, linkable: bool, venv: bool) -> Told {
        Told {
            version: version.into(),
            executable: "py".into(),
            library: "lib/libpython.so".into(),
            linkable,
            venv,
        }
    }

    #[test]
    fn an_interpreter_must_be_new_enough_linkable_and_able_to_make_environments() {
        assert_eq!(judge(told("3.11.0", true, true)).unwrap().version, "3.11.0");
        assert!(judge(told("3.13.1", true, true)).is_ok());
        assert!(judge(told("3.9.18", true, true)).unwrap_err().contains("3.11 or newer"));
        assert!(judge(told("2.7.18", true, true)).unwrap_err().contains("3.11 or newer"));
        assert!(judge(told("3.11.7", false, true)).unwrap_err().contains("no lib/libpython.so"));
        assert!(judge(told("3.11.7", true, false)).unwrap_err().contains("ensurepip"));
    }

    #[test]
    fn an_interpreter_that_is_named_is_not_replaced_by_another() {
        let failure = find_among(Some("trialplate-no-python".into()), &CANDIDATES).unwrap_err().to_string();
        assert!(failure.contains("TRIALPLATE_PYTHON is trialplate-no-python"), "{failure}");
    }

    #[test]
    fn when_none_is_found_each_is_named_with_its_reason() {
        let failure = find_among(None, &["trialplate-no-python", "true"]).unwrap_err().to_string();
        assert!(failure.contains("trialplate-no-python does not run"), "{failure}");
        assert!(failure.contains("true cannot be asked what it is"), "{failure}");
        assert!(failure.contains("do this:"), "{failure}");
    }
}
