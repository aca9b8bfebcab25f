//! Sums of products in f32, in the orders that correct implementations add them up, written plainly.

use std::fmt;

use pulp::Arch;

/// In which order terms are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// First to last.
    Sequential,
    /// Last to first.
    Reversed,
    /// As a binary tree.
    Pairwise,
    /// Sequential sums of that many terms, which are then added one after another.
    Blocked(usize),
}

/// An order, and whether products are fused into sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arithmetic {
    /// The order.
    pub order: Order,
    /// Whether `a·b + c` is rounded once.
    pub fused: bool,
}

/// Columns that are computed side by side, each in the same order.
const LANES: usize = 8;

/// A matrix `[in, out]` within rows that may be longer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix<'a> {
    /// Row-major elements.
    pub data: &'a [f32],
    /// From one row to the next.
    pub stride: usize,
    /// The first column.
    pub first: usize,
    /// How many columns.
    pub columns: usize,
}

impl Arithmetic {
    /// Every order, fused and not.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let orders = [
            Order::Sequential,
            Order::Reversed,
            Order::Pairwise,
            Order::Blocked(8),
            Order::Blocked(16),
            Order::Blocked(64),
        ];
        orders.into_iter().flat_map(|order| [false, true].map(|fused| Self { order, fused }))
    }

    /// `Σ x[i]`.
    pub(super) fn sum(self, x: &[f32]) -> f32 {
        self.dot(x, |_| 1.0)
    }

    /// `Σ x[i]²`.
    pub(super) fn sum_of_squares(self, x: &[f32]) -> f32 {
        self.dot(x, |i| x[i])
    }

    /// `a·b + c`.
    #[inline(always)]
    pub(super) fn multiply_add(self, a: f32, b: f32, c: f32) -> f32 {
        if self.fused { a.mul_add(b, c) } else { a * b + c }
    }

    /// `x · W` for one row.
    pub(super) fn product(self, x: &[f32], matrix: Matrix<'_>) -> Vec<f32> {
        let mut out = vec![0.0; matrix.columns];
        // Where the CPU can fuse, without a call for each product.
        Arch::new().dispatch(
            #[inline(always)]
            || self.product_into(x, matrix, &mut out),
        );
        out
    }

    #[inline(always)]
    fn product_into(self, x: &[f32], matrix: Matrix<'_>, out: &mut [f32]) {
        for (lane, out) in out.chunks_mut(LANES).enumerate() {
            let start = matrix.first + lane * LANES;
            let (rows, stride) = (&matrix.data[start..], matrix.stride);
            if let Ok(out) = <&mut [f32; LANES]>::try_from(&mut *out) {
                *out = self.terms(x, |i| {
                    let row = &rows[i * stride..i * stride + LANES];
                    std::array::from_fn(|lane| row[lane])
                });
            } else {
                for (column, out) in out.iter_mut().enumerate() {
                    [*out] = self.terms(x, |i| [rows[i * stride + column]]);
                }
            }
        }
    }

    fn dot(self, x: &[f32], w: impl Fn(usize) -> f32) -> f32 {
        let [sum] = self.terms(x, |i| [w(i)]);
        sum
    }

    /// `Σ x[i]·w(i)`.
    #[inline(always)]
    fn terms<const N: usize>(self, x: &[f32], w: impl Fn(usize) -> [f32; N]) -> [f32; N] {
        match self.order {
            Order::Sequential => self.chain(x, 0..x.len(), &w),
            Order::Reversed => self.chain(x, (0..x.len()).rev(), &w),
            Order::Blocked(block) => {
                let mut sum = [0.0; N];
                for start in (0..x.len()).step_by(block.max(1)) {
                    sum = plus(sum, self.chain(x, start..x.len().min(start + block.max(1)), &w));
                }
                sum
            }
            Order::Pairwise => self.tree(x, &w),
        }
    }

    /// One after another.
    #[inline(always)]
    fn chain<const N: usize>(
        self,
        x: &[f32],
        order: impl Iterator<Item = usize>,
        w: &impl Fn(usize) -> [f32; N],
    ) -> [f32; N] {
        let mut sum = [0.0; N];
        for i in order {
            let (x, w) = (x[i], w(i));
            sum = std::array::from_fn(|lane| self.multiply_add(x, w[lane], sum[lane]));
        }
        sum
    }

    /// Pairs of terms, pairs of pairs, and so on: the sums of 2ᵏ pairs that are not yet part of a larger one are kept
    /// as the ones of a binary counter.
    #[inline(always)]
    fn tree<const N: usize>(self, x: &[f32], w: &impl Fn(usize) -> [f32; N]) -> [f32; N] {
        let (mut open, mut depth) = ([[0.0; N]; usize::BITS as usize], 0);
        for (pair, start) in (0..x.len()).step_by(2).enumerate() {
            let mut sum = self.chain(x, start..x.len().min(start + 2), w);
            for _ in 0..(pair + 1).trailing_zeros() {
                depth -= 1;
                sum = plus(open[depth], sum);
            }
            open[depth] = sum;
            depth += 1;
        }
        let mut sum = [0.0; N];
        for part in open[..depth].iter().rev() {
            sum = plus(*part, sum);
        }
        sum
    }
}

