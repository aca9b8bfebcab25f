//! Between arrays of the model and tensors of a capture.

use capture::{DType, Shape, Tensor};
use half::{bf16, f16};
use ndarray::{ArrayD, ArrayViewD};

/// Why a tensor is not the array that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    DType { found: DType },
    Shape { found: Shape },
}

/// An `F32` tensor in C order, however the array lies in memory.
pub(crate) fn from_array(array: &ArrayViewD<'_, f32>) -> Tensor {
    tensor(DType::F32, array.shape(), to_bytes(array.iter().copied()))
}

/// Little-endian bytes.
pub(crate) fn to_bytes(values: impl ExactSizeIterator<Item = f32>) -> Vec<u8> {
    // Written into place: collecting bytes one by one takes many times as long.
    let mut bytes = vec![0; values.len() * size_of::<f32>()];
    for (place, value) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
        *place = value.to_le_bytes();
    }
    bytes
}

/// An `I64` tensor.
pub(crate) fn from_ids(dimensions: &[usize], ids: impl Iterator<Item = i64>) -> Tensor {
    tensor(DType::I64, dimensions, ids.flat_map(i64::to_le_bytes).collect())
}

/// A `U8` tensor of rank 1.
pub(crate) fn from_bytes(bytes: &[u8]) -> Tensor {
    tensor(DType::U8, &[bytes.len()], bytes.to_vec())
}

fn tensor(dtype: DType, dimensions: &[usize], bytes: Vec<u8>) -> Tensor {
    Shape::new(dimensions)
        .map_err(Into::into)
        .and_then(|shape| Tensor::new(dtype, shape, bytes))
        .expect("what is in memory already has a shape that fits")
}

/// The array in a tensor of exactly that shape. `F16` and `BF16` become f32, exactly.
pub(crate) fn to_array(tensor: &Tensor, dimensions: &[usize]) -> Result<ArrayD<f32>, Mismatch> {
    if tensor.shape().dimensions() != dimensions {
        return Err(Mismatch::Shape { found: tensor.shape().clone() });
    }
    let values = floats(tensor).ok_or(Mismatch::DType { found: tensor.dtype() })?;
    ArrayD::from_shape_vec(dimensions, values).map_err(|_| Mismatch::Shape { found: tensor.shape().clone() })
}

fn floats(tensor: &Tensor) -> Option<Vec<f32>> {
    let bytes = tensor.bytes();
    match tensor.dtype() {
        DType::F32 => Some(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()),
        DType::F16 => Some(bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect()),
        DType::BF16 => Some(bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect()),
        _ => None,
    }
}
