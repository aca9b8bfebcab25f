//! Products head by head: of `[B, H, M, K]` with a matrix of `[B, G, …]`, of which H/G heads in a row have the same.

use ndarray::{ArrayView2, ArrayViewMut2};
use ordered_product::{Number, matmul_into};
use rayon::prelude::*;

use crate::array::matrix;
use crate::change::Numbers;
use crate::order::Sums;
use crate::product::{Of, Right};
use crate::rounding::Carried;
use crate::{Bounded, Way};

/// How the left side and the matrices lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heads {
    /// H/G
    shared: usize,
    /// Of the left side: M and K.
    rows: usize,
    depth: usize,
    /// N, of the result.
    columns: usize,
    /// Whether a matrix lies as `[N, K]`.
    transposed: bool,
}

impl Heads {
    /// Of `[B, H, M, K]` with `[B, G, K, N]`, or with `[B, G, N, K]` if transposed.
    pub(super) fn new(x: [usize; 4], y: [usize; 4], transposed: bool) -> Self {
        let [batch, heads, rows, depth] = x;
        let columns = if transposed { y[2] } else { y[3] };
        let shared = heads.checked_div(y[1]).unwrap_or(0);
        let fit = y[0] == batch && shared * y[1] == heads && y[if transposed { 3 } else { 2 }] == depth;
        assert!(fit, "heads of the shapes {x:?} and {y:?}");
        Self { shared, rows, depth, columns, transposed }
    }

    /// x·y in f64.
    pub(super) fn multiply(&self, x: &[f64], y: &[f64]) -> Vec<f64> {
        self.each(x, y, |x, y, out| matmul_into(x, y, out))
    }

    /// x·y in f32.
    pub(super) fn replica(&self, way: &Way, x: &[f32], y: &[f32]) -> Vec<f32> {
        let sums: Sums = way.sums(self.depth);
        self.each(x, y, |x, y, mut out| out.assign(&sums.product(x, y)))
    }

    fn each<T: Number>(
        &self,
        x: &[T],
        y: &[T],
        multiply: impl Fn(ArrayView2<'_, T>, ArrayView2<'_, T>, ArrayViewMut2<'_, T>) + Sync,
    ) -> Vec<T> {
        let [of_x, of_y, of_out] =
            [self.rows * self.depth, self.depth * self.columns, self.rows * self.columns];
        let mut out = vec![T::zero(); x.len().checked_div(of_x).unwrap_or(0) * of_out];
        out.par_chunks_mut(of_out.max(1)).enumerate().for_each(|(head, out)| {
            let x = matrix(&x[head * of_x..][..of_x], self.depth);
            let y = &y[head / self.shared * of_y..][..of_y];
            let y =
                if self.transposed { matrix(y, self.depth).reversed_axes() } else { matrix(y, self.columns) };
            if let Ok(out) = ArrayViewMut2::from_shape((self.rows, self.columns), out) {
                multiply(x, y, out);
            }
        });
        out
    }
}

/// `[B, K, G, Dh]` as `[B, K, H, Dh]`, the G heads one after another and again from the first: wrong, for heads of queries in a
/// row share a head of keys.
pub(crate) fn tiled<V: Numbers + Clone>(y: &V, heads: Option<&usize>) -> V {
    let mut tiled = y.clone();
    if let (&[batch, keys, groups, width], Some(&heads)) = (y.axes(), heads) {
        let source = |at: usize| {
            let (row, head, channel) = (at / width / heads, at / width % heads, at % width);
            Some((row * groups + head % groups) * width + channel)
        };
        let sources: Vec<Option<usize>> = (0..batch * keys * heads * width).map(source).collect();
        tiled.rearrange(&[batch, keys, heads, width], &sources);
    }
    tiled
}

/// An activation as the right side.
pub(super) struct OfHeads<'a> {
    heads: Heads,
    y: &'a Bounded,
    carried: Carried<'a>,
    rest: Option<Vec<f64>>,
}

impl<'a> OfHeads<'a> {
    pub(super) fn new(heads: Heads, y: &'a Bounded, carried: Carried<'a>) -> Self {
        let rest = carried.rest().map(std::borrow::Cow::into_owned);
        Self { heads, y, carried, rest }
    }
}

impl Right for OfHeads<'_> {
    fn times(&self, x: &[f64], of: Of) -> Vec<f64> {
        let (y, stored) = (&self.y.value.values, self.carried.stored.unwrap_or_default());
        let mapped = |numbers: &[f64], element: fn(f64) -> f64| {
            self.heads.multiply(x, &numbers.iter().copied().map(element).collect::<Vec<_>>())
        };
        match of {
            Of::Value => self.heads.multiply(x, y),
            Of::Size => mapped(y, f64::abs),
            Of::Error => self.heads.multiply(x, self.rest.as_deref().unwrap_or_default()),
            Of::Store => self.heads.multiply(x, stored),
            Of::SquaredSize => mapped(y, |y| y * y),
            Of::SquaredStore => mapped(stored, |cost| cost * cost),
        }
    }

    fn has(&self, of: Of) -> bool {
        match of {
            Of::Error => self.rest.is_some(),
            Of::Store | Of::SquaredStore => self.carried.stored.is_some(),
            Of::Value | Of::Size | Of::SquaredSize => true,
        }
    }
}
