//! The wall between NumPy and captures.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use capture::{CaptureWriter, DType, Precision, Shape, Sink, TensorName, TensorView};
use numpy::{PyArray1, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyString};

use crate::error::JobError;

/// Refusals named in a message; the count tells the rest.
const NAMED: usize = 5;

/// What a session has shown so far.
struct Shown {
    capture: CaptureWriter,
    precision: Precision,
    names: BTreeSet<TensorName>,
    total: usize,
    refused: Vec<String>,
}

/// Lets a session show its arrays, by a function `put(name, array)` that is handed to it. Each array is checked and
/// written before `put` returns, and nothing of it is kept; all that are wrong are refused in one message.
pub(crate) fn take_in(
    py: Python<'_>,
    capture: CaptureWriter,
    precision: Precision,
    show: impl FnOnce(Bound<'_, PyCFunction>) -> PyResult<()>,
) -> Result<CaptureWriter, JobError> {
    let shown = Shown { capture, precision, names: BTreeSet::new(), total: 0, refused: Vec::new() };
    let shown = Arc::new(Mutex::new(Some(shown)));
    let of_put = Arc::clone(&shown);
    let put = PyCFunction::new_closure(py, Some(c"put"), None, move |arguments, _| -> PyResult<()> {
        let (name, array): (Bound<'_, PyAny>, Bound<'_, PyAny>) = arguments.extract()?;
        match of_put.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(shown) => shown.put(&name, &array),
            None => Err(PyRuntimeError::new_err("the capture is finished; nothing can be put into it")),
        }
    })?;
    show(put)?;
    let shown = shown.lock().unwrap_or_else(PoisonError::into_inner).take();
    shown.ok_or_else(|| JobError::Refused("the session showed no arrays".to_owned()))?.finish()
}

impl Shown {
    fn put(&mut self, name: &Bound<'_, PyAny>, array: &Bound<'_, PyAny>) -> PyResult<()> {
        self.total += 1;
        if let Err(problem) = self.put_one(name, array) {
            self.refused.push(format!("{}: {problem}", name.repr()?.to_string_lossy()));
        }
        Ok(())
    }

    fn put_one(&mut self, name: &Bound<'_, PyAny>, array: &Bound<'_, PyAny>) -> Result<(), String> {
        let name = parse_name(name)?;
        let array = exact_array(array)?;
        let dtype = dtype(array, self.precision)?;
        let shape = Shape::new(array.shape()).map_err(|error| error.to_string())?;
        if !self.names.insert(name.clone()) {
            return Err("the name comes twice".to_owned());
        }
        let bytes = bytes(array).map_err(|error| error.to_string())?;
        let bytes = bytes.try_readonly().map_err(|error| error.to_string())?;
        let bytes = bytes.as_slice().map_err(|error| error.to_string())?;
        let tensor = TensorView::new(dtype, &shape, bytes).map_err(|error| error.to_string())?;
        self.capture.put(name, tensor, array.is_c_contiguous());
        Ok(())
    }

    fn finish(self) -> Result<CaptureWriter, JobError> {
        if self.total == 0 {
            return Err(JobError::Refused("the session showed no arrays".to_owned()));
        }
        if self.refused.is_empty() { Ok(self.capture) } else { Err(refusal(self.refused, self.total)) }
    }
}

fn parse_name(name: &Bound<'_, PyAny>) -> Result<TensorName, String> {
    let text = name.cast::<PyString>().map_err(|_| format!("the name is {}; expected str", kind(name)))?;
    let text = text.to_str().map_err(|error| error.to_string())?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/');
    // `__metadata__` is the one name that safetensors keeps for itself.
    let parsed = TensorName::parse(text).filter(|_| text.chars().all(allowed) && text != "__metadata__");
    parsed
        .ok_or_else(|| "not a tensor's name; expected one like `step0/h.0.attn.q` or `generated`".to_owned())
}

/// Subclasses are refused: a masked array or a matrix means something else by the same bytes.
fn exact_array<'a, 'py>(value: &'a Bound<'py, PyAny>) -> Result<&'a Bound<'py, PyUntypedArray>, String> {
    value.cast_exact().map_err(|_| format!("found {}; expected numpy.ndarray", kind(value)))
}

/// Floats are in the session's precision; no other floats, no objects, no foreign byte order.
fn dtype(array: &Bound<'_, PyUntypedArray>, precision: Precision) -> Result<DType, String> {
    let found = array.dtype();
    let spelling = found.getattr("str").and_then(|text| text.extract::<String>());
    let dtype = match spelling.map_err(|error| error.to_string())?.as_str() {
        "<f8" => Some(DType::F64),
        "<f4" => Some(DType::F32),
        "<i8" => Some(DType::I64),
        "|u1" => Some(DType::U8),
        _ => None,
    };
    dtype
        .filter(|dtype| !dtype.is_float() || *dtype == precision.dtype())
        .ok_or_else(|| format!("dtype {found}; expected float of {precision}, int64 or uint8, little endian"))
}

/// Row-major bytes: a view of what is contiguous, else a copy in row-major order.
fn bytes<'py>(array: &Bound<'py, PyUntypedArray>) -> PyResult<Bound<'py, PyArray1<u8>>> {
    let bytes = array.call_method0("ravel")?.call_method1("view", ("|u1",))?;
    Ok(bytes.cast_into::<PyArray1<u8>>()?)
}

fn kind(value: &Bound<'_, PyAny>) -> String {
    value.get_type().fully_qualified_name().map_or_else(
        |_| "an object of a nameless type".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

fn refusal(mut refused: Vec<String>, total: usize) -> JobError {
    refused.sort();
    let count = refused.len();
    refused.truncate(NAMED);
    let more = if count > NAMED { "; …" } else { "" };
    JobError::Refused(format!("{count} of {total} arrays were refused: {}{more}", refused.join("; ")))
}
