//! A tensor: dtype, shape and little-endian row-major bytes whose length is known to fit them.

use half::{bf16, f16};

use crate::{DType, Shape, ShapeError};

/// An owned tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    dtype: DType,
    shape: Shape,
    bytes: Vec<u8>,
}

/// A borrowed tensor.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    dtype: DType,
    shape: &'a Shape,
    bytes: &'a [u8],
}

/// Why bytes do not make a tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// The byte length contradicts dtype and shape.
    #[error("{dtype} tensor of shape {shape} needs {expected} bytes, found {found}")]
    Length {
        /// Declared dtype.
        dtype: DType,
        /// Declared shape.
        shape: Shape,
        /// Bytes that dtype and shape need.
        expected: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// The dimensions are not a shape.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A `BOOL` byte other than 0 and 1.
    #[error("BOOL tensor holds the byte {byte} at element {element}; only 0 and 1 are allowed")]
    NotABool {
        /// Row-major position.
        element: usize,
        /// The byte found.
        byte: u8,
    },
    /// Elements were asked for in another dtype than the tensor's.
    #[error("tensor is {found}, {expected} was asked for")]
    DType {
        /// The dtype asked for.
        expected: DType,
        /// The tensor's dtype.
        found: DType,
    },
}

impl Tensor {
    /// A tensor over little-endian row-major `bytes`.
    pub fn new(dtype: DType, shape: Shape, bytes: Vec<u8>) -> Result<Self, TensorError> {
        TensorView::new(dtype, &shape, &bytes)?;
        Ok(Self { dtype, shape, bytes })
    }

