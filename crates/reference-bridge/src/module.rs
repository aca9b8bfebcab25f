//! A module of Python, run in the worker's interpreter as `python -m` would.

use std::ffi::OsString;
use std::process::ExitCode;

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::python::{Environment, raised, run_exit_functions};
use crate::{WorkerError, note};

/// Runs a module that is named first, with the arguments that follow. Standard output is the module's.
pub fn run_module(arguments: Vec<OsString>) -> Result<ExitCode, WorkerError> {
    let Some(module) = arguments.first() else {
        return Err(WorkerError::Arguments("-m".into()));
    };
    let environment = Environment::from_variables(|name| std::env::var_os(name))?;
    environment.enter()?;
    environment.activate()?;
    let code = Python::attach(|py| match run_as_main(py, module, &arguments) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.is_instance_of::<PySystemExit>(py) => Ok(exit_code(py, &error)),
        Err(error) => Err(WorkerError::Module(raised(py, &error))),
    });
    run_exit_functions();
    code
}

fn run_as_main(py: Python<'_>, module: &OsString, arguments: &[OsString]) -> PyResult<()> {
    let sys = py.import("sys")?;
    sys.setattr("stdout", sys.getattr("__stdout__")?)?;
    sys.setattr("argv", PyList::new(py, arguments)?)?;
    let options = PyDict::new(py);
    options.set_item("run_name", "__main__")?;
    options.set_item("alter_sys", true)?;
    let ran = py.import("runpy")?.call_method("run_module", (module,), Some(&options)).map(drop);
    sys.getattr("stdout")?.call_method0("flush")?;
    ran
}

/// As the interpreter would: nothing is success, a number itself, and anything else is said and is failure.
fn exit_code(py: Python<'_>, exit: &PyErr) -> ExitCode {
    match exit.value(py).getattr("code") {
        Ok(code) if code.is_none() => ExitCode::SUCCESS,
        Ok(code) => code.extract::<u8>().map_or_else(
            |_| {
                note(code);
                ExitCode::FAILURE
            },
            ExitCode::from,
        ),
        Err(_) => ExitCode::FAILURE,
    }
}
