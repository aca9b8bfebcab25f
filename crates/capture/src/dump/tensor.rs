//! One tensor of a dump, and its values in the types that a judge computes in.

use std::fmt;

use half::{bf16, f16};
use tensor_compare::{DType, Shape, Tensor};

use crate::header::Element;

/// Element types that dumps may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DumpDtype {
    /// IEEE 754 binary64.
    F64,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    Bf16,
    /// 64-bit signed integer.
    I64,
    /// 32-bit signed integer.
    I32,
    /// 16-bit signed integer.
    I16,
    /// 8-bit signed integer.
    I8,
    /// 64-bit unsigned integer.
    U64,
    /// 32-bit unsigned integer.
    U32,
    /// 16-bit unsigned integer.
    U16,
    /// 8-bit unsigned integer.
    U8,
    /// One byte, 0 or 1.
    Bool,
}

/// A tensor: little-endian row-major bytes whose length fits dtype and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpTensor {
    /// Element type.
    pub dtype: DumpDtype,
    /// Dimensions, outermost first; none for a scalar.
    pub shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Why values cannot be had in a type without changing one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Some values would be rounded.
    #[error("{dtype} would be rounded to {wanted}")]
    Narrows {
        /// The tensor's.
        dtype: DumpDtype,
        /// The type asked for.
        wanted: &'static str,
    },
    /// Integers were asked for, or floating-point numbers, and the tensor holds the other.
    #[error("{dtype} holds no {wanted}")]
    Kind {
        /// The tensor's.
        dtype: DumpDtype,
        /// What was asked for.
        wanted: &'static str,
    },
    /// One integer is too large for the type.
    #[error("element {element} is {value}, which {wanted} cannot hold exactly")]
    OutOfRange {
        /// Row-major position.
        element: usize,
        /// The integer.
        value: i128,
        /// The type asked for.
        wanted: &'static str,
    },
}

impl DumpDtype {
    /// Every dtype, in declaration order.
    pub const ALL: [Self; 13] = [
        Self::F64,
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::I64,
        Self::I32,
        Self::I16,
        Self::I8,
        Self::U64,
        Self::U32,
        Self::U16,
        Self::U8,
        Self::Bool,
    ];

    /// Bytes per element.
    pub const fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Whether elements are floating-point numbers.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::Bf16)
    }

    /// The safetensors spelling: `F32`, `BF16`, `BOOL`, …
    pub const fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U64 => "U64",
            Self::U32 => "U32",
            Self::U16 => "U16",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
        }
    }
}

impl fmt::Display for DumpDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Element for DumpDtype {
    fn known() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    fn name(self) -> &'static str {
        self.name()
    }

    fn size(self) -> usize {
        self.size()
    }
}

impl DumpTensor {
    /// A tensor over little-endian row-major `bytes`.
    ///
    /// # Errors
    /// What does not fit: the shape into memory, the bytes to the shape, a byte of a `BOOL` that is neither 0 nor 1.
    pub fn new(dtype: DumpDtype, shape: &[usize], bytes: Vec<u8>) -> Result<Self, String> {
        let needed = bytes_of(dtype, shape)?;
        if bytes.len() != needed {
            return Err(format!("{dtype} of shape {shape:?} needs {needed} bytes, found {}", bytes.len()));
        }
        if dtype == DumpDtype::Bool
            && let Some(element) = bytes.iter().position(|&byte| byte > 1)
        {
            return Err(format!(
                "BOOL holds the byte {} at element {element}, expected 0 or 1",
                bytes[element]
            ));
        }
        Ok(Self { dtype, shape: shape.to_vec(), bytes })
    }

