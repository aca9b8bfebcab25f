//! Products of few rows with a right side whose rows are contiguous, as a step of decoding has them. The right side is read
//! once, as it lies: to pack it, as for a large product, would cost more than the product.

use ndarray::parallel::prelude::*;
use ndarray::{ArrayView2, ArrayViewMut2, Axis};

use crate::{DEPTH, Number};

/// The most rows that are computed this way.
pub(crate) const FEW: usize = 4;

/// Columns of one task.
const COLUMNS: usize = 512;
/// Terms that are added to each element before the next one is looked at.
const TERMS: usize = 4;

/// Adds `a · f(b)` to `out`, in the order of all products of this crate; rows of `b` are contiguous.
pub(crate) fn add_few_rows<T: Number, E: Copy + Sync + Send>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, E>,
    element: impl Fn(E) -> T + Sync + Copy,
    mut out: ArrayViewMut2<'_, T>,
) {
    let a: Vec<Vec<T>> = a.rows().into_iter().map(|row| row.to_vec()).collect();
    let tasks = (out.axis_chunks_iter_mut(Axis(1), COLUMNS), b.axis_chunks_iter(Axis(1), COLUMNS));
    tasks.into_par_iter().for_each(|(out, b)| {
        pulp::Arch::new().dispatch(Task { a: &a, b, element, out });
    });
}

/// Some columns of the product.
struct Task<'a, T, E, F> {
    a: &'a [Vec<T>],
    b: ArrayView2<'a, E>,
    element: F,
    out: ArrayViewMut2<'a, T>,
}

impl<T: Number, E: Copy, F: Fn(E) -> T + Copy> pulp::WithSimd for Task<'_, T, E, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        // `gemm` does not fuse on a processor without vectors.
        if S::IS_SCALAR { self.by_blocks::<false>() } else { self.by_blocks::<true>() }
    }
}

impl<T: Number, E: Copy, F: Fn(E) -> T + Copy> Task<'_, T, E, F> {
    #[inline(always)]
    fn by_blocks<const FUSED: bool>(mut self) {
        let mut sums = vec![T::zero(); self.b.ncols()];
        for (block, b) in self.b.axis_chunks_iter(Axis(0), DEPTH).enumerate() {
            for (row, mut out) in self.a.iter().zip(self.out.rows_mut()) {
                sums.fill(T::zero());
                add_block::<T, E, FUSED>(&row[block * DEPTH..][..b.nrows()], b, self.element, &mut sums);
                out.iter_mut().zip(&sums).for_each(|(out, &sum)| *out = *out + sum);
            }
        }
    }
}

/// Adds rows of the right side, a few at a time.
#[inline(always)]
fn add_block<T: Number, E: Copy, const FUSED: bool>(
    x: &[T],
    y: ArrayView2<'_, E>,
    element: impl Fn(E) -> T,
    sums: &mut [T],
) {
    let add = |x: T, y: E, sum: T| multiply_add::<T, FUSED>(x, element(y), sum);
    for (x, y) in x.chunks(TERMS).zip(y.axis_chunks_iter(Axis(0), TERMS)) {
        if let (&[x0, x1, x2, x3], Some([y0, y1, y2, y3])) = (x, four_rows(y)) {
            for ((((sum, &y0), &y1), &y2), &y3) in sums.iter_mut().zip(y0).zip(y1).zip(y2).zip(y3) {
                *sum = add(x3, y3, add(x2, y2, add(x1, y1, add(x0, y0, *sum))));
            }
        } else {
            for (&x, y) in x.iter().zip(y.rows()) {
                sums.iter_mut().zip(y).for_each(|(sum, &y)| *sum = add(x, y, *sum));
            }
        }
    }
}

#[inline(always)]
fn four_rows<E>(y: ArrayView2<'_, E>) -> Option<[&[E]; TERMS]> {
    let row = |term: usize| y.index_axis_move(Axis(0), term).to_slice();
    if y.nrows() < TERMS { None } else { Some([row(0)?, row(1)?, row(2)?, row(3)?]) }
}

#[inline(always)]
fn multiply_add<T: Number, const FUSED: bool>(x: T, y: T, sum: T) -> T {
    if FUSED { x.rounded_once(y, sum) } else { x * y + sum }
}
