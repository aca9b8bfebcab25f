//! The compiled rules of magnitudes, as the module `trialplate_magnitude`.
//!
//! Arrays are C-contiguous: activations in f64, errors and weights in f32. A rule that has no finite answer in f32 gives
//! None.

use magnitude::Confidence;
use numpy::{
    PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyReadwriteArrayDyn, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

type Activation<'py> = PyReadonlyArrayDyn<'py, f64>;
type Single<'py> = PyReadonlyArrayDyn<'py, f32>;
type Bounds<'py> = Bound<'py, PyArrayDyn<f32>>;

const MODULE: &str = "trialplate_magnitude";

/// Makes the module importable.
pub(crate) fn register(py: Python<'_>) -> PyResult<()> {
    let module = PyModule::new(py, MODULE)?;
    for rule in [
        wrap_pyfunction!(add, &module)?,
        wrap_pyfunction!(gelu, &module)?,
        wrap_pyfunction!(layer_norm, &module)?,
        wrap_pyfunction!(softmax, &module)?,
        wrap_pyfunction!(weigh, &module)?,
        wrap_pyfunction!(complete, &module)?,
    ] {
        module.add_function(rule)?;
    }
    py.import("sys")?.getattr("modules")?.set_item(MODULE, module)
}

#[pyfunction]
#[pyo3(signature = (sum, first=None, second=None))]
fn add<'py>(
    py: Python<'py>,
    sum: Activation<'py>,
    first: Option<Single<'py>>,
    second: Option<Single<'py>>,
) -> PyResult<Option<Bounds<'py>>> {
    same_shape(&sum, &[&first, &second])?;
    let bounds = magnitude::add(sum.as_slice()?, [slice(&first)?, slice(&second)?]);
    bounds.map(|bounds| shaped(py, bounds, sum.shape())).transpose()
}

#[pyfunction]
#[pyo3(signature = (x, error=None))]
fn gelu<'py>(
    py: Python<'py>,
    x: Activation<'py>,
    error: Option<Single<'py>>,
) -> PyResult<Option<Bounds<'py>>> {
    same_shape(&x, &[&error])?;
    let bounds = magnitude::gelu(x.as_slice()?, slice(&error)?);
    bounds.map(|bounds| shaped(py, bounds, x.shape())).transpose()
}

#[pyfunction]
fn layer_norm<'py>(
    py: Python<'py>,
    confidence: f64,
    epsilon: f64,
    weight: Single<'py>,
    bias: Single<'py>,
    x: Activation<'py>,
    error: Option<Single<'py>>,
) -> PyResult<Option<[Bounds<'py>; 2]>> {
    same_shape(&x, &[&error])?;
    let row = [width(&x)?];
    if weight.shape() != row || bias.shape() != row {
        return Err(PyValueError::new_err(format!(
            "weight and bias have the shapes {:?} and {:?}; expected {row:?}",
            weight.shape(),
            bias.shape()
        )));
    }
    let weights = [weight.as_slice()?, bias.as_slice()?];
    let bounds =
        magnitude::layer_norm(accepted(confidence)?, x.as_slice()?, slice(&error)?, epsilon, weights);
    let Some([normalized, output]) = bounds else { return Ok(None) };
    Ok(Some([shaped(py, normalized, x.shape())?, shaped(py, output, x.shape())?]))
}

#[pyfunction]
fn softmax<'py>(
    py: Python<'py>,
    confidence: f64,
    z: Activation<'py>,
    probs: Activation<'py>,
    error: Option<Single<'py>>,
) -> PyResult<Option<Bounds<'py>>> {
    same_shape(&z, &[&error])?;
    expect_shape(probs.shape(), z.shape())?;
    let bounds = magnitude::softmax(
        accepted(confidence)?,
        width(&z)?,
        z.as_slice()?,
        probs.as_slice()?,
        slice(&error)?,
    );
    bounds.map(|bounds| shaped(py, bounds, z.shape())).transpose()
}

/// The weighed rows, and the count of terms of each.
#[pyfunction]
fn weigh<'py>(
    py: Python<'py>,
    confidence: f64,
    x: Activation<'py>,
    error: Option<Single<'py>>,
    bias: bool,
) -> PyResult<Option<(Bounds<'py>, Bound<'py, PyArray1<f32>>)>> {
    same_shape(&x, &[&error])?;
    let weighed = magnitude::weigh(accepted(confidence)?, width(&x)?, x.as_slice()?, slice(&error)?, bias);
    let Some(weighed) = weighed else { return Ok(None) };
    Ok(Some((shaped(py, weighed.factors, x.shape())?, PyArray1::from_vec(py, weighed.counts))))
}

/// In place; whether all bounds are finite.
#[pyfunction]
fn complete(
    confidence: f64,
    mut bounds: PyReadwriteArrayDyn<'_, f32>,
    result: Activation<'_>,
    counts: Single<'_>,
    bias: Option<Single<'_>>,
    scale: Option<f32>,
) -> PyResult<bool> {
    expect_shape(result.shape(), bounds.shape())?;
    let width = width(&result)?;
    expect_shape(&[counts.len() * width], &[result.len()])?;
    if let Some(bias) = &bias {
        expect_shape(bias.shape(), &[width])?;
    }
    let (counts, result) = (counts.as_slice()?, result.as_slice()?);
    let confidence = accepted(confidence)?;
    Ok(magnitude::complete(confidence, bounds.as_slice_mut()?, result, counts, slice(&bias)?, scale))
}

fn accepted(confidence: f64) -> PyResult<Confidence> {
    Confidence::new(confidence).ok_or_else(|| {
        PyValueError::new_err(format!("the confidence is {confidence}; expected a number above 0"))
    })
}

fn slice<'a>(array: &'a Option<Single<'_>>) -> PyResult<Option<&'a [f32]>> {
    Ok(array.as_ref().map(PyReadonlyArrayDyn::as_slice).transpose()?)
}

fn shaped<'py>(py: Python<'py>, bounds: Vec<f32>, shape: &[usize]) -> PyResult<Bounds<'py>> {
    PyArray1::from_vec(py, bounds).reshape(shape)
}

/// The last axis.
fn width(x: &Activation<'_>) -> PyResult<usize> {
    let width = x.shape().last().copied().filter(|&width| width > 0);
    width.ok_or_else(|| PyValueError::new_err(format!("the shape {:?} has no rows", x.shape())))
}

fn same_shape(x: &Activation<'_>, errors: &[&Option<Single<'_>>]) -> PyResult<()> {
    errors.iter().copied().flatten().try_for_each(|error| expect_shape(error.shape(), x.shape()))
}

fn expect_shape(found: &[usize], expected: &[usize]) -> PyResult<()> {
    if found == expected {
        return Ok(());
    }
    Err(PyValueError::new_err(format!("an operand has the shape {found:?}; expected {expected:?}")))
}
