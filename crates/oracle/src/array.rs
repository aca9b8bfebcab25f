//! What operations take and give.

use ndarray::{ArrayView2, ArrayView4};

/// Numbers in C order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array<T = f64> {
    /// How many there are along each axis.
    pub shape: Vec<usize>,
    /// All of them.
    pub values: Vec<T>,
}

/// Exact values, and bounds on the errors that a correct f32 implementation's carry.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounded {
    /// The exact values.
    pub value: Array,
    /// In units of [`UNIT`](crate::UNIT); none where the values are exact.
    pub error: Option<Vec<f64>>,
    /// What one rounding to half precision costs, where each element was stored in it; `error` holds it twice.
    pub stored: Option<Vec<f64>>,
}

/// A tensor of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weight<'a> {
    /// How many numbers there are along each axis.
    pub shape: &'a [usize],
    /// All of them, in C order.
    pub values: &'a [f32],
}

impl<T> Array<T> {
    /// # Panics
    /// If there are more or fewer values than the shape says.
    pub fn new(shape: &[usize], values: Vec<T>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "values of the shape {shape:?}");
        Self { shape: shape.to_vec(), values }
    }

    /// The length of a row, that is of the last axis.
    pub fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// The shape, of so many axes.
    pub(crate) fn axes<const N: usize>(&self, name: &str) -> [usize; N] {
        <[usize; N]>::try_from(self.shape.as_slice())
            .unwrap_or_else(|_| panic!("{name} of {N} axes, not of the shape {:?}", self.shape))
    }

    /// All rows as one matrix.
    pub(crate) fn rows(&self) -> ArrayView2<'_, T> {
        matrix(&self.values, self.width())
    }

    /// # Panics
    /// If the shapes differ.
    pub(crate) fn assert_like<U>(&self, other: &Array<U>) {
        assert_eq!(self.shape, other.shape, "operands of one shape");
    }
}

impl<T: Copy> Array<T> {
    /// `[B, S, H, D]` as `[B, H, S, D]`, and back.
    pub(crate) fn heads_swapped(&self) -> Self {
        let [batch, first, second, width] = self.axes("heads");
        Self::new(&[batch, second, first, width], heads_swapped(&self.values, [batch, first, second, width]))
    }
}

impl Array<f32> {
    /// The same numbers in f64.
    pub fn widened(&self) -> Array {
        Array { shape: self.shape.clone(), values: self.values.iter().copied().map(f64::from).collect() }
    }
}

impl Bounded {
    /// Values without error.
    pub fn exact(value: Array) -> Self {
        Self { value, error: None, stored: None }
    }

    pub(crate) fn heads_swapped(&self) -> Self {
        let shape = self.value.axes("heads");
        let swapped = |numbers: &Option<Vec<f64>>| numbers.as_ref().map(|all| heads_swapped(all, shape));
        Self { value: self.value.heads_swapped(), error: swapped(&self.error), stored: swapped(&self.stored) }
    }
}

/// Rows of a width, one after another.
pub(crate) fn matrix<T>(values: &[T], width: usize) -> ArrayView2<'_, T> {
    let rows = values.len().checked_div(width).unwrap_or(0);
    ArrayView2::from_shape((rows, width), values)
        .unwrap_or_else(|_| panic!("rows of {width}: {}", values.len()))
}

fn heads_swapped<T: Copy>(values: &[T], [batch, first, second, width]: [usize; 4]) -> Vec<T> {
    let view = ArrayView4::from_shape((batch, first, second, width), values);
    let view = view.unwrap_or_else(|_| panic!("{} numbers of heads", values.len()));
    view.permuted_axes([0, 2, 1, 3]).iter().copied().collect()
}
