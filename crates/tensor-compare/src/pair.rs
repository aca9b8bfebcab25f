//! The proof that two tensors may be compared.

use crate::{DType, Shape, Tensor, TensorView};

/// Two tensors of one shape and one dtype. Holding one *is* the proof: there is no other way to make it.
///
/// ```compile_fail,E0451
/// use tensor_compare::{Criterion, MatchedPair, Tensor, compare};
///
/// let stored = Tensor::from_f32(&[2, 12, 64], &[1.0; 1536]).unwrap();
/// let retrieved = Tensor::from_f32(&[12, 12, 64], &[1.0; 9216]).unwrap();
/// let unproved = MatchedPair { actual: retrieved.view(), expected: stored.view() };
/// compare(unproved, Criterion::BitExact);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MatchedPair<'a> {
    actual: TensorView<'a>,
    expected: TensorView<'a>,
}

/// A tensor, the f64 oracle's result for it and the magnitude of each element; all of one shape.
#[derive(Clone, Copy, Debug)]
pub struct OraclePair<'a> {
    actual: TensorView<'a>,
    oracle: TensorView<'a>,
    magnitude: Option<TensorView<'a>>,
}

/// Why two tensors may not be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutMismatch {
    /// The shapes differ.
    #[error("shape {found} found, {expected} expected")]
    Shape {
        /// The shape required.
        expected: Shape,
        /// The shape found.
        found: Shape,
    },
    /// The dtypes differ.
    #[error("dtype {found} found, {expected} expected")]
    DType {
        /// The dtype required.
        expected: DType,
        /// The dtype found.
        found: DType,
    },
}

/// Requires that a tensor has the shape and dtype that a spec declares.
pub(crate) fn require(view: TensorView<'_>, dtype: DType, shape: &Shape) -> Result<(), LayoutMismatch> {
    if view.shape() != shape {
        return Err(LayoutMismatch::Shape { expected: shape.clone(), found: view.shape().clone() });
    }
    if view.dtype() != dtype {
        return Err(LayoutMismatch::DType { expected: dtype, found: view.dtype() });
    }
    Ok(())
}

impl<'a> MatchedPair<'a> {
    /// Shapes first, then dtypes; values are never looked at before both agree.
    pub fn new(actual: TensorView<'a>, expected: TensorView<'a>) -> Result<Self, LayoutMismatch> {
        require(actual, expected.dtype(), expected.shape())?;
        Ok(Self { actual, expected })
    }

    /// The tensor under test.
    pub fn actual(self) -> TensorView<'a> {
        self.actual
    }

    /// The tensor that judges.
    pub fn expected(self) -> TensorView<'a> {
        self.expected
    }
}

impl<'a> OraclePair<'a> {
    /// `oracle` must be `F64` and `magnitude` `F32` or `F64`, both of `actual`'s shape; `actual` must be a float of dtype
    /// `dtype`.
    pub fn new(
        actual: TensorView<'a>,
        dtype: DType,
        oracle: TensorView<'a>,
        magnitude: Option<TensorView<'a>>,
    ) -> Result<Self, LayoutMismatch> {
        require(actual, dtype, oracle.shape())?;
        require(oracle, DType::F64, actual.shape())?;
        if let Some(magnitude) = magnitude {
            let dtype = if magnitude.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
            require(magnitude, dtype, actual.shape())?;
        }
        Ok(Self { actual, oracle, magnitude })
    }

    /// The tensor under test.
    pub fn actual(self) -> TensorView<'a> {
        self.actual
    }

    /// The f64 result.
    pub fn oracle(self) -> TensorView<'a> {
        self.oracle
    }

    /// The magnitude of each element: what the result would be if nothing cancelled.
    pub fn magnitude(self) -> Option<TensorView<'a>> {
        self.magnitude
    }
}

/// Requires that `tensor` has the declared layout before anything is read from it.
impl Tensor {
    /// Errors with the first of shape and dtype that is not as declared.
    pub fn require_layout(&self, dtype: DType, shape: &Shape) -> Result<(), LayoutMismatch> {
        require(self.view(), dtype, shape)
    }
}