    /// Little-endian row-major bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Values of an F32, F16 or BF16 tensor, exactly.
    ///
    /// # Errors
    /// [`ValueError::Narrows`] for F64, [`ValueError::Kind`] for integers.
    pub fn to_f32(&self) -> Result<Vec<f32>, ValueError> {
        let bytes = &self.bytes;
        match self.dtype {
            DumpDtype::F32 => Ok(values(bytes, f32::from_le_bytes)),
            DumpDtype::F16 => Ok(values(bytes, |bytes| f16::from_le_bytes(bytes).to_f32())),
            DumpDtype::Bf16 => Ok(values(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32())),
            DumpDtype::F64 => Err(ValueError::Narrows { dtype: self.dtype, wanted: "f32" }),
            dtype => Err(ValueError::Kind { dtype, wanted: "floating-point numbers" }),
        }
    }

    /// Values of any tensor, exactly.
    ///
    /// # Errors
    /// [`ValueError::OutOfRange`] for a 64-bit integer beyond ±2⁵³.
    pub fn to_f64(&self) -> Result<Vec<f64>, ValueError> {
        match self.dtype {
            DumpDtype::F64 => Ok(values(&self.bytes, f64::from_le_bytes)),
            dtype if dtype.is_float() => Ok(self.to_f32()?.into_iter().map(f64::from).collect()),
            _ => self.to_i64()?.into_iter().enumerate().map(exact_f64).collect(),
        }
    }

    /// Values of a tensor of integers or booleans, exactly.
    ///
    /// # Errors
    /// [`ValueError::Kind`] for floating-point numbers, [`ValueError::OutOfRange`] for what is above `i64::MAX`.
    pub fn to_i64(&self) -> Result<Vec<i64>, ValueError> {
        let bytes = &self.bytes;
        Ok(match self.dtype {
            DumpDtype::I64 => values(bytes, i64::from_le_bytes),
            DumpDtype::I32 => values(bytes, |bytes| i32::from_le_bytes(bytes).into()),
            DumpDtype::I16 => values(bytes, |bytes| i16::from_le_bytes(bytes).into()),
            DumpDtype::I8 => values(bytes, |bytes| i8::from_le_bytes(bytes).into()),
            DumpDtype::U64 => {
                return values(bytes, u64::from_le_bytes).into_iter().enumerate().map(signed).collect();
            }
            DumpDtype::U32 => values(bytes, |bytes| u32::from_le_bytes(bytes).into()),
            DumpDtype::U16 => values(bytes, |bytes| u16::from_le_bytes(bytes).into()),
            DumpDtype::U8 | DumpDtype::Bool => values(bytes, |[byte]| byte.into()),
            dtype => return Err(ValueError::Kind { dtype, wanted: "integers" }),
        })
    }

    /// The tensor as the comparer takes it; none for dtypes that it has no name for, which are I16, I8 and the unsigned ones
    /// beyond U8.
    pub fn to_tensor(&self) -> Option<Tensor> {
        let dtype = DType::from_name(self.dtype.name())?;
        Tensor::new(dtype, Shape::new(self.shape.clone()).ok()?, self.bytes.clone()).ok()
    }
}

/// Bytes that a tensor needs; an error where they do not fit in memory.
pub(super) fn bytes_of(dtype: DumpDtype, shape: &[usize]) -> Result<usize, String> {
    // The shape's bytes at 8 an element are known to fit.
    let shape = Shape::new(shape).map_err(|error| error.to_string())?;
    Ok(shape.elements() * dtype.size())
}

fn values<const N: usize, T>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&bytes| value(bytes)).collect()
}

fn signed((element, value): (usize, u64)) -> Result<i64, ValueError> {
    let error = ValueError::OutOfRange { element, value: value.into(), wanted: "i64" };
    i64::try_from(value).map_err(|_| error)
}

fn exact_f64((element, value): (usize, i64)) -> Result<f64, ValueError> {
    if value.unsigned_abs() > 1 << f64::MANTISSA_DIGITS {
        return Err(ValueError::OutOfRange { element, value: value.into(), wanted: "f64" });
    }
    #[expect(clippy::cast_precision_loss, reason = "at most 2⁵³, which f64 holds exactly")]
    Ok(value as f64)
}
