//! Matrix products in f32 and f64: one safe wrapper around the `gemm` crate, and the only unsafe code of the workspace.
//!
//! # One sum, whatever stands around it
//!
//! Each element of a product is a sum over partial sums of [`DEPTH`] terms; a partial sum adds its terms one after
//! another, first to last, in one chain of fused multiply-adds (of multiplications and additions where the CPU does
//! not fuse). That order depends neither on the number of rows and columns, nor on threads, nor on caches. Left to
//! itself, `gemm` sums in other orders when a side is short: vectors, outer products of two terms, small products of
//! contiguous operands. This crate never hands it such a shape: short sides are padded with zeros.
//!
//! Depth is cut into blocks here because `gemm` would cut it according to the caches it finds.

use gemm::Parallelism;
use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, CowArray, Ix2, LinalgScalar, s};

mod few_rows;
#[cfg(test)]
mod tests;

use few_rows::FEW;

/// Terms per partial sum. `gemm` itself never cuts a sum this short.
pub const DEPTH: usize = 512;

/// Columns that one task computes when `b` is read column by column.
const COLUMNS: usize = 256;

/// What a product is made of: f32 or f64.
pub trait Number: LinalgScalar + Send + Sync + sealed::Number {}

impl Number for f32 {}
impl Number for f64 {}

mod sealed {
    /// Only the numbers that `gemm` knows as such.
    pub trait Number {
        /// self·factor + addend, rounded once.
        fn rounded_once(self, factor: Self, addend: Self) -> Self;
    }

    impl Number for f32 {
        #[inline(always)]
        fn rounded_once(self, factor: Self, addend: Self) -> Self {
            self.mul_add(factor, addend)
        }
    }

    impl Number for f64 {
        #[inline(always)]
        fn rounded_once(self, factor: Self, addend: Self) -> Self {
            self.mul_add(factor, addend)
        }
    }
}

/// `a · b`: `[m, k] · [k, n] → [m, n]`.
///
/// # Panics
/// If the inner dimensions differ.
pub fn matmul<T: Number>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>) -> Array2<T> {
    let mut out = Array2::zeros((a.nrows(), b.ncols()));
    matmul_into(a, b, out.view_mut());
    out
}

/// `a · f(b)`, for `b` of another type of number, which is converted on the way.
///
/// # Panics
/// If the inner dimensions differ.
pub fn matmul_converted<T: Number, E: Copy + Send + Sync>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, E>,
    element: impl Fn(E) -> T + Copy + Send + Sync,
) -> Array2<T> {
    assert_eq!(a.ncols(), b.nrows(), "inner dimensions of {:?} · {:?}", a.shape(), b.shape());
    let mut out = Array2::zeros((a.nrows(), b.ncols()));
    if a.nrows() <= FEW && b.strides()[1] == 1 {
        few_rows::add_few_rows(a, b, element, out.view_mut());
    } else {
        let tasks = (out.axis_chunks_iter_mut(Axis(1), COLUMNS), b.axis_chunks_iter(Axis(1), COLUMNS));
        tasks.into_par_iter().for_each(|(out, b)| matmul_into(a, b.mapv(element).view(), out));
    }
    out
}

/// Overwrites `out` with `a · b`.
///
/// # Panics
/// If the shapes do not fit: `[m, k] · [k, n] → [m, n]`.
pub fn matmul_into<T: Number>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>, mut out: ArrayViewMut2<'_, T>) {
    assert_eq!(a.ncols(), b.nrows(), "inner dimensions of {:?} · {:?}", a.shape(), b.shape());
    assert_eq!(out.dim(), (a.nrows(), b.ncols()), "shape of {:?} · {:?}", a.shape(), b.shape());
    let (rows, columns) = out.dim();
    let b = if lies_in_order(b) { b.into() } else { b.as_standard_layout() };
    let b = b.view();
    if rows <= FEW && b.strides()[1] == 1 {
        out.fill(T::zero());
        few_rows::add_few_rows(a, b, |x| x, out);
    } else if rows < 2 || columns < 2 || out.strides()[1] != 1 {
        let product = matmul(at_least(a, 2, 0).view(), at_least(b, 0, 2).view());
        out.assign(&product.slice(s![..rows, ..columns]));
    } else if b.strides()[0] == 1 {
        matmul_by_columns(a, b, out);
    } else {
        out.fill(T::zero());
        add_by_blocks(a, b, out, Parallelism::Rayon(0));
    }
}

/// Whether rows or columns are contiguous. Rows that lie last to first in memory `gemm` would also add last to first.
fn lies_in_order<T>(b: ArrayView2<'_, T>) -> bool {
    b.strides().contains(&1) && b.strides()[0] > 0
}

/// For `b` whose columns are contiguous, such as the transposed embedding. `b` is read in place, in the order in which
/// it lies; SIMD lanes run over the rows of `a`, which is small and copied to suit.
fn matmul_by_columns<T: Number>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>, mut out: ArrayViewMut2<'_, T>) {
    let a = a.t().as_standard_layout().into_owned();
    let tasks = (out.axis_chunks_iter_mut(Axis(1), COLUMNS), b.axis_chunks_iter(Axis(1), COLUMNS));
    tasks.into_par_iter().for_each(|(mut out, b)| {
        let b = at_least(b, 0, 2);
        let mut transposed = Array2::zeros((b.ncols(), a.ncols()));
        let by_columns = transposed.view_mut().reversed_axes();
        add_by_blocks(a.t(), b.view(), by_columns, Parallelism::None);
        let columns = out.ncols();
        out.assign(&transposed.slice(s![..columns, ..]).t());
    });
}

/// Adds `a · b` to `out`, block of depth by block.
fn add_by_blocks<T: Number>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut out: ArrayViewMut2<'_, T>,
    parallelism: Parallelism,
) {
    for (a, b) in a.axis_chunks_iter(Axis(1), DEPTH).zip(b.axis_chunks_iter(Axis(0), DEPTH)) {
        add_block(at_least(a, 0, 3).view(), at_least(b, 3, 0).view(), out.view_mut(), parallelism);
    }
}

/// `view`, padded with zeros to at least that many rows and columns; not copied when it is large enough.
fn at_least<T: Number>(view: ArrayView2<'_, T>, rows: usize, columns: usize) -> CowArray<'_, T, Ix2> {
    if view.nrows() >= rows && view.ncols() >= columns {
        return view.into();
    }
    let mut padded = Array2::zeros((view.nrows().max(rows), view.ncols().max(columns)));
    padded.slice_mut(s![..view.nrows(), ..view.ncols()]).assign(&view);
    padded.into()
}

/// Adds `a · b` to `out`, in one partial sum.
#[expect(unsafe_code, reason = "`gemm` takes pointers and strides")]
fn add_block<T: Number>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut out: ArrayViewMut2<'_, T>,
    parallelism: Parallelism,
) {
    let (rows, depth, columns) = (a.nrows(), a.ncols(), b.ncols());
    assert_eq!(b.nrows(), depth);
    assert_eq!(out.dim(), (rows, columns));
    // SAFETY: a view's pointer is valid at every index below its dimensions, in steps of its strides. The
    // dimensions are checked above, `out` is borrowed mutably and so overlaps neither operand.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            out.as_mut_ptr(),
            out.strides()[1],
            out.strides()[0],
            true,
            a.as_ptr(),
            a.strides()[1],
            a.strides()[0],
            b.as_ptr(),
            b.strides()[1],
            b.strides()[0],
            T::one(),
            T::one(),
            false,
            false,
            false,
            parallelism,
        );
    }
}