#[inline(always)]
fn plus<const N: usize>(a: [f32; N], b: [f32; N]) -> [f32; N] {
    std::array::from_fn(|lane| a[lane] + b[lane])
}

impl fmt::Display for Arithmetic {
    /// `blocked by 16, FMA`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.order {
            Order::Sequential => f.write_str("sequential")?,
            Order::Reversed => f.write_str("reversed")?,
            Order::Pairwise => f.write_str("pairwise")?,
            Order::Blocked(block) => write!(f, "blocked by {block}")?,
        }
        if self.fused { f.write_str(", FMA") } else { Ok(()) }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "orders of summation are told apart by their exact results")]
mod tests {
    use super::*;

    /// Terms whose sum tells the order: 2²⁴ swallows every 1 that is added to it alone.
    const BIG: f32 = 16_777_216.0;

    fn sum(order: Order, x: &[f32]) -> f32 {
        Arithmetic { order, fused: false }.sum(x)
    }

    #[test]
    fn the_order_is_the_one_that_is_named() {
        let x = [BIG, 1.0, 1.0, 1.0, 1.0];
        assert_eq!(sum(Order::Sequential, &x), BIG);
        assert_eq!(sum(Order::Reversed, &x), BIG + 4.0);
        // ((2²⁴ + 1) + (1 + 1)) + 1: the first pair swallows its 1, and 2²⁴ + 2 + 1 is rounded to even.
        assert_eq!(sum(Order::Pairwise, &x), BIG + 4.0);
        assert_eq!(sum(Order::Pairwise, &x[..4]), BIG + 2.0);
        assert_eq!(sum(Order::Blocked(3), &x), BIG + 2.0);
    }

    #[test]
    fn fused_products_are_rounded_once() {
        // (1 + 2⁻²³)² loses its last bit when it is rounded.
        let x = 1.0 + f32::EPSILON;
        let fused = Arithmetic { order: Order::Sequential, fused: true };
        let apart = Arithmetic { fused: false, ..fused };
        assert_eq!(fused.multiply_add(x, x, -(x * x)), f32::EPSILON.powi(2));
        assert_eq!(apart.multiply_add(x, x, -(x * x)), 0.0);
    }

    #[test]
    fn every_order_gives_the_exact_product_where_nothing_is_rounded() {
        let (rows, columns) = (67, 13);
        let x: Vec<f32> = (0..rows).map(|i| (i % 7) as f32 - 3.0).collect();
        let data: Vec<f32> = (0..rows * (columns + 2)).map(|i| (i % 11) as f32 - 5.0).collect();
        let matrix = Matrix { data: &data, stride: columns + 2, first: 2, columns };
        let expected: Vec<f32> = (0..columns)
            .map(|column| (0..rows).map(|i| x[i] * data[i * (columns + 2) + 2 + column]).sum())
            .collect();
        for arithmetic in Arithmetic::all() {
            assert_eq!(arithmetic.product(&x, matrix), expected, "{arithmetic}");
        }
        assert_eq!(Arithmetic::all().count(), 12);
    }

    #[test]
    fn nothing_sums_to_0() {
        for arithmetic in Arithmetic::all() {
            assert_eq!(arithmetic.sum(&[]), 0.0);
        }
    }
}
