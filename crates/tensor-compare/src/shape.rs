//! Shapes whose element count is known to fit.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DType;

/// Dimensions of a tensor, row-major; the product is known not to overflow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<usize>", into = "Vec<usize>")]
pub struct Shape {
    dimensions: Vec<usize>,
    elements: usize,
}

/// Why dimensions do not make a [`Shape`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// The element count does not fit in memory.
    #[error("shape {dimensions:?} has more elements than memory can address")]
    TooLarge {
        /// The offending dimensions.
        dimensions: Vec<usize>,
    },
    /// More dimensions than [`Shape::MAXIMUM_RANK`].
    #[error("rank {rank} is above the limit of {}", Shape::MAXIMUM_RANK)]
    RankTooHigh {
        /// The number of dimensions found.
        rank: usize,
    },
}

impl Shape {
    /// The highest accepted rank. The specs need five.
    pub const MAXIMUM_RANK: usize = 64;

    /// Checks rank and element count. Any dimension may be zero; rank 0 is a scalar with one element.
    pub fn new(dimensions: impl Into<Vec<usize>>) -> Result<Self, ShapeError> {
        let dimensions = dimensions.into();
        if dimensions.len() > Self::MAXIMUM_RANK {
            return Err(ShapeError::RankTooHigh { rank: dimensions.len() });
        }
        let non_zero = dimensions.iter().filter(|&&d| d != 0).try_fold(1usize, |n, &d| n.checked_mul(d));
        match non_zero {
            // Bytes of the widest dtype must fit in isize, as every allocation must.
            Some(n) if n <= isize::MAX as usize / DType::F64.size() => {
                let elements = if dimensions.contains(&0) { 0 } else { n };
                Ok(Self { dimensions, elements })
            }
            _ => Err(ShapeError::TooLarge { dimensions }),
        }
    }

    /// The dimensions, outermost first.
    pub fn dimensions(&self) -> &[usize] {
        &self.dimensions
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.elements
    }

    /// The multi-index of the element at a row-major position.
    ///
    /// # Panics
    /// If `flat` is not below [`Shape::elements`].
    pub fn multi_index(&self, flat: usize) -> Vec<usize> {
        assert!(flat < self.elements, "element {flat} of a shape with {} elements", self.elements);
        let mut rest = flat;
        let mut index = vec![0; self.dimensions.len()];
        for (position, &dimension) in index.iter_mut().zip(&self.dimensions).rev() {
            *position = rest % dimension;
            rest /= dimension;
        }
        index
    }
}

impl TryFrom<Vec<usize>> for Shape {
    type Error = ShapeError;

    fn try_from(dimensions: Vec<usize>) -> Result<Self, ShapeError> {
        Self::new(dimensions)
    }
}

impl From<Shape> for Vec<usize> {
    fn from(shape: Shape) -> Self {
        shape.dimensions
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dimensions)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Shape, ShapeError};

    #[test]
    fn elements_are_the_product_of_dimensions() {
        for (dimensions, elements) in
            [(&[][..], 1), (&[0], 0), (&[7], 7), (&[2, 12, 64], 1536), (&[3, 0, 5], 0), (&[1; 64], 1)]
        {
            assert_eq!(Shape::new(dimensions).unwrap().elements(), elements, "{dimensions:?}");
        }
    }

    #[test]
    fn what_memory_cannot_hold_is_no_shape() {
        let limit = isize::MAX as usize / 8;
        assert!(Shape::new([limit]).is_ok());
        // Zero elsewhere does not excuse a product that overflows: strides would.
        let too_large: [&[usize]; 5] = [
            &[limit + 1],
            &[usize::MAX],
            &[1 << 32, 1 << 32],
            &[usize::MAX, 2],
            &[0, usize::MAX, usize::MAX],
        ];
        for dimensions in too_large {
            let error = Shape::new(dimensions).unwrap_err();
            assert_eq!(error, ShapeError::TooLarge { dimensions: dimensions.to_vec() });
        }
    }

    #[test]
    fn a_shape_is_its_dimensions() {
        assert_eq!(Vec::from(Shape::new([2, 0, 3]).unwrap()), [2, 0, 3]);
    }

    #[test]
    fn rank_has_a_limit() {
        assert!(Shape::new([1; Shape::MAXIMUM_RANK]).is_ok());
        assert_eq!(Shape::new([1; 65]).unwrap_err(), ShapeError::RankTooHigh { rank: 65 });
        assert_eq!(Shape::new(vec![0; 1 << 16]).unwrap_err(), ShapeError::RankTooHigh { rank: 1 << 16 });
    }

    #[test]
    #[should_panic(expected = "element 6 of a shape with 6 elements")]
    fn there_is_no_index_past_the_end() {
        Shape::new([2, 3]).unwrap().multi_index(6);
    }

    proptest! {
        #[test]
        fn multi_indices_count_in_row_major_order(dimensions in prop::collection::vec(1usize..5, 0..5)) {
            let shape = Shape::new(dimensions.as_slice()).unwrap();
            for flat in 0..shape.elements() {
                let index = shape.multi_index(flat);
                let back = dimensions.iter().zip(&index).fold(0, |flat, (dimension, index)| flat * dimension + index);
                prop_assert_eq!((back, index.len()), (flat, dimensions.len()));
                prop_assert!(index.iter().zip(&dimensions).all(|(index, dimension)| index < dimension));
            }
        }
    }
}
