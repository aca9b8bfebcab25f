//! x·W + b, by the rule of [`product`](crate::product).
//!
//! Weights are exact: they are read from the checkpoint by all.

use std::ops::Range;

use ndarray::{ArrayView2, Axis, Slice};
use ordered_product::{Number, matmul_converted};

use crate::array::matrix;
use crate::product::{Around, Of, Right, errors, scaled_rows};
use crate::{Array, Bounded, HalfFormat, Rounding, Rounds, Way, Weight};

/// `[…, K]` to `[…, N]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear<'a> {
    /// The matrix.
    pub weight: Weight<'a>,
    /// b.
    pub bias: Option<&'a [f32]>,
    /// How the matrix lies.
    pub layout: Layout,
    /// Which one of how many equal parts of the columns is computed; all of them if not said.
    pub part: Option<(usize, usize)>,
}

/// How a matrix lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[K, N]`, as `Conv1D` has it.
    InOut,
    /// `[N, K]`, as `nn.Linear` and a tied head have it.
    OutIn,
}

/// Wrong ways of [`Linear`].
pub(crate) const WRONG: &[&str] = &["interleaved-split"];

impl Linear<'_> {
    /// The matrix `[K, N]` and the bias of the part alone. Interleaved, column j of part i of n is column j·n + i of all, in
    /// place of one of the i-th N in a row.
    pub(crate) fn alone(&self, interleaved: bool) -> (Array<f32>, Option<Array<f32>>) {
        let (part, parts) = self.part.unwrap_or((0, 1));
        let whole = Linear { part: None, ..*self };
        let whole = whole.matrix();
        let columns: Vec<usize> = match interleaved {
            true => (part..whole.ncols()).step_by(parts).collect(),
            false => self.columns().collect(),
        };
        let matrix = whole.select(Axis(1), &columns);
        let bias = self.bias.map(|bias| columns.iter().map(|&column| bias[column]).collect());
        let shape = [matrix.nrows(), matrix.ncols()];
        let matrix = Array::new(&shape, matrix.iter().copied().collect());
        (matrix, bias.map(|bias| Array::new(&[columns.len()], bias)))
    }

    /// The exact results.
    pub fn value(&self, x: &Array) -> Array {
        let mut value = self.like(x, self.right(None).times(&x.values, Of::Value));
        self.add_bias(&mut value.values);
        value
    }

    /// Results and bounds.
    pub fn bounded(&self, rounding: &Rounding, x: &Bounded) -> Bounded {
        let value = self.value(&x.value);
        let right = self.right(rounding.half(Rounds::Weights));
        let around = Around { bias: self.bias.map(|bias| &bias[self.columns()]), scale: None };
        let errors = errors(rounding, x, &right, &value, around);
        rounding.output(value, errors)
    }

    /// The bias is added last.
    pub fn replica(&self, way: &Way, x: &Array<f32>) -> Array<f32> {
        let product = way.sums(x.width()).product(x.rows(), self.matrix());
        let mut found = self.like(x, product.into_raw_vec_and_offset().0);
        self.add_bias(&mut found.values);
        found
    }

    fn right(&self, stored: Option<HalfFormat>) -> Matrix<'_> {
        Matrix { view: self.matrix(), stored }
    }

    /// `[K, N]` of the part.
    fn matrix(&self) -> ArrayView2<'_, f32> {
        let [rows, width] = <[usize; 2]>::try_from(self.weight.shape).unwrap_or_else(|_| {
            panic!("a matrix, not of the shape {:?}", self.weight.shape);
        });
        let view = matrix(self.weight.values, width);
        assert_eq!(view.nrows(), rows, "values of the shape {:?}", self.weight.shape);
        let view = if self.layout == Layout::InOut { view } else { view.reversed_axes() };
        sliced(view, self.columns())
    }

    fn columns(&self) -> Range<usize> {
        let all = self.weight.shape[usize::from(self.layout == Layout::InOut)];
        let (part, parts) = self.part.unwrap_or((0, 1));
        assert!(part < parts && all.is_multiple_of(parts), "part {part} of {parts} of {all} columns");
        let width = all / parts;
        part * width..(part + 1) * width
    }

    fn like<T>(&self, x: &Array<T>, values: Vec<T>) -> Array<T> {
        let mut shape = x.shape.clone();
        if let Some(last) = shape.last_mut() {
            *last = self.columns().len();
        }
        Array::new(&shape, values)
    }

    fn add_bias<T: Copy + From<f32> + std::ops::AddAssign>(&self, values: &mut [T]) {
        let Some(bias) = self.bias.map(|bias| &bias[self.columns()]) else { return };
        for row in values.chunks_mut(bias.len().max(1)) {
            row.iter_mut().zip(bias).for_each(|(value, &b)| *value += b.into());
        }
    }
}

fn sliced(mut view: ArrayView2<'_, f32>, columns: Range<usize>) -> ArrayView2<'_, f32> {
    view.slice_axis_inplace(Axis(1), Slice::from(columns));
    view
}

/// The right side of the product.
struct Matrix<'a> {
    view: ArrayView2<'a, f32>,
    /// What weights are stored in.
    stored: Option<HalfFormat>,
}

impl Matrix<'_> {
    /// x·f(y).
    fn multiplied<T: Number>(&self, x: &[T], element: impl Fn(f32) -> T + Copy + Send + Sync) -> Vec<T> {
        matmul_converted(matrix(x, self.view.nrows()), self.view, element).into_raw_vec_and_offset().0
    }

    /// x·|y| in f32.
    fn of_sizes(&self, x: &[f64]) -> Vec<f64> {
        let (rows, scales) = scaled_rows(x, self.view.nrows());
        let product = self.multiplied(&rows, f32::abs);
        let rows = product.chunks(self.view.ncols().max(1)).zip(scales);
        rows.flat_map(|(row, scale)| row.iter().map(move |&sum| f64::from(sum) * scale)).collect()
    }
}

impl Right for Matrix<'_> {
    fn times(&self, x: &[f64], of: Of) -> Vec<f64> {
        let store = |y: f32| self.stored.map_or(0.0, |format| format.store(f64::from(y)));
        match of {
            Of::Value => self.multiplied(x, f64::from),
            Of::Size => self.of_sizes(x),
            Of::Error => vec![0.0; x.len() / self.view.nrows().max(1) * self.view.ncols()],
            Of::Store => self.multiplied(x, store),
            Of::SquaredSize => self.multiplied(x, |y| f64::from(y) * f64::from(y)),
            Of::SquaredStore => self.multiplied(x, |y| store(y) * store(y)),
        }
    }

    fn has(&self, of: Of) -> bool {
        match of {
            Of::Error => false,
            Of::Store | Of::SquaredStore => self.stored.is_some(),
            Of::Value | Of::Size | Of::SquaredSize => true,
        }
    }
}

#[cfg(test)]
mod tests;