    /// An `F32` tensor.
    pub fn from_f32(dimensions: &[usize], values: &[f32]) -> Result<Self, TensorError> {
        Self::new(DType::F32, Shape::new(dimensions)?, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// An `F64` tensor.
    pub fn from_f64(dimensions: &[usize], values: &[f64]) -> Result<Self, TensorError> {
        Self::new(DType::F64, Shape::new(dimensions)?, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// An `I64` tensor.
    pub fn from_i64(dimensions: &[usize], values: &[i64]) -> Result<Self, TensorError> {
        Self::new(DType::I64, Shape::new(dimensions)?, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// A `U8` tensor.
    pub fn from_u8(dimensions: &[usize], values: &[u8]) -> Result<Self, TensorError> {
        Self::new(DType::U8, Shape::new(dimensions)?, values.to_vec())
    }

    /// The tensor, borrowed.
    pub fn view(&self) -> TensorView<'_> {
        TensorView { dtype: self.dtype, shape: &self.shape, bytes: &self.bytes }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Little-endian row-major bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<'a> TensorView<'a> {
    /// A view over little-endian row-major `bytes`; the length must fit, and booleans must be 0 or 1.
    pub fn new(dtype: DType, shape: &'a Shape, bytes: &'a [u8]) -> Result<Self, TensorError> {
        let expected = shape.elements() * dtype.size();
        if bytes.len() != expected {
            return Err(TensorError::Length { dtype, shape: shape.clone(), expected, found: bytes.len() });
        }
        if dtype == DType::Bool
            && let Some(element) = bytes.iter().position(|&byte| byte > 1)
        {
            return Err(TensorError::NotABool { element, byte: bytes[element] });
        }
        Ok(Self { dtype, shape, bytes })
    }

    /// Element type.
    pub fn dtype(self) -> DType {
        self.dtype
    }

    /// Shape.
    pub fn shape(self) -> &'a Shape {
        self.shape
    }

    /// Little-endian row-major bytes.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// An owned copy.
    pub fn to_tensor(self) -> Tensor {
        Tensor { dtype: self.dtype, shape: self.shape.clone(), bytes: self.bytes.to_vec() }
    }

    /// Elements of an `F32` tensor.
    pub fn to_f32(self) -> Result<Vec<f32>, TensorError> {
        self.expect_dtype(DType::F32)?;
        Ok(self.bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect())
    }

    /// Elements of an `I64` tensor.
    pub fn to_i64(self) -> Result<Vec<i64>, TensorError> {
        self.expect_dtype(DType::I64)?;
        Ok(self.bytes.as_chunks::<8>().0.iter().map(|&b| i64::from_le_bytes(b)).collect())
    }

    /// Elements as f64. Exact for every dtype but `I64` beyond ±2⁵³.
    pub fn to_f64_lossy(self) -> Vec<f64> {
        let b = self.bytes;
        match self.dtype {
            DType::F64 => b.as_chunks::<8>().0.iter().map(|&b| f64::from_le_bytes(b)).collect(),
            DType::F32 => b.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b).into()).collect(),
            DType::F16 => b.as_chunks::<2>().0.iter().map(|&b| f16::from_le_bytes(b).to_f64()).collect(),
            DType::BF16 => b.as_chunks::<2>().0.iter().map(|&b| bf16::from_le_bytes(b).to_f64()).collect(),
            #[expect(clippy::cast_precision_loss, reason = "documented: lossy beyond ±2⁵³")]
            DType::I64 => b.as_chunks::<8>().0.iter().map(|&b| i64::from_le_bytes(b) as f64).collect(),
            DType::I32 => b.as_chunks::<4>().0.iter().map(|&b| i32::from_le_bytes(b).into()).collect(),
            DType::U8 | DType::Bool => b.iter().map(|&b| b.into()).collect(),
        }
    }

    fn expect_dtype(self, expected: DType) -> Result<(), TensorError> {
        if self.dtype == expected { Ok(()) } else { Err(TensorError::DType { expected, found: self.dtype }) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Tensor, TensorError, TensorView};
    use crate::{DType, Shape};

    #[test]
    fn bytes_must_fit_dtype_and_shape() {
        let shape = Shape::new([2, 3]).unwrap();
        for dtype in DType::ALL {
            let needed = 6 * dtype.size();
            assert!(Tensor::new(dtype, shape.clone(), vec![0; needed]).is_ok());
            for found in [0, needed - 1, needed + 1] {
                let error = Tensor::new(dtype, shape.clone(), vec![0; found]).unwrap_err();
                assert_eq!(
                    error,
                    TensorError::Length { dtype, shape: shape.clone(), expected: needed, found }
                );
            }
        }
    }

    #[test]
    fn values_must_fit_dimensions() {
        assert!(matches!(Tensor::from_f32(&[2, 2], &[0.0; 3]), Err(TensorError::Length { .. })));
        assert!(matches!(Tensor::from_i64(&[0], &[1]), Err(TensorError::Length { .. })));
        assert!(matches!(Tensor::from_f64(&[usize::MAX], &[]), Err(TensorError::Shape(_))));
    }

    #[test]
    fn booleans_are_zero_or_one() {
        let shape = Shape::new([3]).unwrap();
        assert!(TensorView::new(DType::Bool, &shape, &[0, 1, 1]).is_ok());
        let error = TensorView::new(DType::Bool, &shape, &[0, 1, 2]).unwrap_err();
        assert_eq!(error, TensorError::NotABool { element: 2, byte: 2 });
    }

    #[test]
    fn elements_come_back_as_they_went_in() {
        let values = [0.0, -0.0, 1.5, f32::MIN_POSITIVE / 2.0, f32::INFINITY, f32::MAX];
        let tensor = Tensor::from_f32(&[6], &values).unwrap();
        let bits: Vec<u32> = tensor.view().to_f32().unwrap().into_iter().map(f32::to_bits).collect();
        assert_eq!(bits, values.map(f32::to_bits));
        assert_eq!(tensor.view().to_f64_lossy(), values.map(f64::from));
        let tensor = Tensor::from_i64(&[2], &[i64::MIN, i64::MAX]).unwrap();
        assert_eq!(tensor.view().to_i64().unwrap(), [i64::MIN, i64::MAX]);
        let expected = TensorError::DType { expected: DType::F32, found: DType::I64 };
        assert_eq!(tensor.view().to_f32().unwrap_err(), expected);
    }
}
