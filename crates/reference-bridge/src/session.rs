//! A session of the Python package `trialplate_reference`.

use capture::protocol::{Job, WorkList};
use capture::worker::Session;
use capture::{CaptureWriter, Identity, Precision};
use pyo3::exceptions::{PyImportError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::WorkerError;
use crate::arrays;
use crate::error::JobError;
use crate::python::raised;

/// An opened reference: the model is loaded.
pub(crate) struct PythonSession {
    session: Py<PyAny>,
    identity: Identity,
    precision: Precision,
}

impl PythonSession {
    /// Imports the reference and opens the implementation that the work list asks for.
    pub(crate) fn open(list: &WorkList) -> Result<Self, WorkerError> {
        Python::attach(|py| {
            Self::open_in(py, list).map_err(|error| {
                let problem = raised(py, &error);
                if error.is_instance_of::<PyImportError>(py) {
                    WorkerError::Environment(problem)
                } else {
                    WorkerError::Session { implementation: list.implementation.clone(), problem }
                }
            })
        })
    }

    fn open_in(py: Python<'_>, list: &WorkList) -> PyResult<Self> {
        // The array bindings panic without NumPy; an import says so.
        py.import("numpy")?;
        let session = py.import("trialplate_reference")?.call_method1(
            "open_session",
            (&list.implementation, list.precision.name(), &list.model.to_string_lossy(), list.threads),
        )?;
        let identity = identity(&session)?;
        if (identity.name.as_str(), identity.precision) != (list.implementation.as_str(), list.precision) {
            return Err(PyValueError::new_err(format!(
                "the session says it is {identity}; expected {}@{}",
                list.implementation, list.precision
            )));
        }
        Ok(Self { session: session.unbind(), identity, precision: list.precision })
    }
}

impl Session for PythonSession {
    type Error = JobError;

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn attempt(&mut self, job: &Job, capture: CaptureWriter) -> Result<CaptureWriter, JobError> {
        Python::attach(|py| {
            let case = as_python(py, serde_json::to_string(&job.case))?;
            arrays::take_in(py, capture, self.precision, |put| {
                self.session.bind(py).call_method1("show", (case, put)).map(drop)
            })
        })
    }
}

/// Identity and case cross the border as JSON, so that one strict reader holds for both.
fn identity(session: &Bound<'_, PyAny>) -> PyResult<Identity> {
    let found = session.call_method0("identity")?;
    let text: String = session.py().import("json")?.call_method1("dumps", (found,))?.extract()?;
    serde_json::from_str(&text).map_err(|error| PyValueError::new_err(format!("identity is {text}: {error}")))
}

fn as_python(py: Python<'_>, json: serde_json::Result<String>) -> PyResult<Bound<'_, PyDict>> {
    let text = json.map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(py.import("json")?.call_method1("loads", (text,))?.cast_into()?)
}
