//! The wall between NumPy and captures.

use capture::{Capture, DType, Precision, Shape, Tensor, TensorName};
use numpy::{PyArray1, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::error::JobError;

/// Refusals named in a message; the count tells the rest.
const NAMED: usize = 5;

/// Brings in what a session returned: a `dict` of arrays by name. Every array is checked, and all that are wrong are
/// refused in one message.
///
/// One array at a time is copied and let go, so that the result is not held twice.
pub(crate) fn take_in(result: Bound<'_, PyAny>, precision: Precision) -> Result<Capture, JobError> {
    let Ok(arrays) = result.cast::<PyDict>() else {
        return Err(JobError::Refused(format!("the session returned {}; expected a dict", kind(&result))));
    };
    // A copy, because the session may keep its own.
    let arrays = arrays.copy()?;
    drop(result);
    let total = arrays.len();
    let mut capture = Capture::default();
    let mut refused = Vec::new();
    while !arrays.is_empty() {
        let (name, array): (Bound<'_, PyAny>, Bound<'_, PyAny>) =
            arrays.call_method0("popitem")?.extract()?;
        if let Err(problem) = take_in_one(&mut capture, &name, &array, precision) {
            refused.push(format!("{}: {problem}", name.repr()?.to_string_lossy()));
        }
    }
    if total == 0 {
        return Err(JobError::Refused("the session returned no arrays".to_owned()));
    }
    if refused.is_empty() { Ok(capture) } else { Err(refusal(refused, total)) }
}

fn take_in_one(
    capture: &mut Capture,
    name: &Bound<'_, PyAny>,
    array: &Bound<'_, PyAny>,
    precision: Precision,
) -> Result<(), String> {
    let name = parse_name(name)?;
    let array = exact_array(array)?;
    let dtype = dtype(array, precision)?;
    let shape = Shape::new(array.shape()).map_err(|error| error.to_string())?;
    let bytes = bytes(array).map_err(|error| error.to_string())?;
    let tensor = Tensor::new(dtype, shape, bytes).map_err(|error| error.to_string())?;
    if !array.is_c_contiguous() {
        capture.not_contiguous.insert(name.clone());
    }
    capture.tensors.insert(name, tensor);
    Ok(())
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

/// Row-major bytes, copied once.
fn bytes(array: &Bound<'_, PyUntypedArray>) -> PyResult<Vec<u8>> {
    // A view of what is contiguous, else a copy in row-major order.
    let bytes = array.call_method0("ravel")?.call_method1("view", ("|u1",))?;
    Ok(bytes.cast_into::<PyArray1<u8>>()?.to_vec()?)
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
