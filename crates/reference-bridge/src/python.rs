//! The Python environment: found, entered, activated.

use std::env;
use std::ffi::{CStr, OsString};
use std::iter;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::{WorkerError, note};

const PYTHON_ENV: &str = "TRIALPLATE_PYTHON_ENV";
const REFERENCE: &str = "TRIALPLATE_REFERENCE";
/// The Python this binary is linked with: `3.11`.
const PYTHON_VERSION: &str = env!("PYTHON_VERSION");
/// What the C library is told.
///
/// The locale: an embedded interpreter reads text as ASCII where a shell has none, other than `python3`, which helps
/// itself. Memory that was used is kept: activations follow one another that have the same sizes, and pages that come
/// fresh from the system each time cost time. 32 MiB is the largest threshold there is; what is larger goes back.
const FIXED: [(&str, &str); 3] =
    [("LC_ALL", "C.UTF-8"), ("MALLOC_MMAP_THRESHOLD_", "33554432"), ("MALLOC_TRIM_THRESHOLD_", "4294967296")];
const ACTIVATE: &CStr = pyo3::ffi::c_str!(include_str!("activate.py"));

/// Where Python and the reference are.
#[derive(Debug)]
pub(crate) struct Environment {
    /// A virtual environment.
    python_env: PathBuf,
    /// The folder that holds the package `trialplate_reference`.
    reference: PathBuf,
}

impl Environment {
    /// Looks at what the variables name before an interpreter is started, whose own complaint would be a fatal one.
    pub(crate) fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, WorkerError> {
        let folder = |name: &str| {
            let value = variable(name).filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| missing(format!("{name} is not set")))?;
            std::path::absolute(&value)
                .map_err(|error| missing(format!("{name} is {}: {error}", value.display())))
        };
        let found = Self { python_env: folder(PYTHON_ENV)?, reference: folder(REFERENCE)? };
        expect(PYTHON_ENV, &found.python_env, "pyvenv.cfg", "is not a virtual environment")?;
        expect(PYTHON_ENV, &found.python_env, "bin/python3", "has no working interpreter")?;
        let packages = format!("lib/python{PYTHON_VERSION}/site-packages");
        let other_python = format!("is not of Python {PYTHON_VERSION}, which this worker was built with");
        expect(PYTHON_ENV, &found.python_env, &packages, &other_python)?;
        let package = "trialplate_reference/__init__.py";
        expect(REFERENCE, &found.reference, package, "does not hold the package trialplate_reference")?;
        Ok(found)
    }

    /// Makes sure that this process was started as in the activated environment, else starts it again that way.
    ///
    /// An embedded interpreter finds its standard library and its packages as the `python3` that is first on `PATH`
    /// would, and obeys every `PYTHON…` variable. Both are read from the environment of the process, which safe code
    /// cannot change while it runs. Adding the site-packages afterwards is not enough: packages of the user or
    /// the system would go before the locked ones, and a relocated Python would not find its standard library.
    pub(crate) fn enter(&self) -> Result<(), WorkerError> {
        let bin = self.python_env.join("bin");
        let path = env::var_os("PATH").unwrap_or_default();
        let foreign = || env::vars_os().map(|(name, _)| name).filter(is_of_python);
        let fixed = FIXED.iter().all(|(name, value)| env::var_os(name).is_some_and(|set| set == *value));
        if fixed && foreign().next().is_none() && env::split_paths(&path).next().as_ref() == Some(&bin) {
            return Ok(());
        }
        let path = env::join_paths(iter::once(bin).chain(env::split_paths(&path)))
            .map_err(|error| missing(format!("{PYTHON_ENV} cannot be put on PATH: {error}")))?;
        let program =
            env::current_exe().map_err(|error| missing(format!("the worker cannot find itself: {error}")))?;
        let mut again = Command::new(&program);
        for name in foreign() {
            again.env_remove(name);
        }
        let error = again.args(env::args_os().skip(1)).envs(FIXED).env("PATH", path).exec();
        Err(missing(format!("{} cannot be started again: {error}", program.display())))
    }

    /// Starts the interpreter, checks that it is the environment's, and puts the reference on its path.
    pub(crate) fn activate(&self) -> Result<(), WorkerError> {
        Python::attach(|py| {
            self.expect_prefix(py)?;
            let globals = PyDict::new(py);
            globals
                .set_item("reference", self.reference.as_os_str())
                .and_then(|()| py.run(ACTIVATE, Some(&globals), None))
                .map_err(|error| missing(format!("Python cannot be prepared: {}", raised(py, &error))))
        })
    }

    fn expect_prefix(&self, py: Python<'_>) -> Result<(), WorkerError> {
        let prefix = py.import("sys").and_then(|sys| sys.getattr("prefix")?.extract::<PathBuf>());
        let prefix = prefix.map_err(|error| missing(format!("sys.prefix: {}", raised(py, &error))))?;
        if prefix.canonicalize().ok() == self.python_env.canonicalize().ok() {
            return Ok(());
        }
        let (found, expected) = (prefix.display(), self.python_env.display());
        Err(missing(format!("Python started in {found}, expected {expected} ({PYTHON_ENV})")))
    }
}

/// What the interpreter would do at its end, which an embedded one does not reach: temporary files are removed.
pub(crate) fn run_exit_functions() {
    Python::attach(|py| {
        let run = py.import("atexit").and_then(|atexit| atexit.call_method0("_run_exitfuncs"));
        if let Err(error) = run {
            note(format_args!("at exit: {}", raised(py, &error)));
        }
    });
}

/// `ValueError: what it says`. The traceback goes to standard error.
pub(crate) fn raised(py: Python<'_>, error: &PyErr) -> String {
    // `PyErr::print` would exit the process on SystemExit; this does not.
    error.display(py);
    let kind = error.get_type(py).fully_qualified_name().map_or_else(
        |_| "an exception without a name".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    match error.value(py).str().map(|message| message.to_string_lossy().into_owned()) {
        Ok(message) if message.is_empty() => kind,
        Ok(message) => format!("{kind}: {message}"),
        Err(_) => format!("{kind}, whose message cannot be printed"),
    }
}

fn expect(name: &str, folder: &Path, entry: &str, else_it: &str) -> Result<(), WorkerError> {
    // Follows links, so an interpreter that has been uninstalled is noticed.
    if folder.join(entry).exists() {
        return Ok(());
    }
    Err(missing(format!("{name} is {}, which {else_it}: it has no {entry}", folder.display())))
}

fn missing(problem: String) -> WorkerError {
    WorkerError::Environment(problem)
}

fn is_of_python(name: &OsString) -> bool {
    name.as_encoded_bytes().starts_with(b"PYTHON")
}

#[cfg(test)]
mod tests;
