//! Sums over the points of every index of a slice.

use super::points::{Points, Terms};
use crate::{Shape, Slice};

/// Where the elements of one index lie: in runs, one index after the other, over and over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) indices: usize,
    /// Elements in a row that belong to the same index; not 0.
    pub(super) run: usize,
}

/// Independent accumulators of a sum.
const LANES: usize = 8;

impl Layout {
    /// None if the tensor has no elements or not that axis.
    pub(super) fn of(slice: Slice, shape: &Shape) -> Option<Self> {
        if shape.elements() == 0 {
            return None;
        }
        match slice {
            Slice::Tensor => Some(Self { indices: 1, run: shape.elements() }),
            Slice::Axis(axis) => {
                let dimensions = shape.dimensions();
                let &indices = dimensions.get(axis)?;
                Some(Self { indices, run: dimensions[axis + 1..].iter().product() })
            }
            Slice::Pair(axis) => {
                let dimensions = shape.dimensions();
                let &[first, second] = dimensions.get(axis..axis + 2)? else { return None };
                Some(Self { indices: first * second, run: dimensions[axis + 2..].iter().product() })
            }
        }
    }

    /// The rows of the last axis, each by itself.
    pub(super) fn of_rows(row: usize, elements: usize) -> Self {
        Self { indices: elements / row, run: row }
    }
}

/// For every index, the sums of its terms, in an order that is fixed: within a run of an index, elements are spread over
/// [`LANES`] lanes, which are joined pair by pair; runs follow one another, each added to what was there.
///
/// # Panics
/// If there are not as many terms as indices.
pub(super) fn sums<const N: usize>(
    points: &Points,
    layout: Layout,
    terms: &[impl Terms<N>],
) -> Vec<[f64; N]> {
    assert_eq!(terms.len(), layout.indices, "terms of every index");
    pulp::Arch::new().dispatch(Pass { points, layout, terms })
}

struct Pass<'a, T, const N: usize> {
    points: &'a Points,
    layout: Layout,
    terms: &'a [T],
}

/// Compiled once per instruction set and picked at run time; no product is fused with a sum.
impl<T: Terms<N>, const N: usize> pulp::WithSimd for Pass<'_, T, N> {
    type Output = Vec<[f64; N]>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Vec<[f64; N]> {
        if self.layout.run == 1 { self.of_columns() } else { self.of_runs() }
    }
}

impl<T: Terms<N>, const N: usize> Pass<'_, T, N> {
    #[inline(always)]
    fn of_runs(&self) -> Vec<[f64; N]> {
        let Layout { indices, run } = self.layout;
        let mut totals = vec![[0.0; N]; indices];
        let mut index = 0;
        for start in (0..self.points.length()).step_by(run) {
            let sum = self.of_run(start, self.terms[index]);
            for (total, sum) in totals[index].iter_mut().zip(sum) {
                *total += sum;
            }
            index = if index + 1 == indices { 0 } else { index + 1 };
        }
        totals
    }

    #[inline(always)]
    fn of_run(&self, start: usize, terms: T) -> [f64; N] {
        let run = self.points.range(start, self.layout.run);
        let mut lanes = [[0.0; LANES]; N];
        let whole = run.length() / LANES * LANES;
        for at in (0..whole).step_by(LANES) {
            run.add(at, [terms; LANES], &mut lanes);
        }
        for lane in 0..run.length() - whole {
            run.add_one(whole + lane, lane, terms, &mut lanes);
        }
        lanes.map(join)
    }

    /// Every index has one element in every row: [`LANES`] neighbouring columns at a time.
    #[inline(always)]
    fn of_columns(&self) -> Vec<[f64; N]> {
        let columns = self.layout.indices;
        let mut totals = Vec::with_capacity(columns);
        let whole = columns / LANES * LANES;
        for column in (0..whole).step_by(LANES) {
            let mut lanes = [[0.0; LANES]; N];
            let terms = std::array::from_fn(|lane| self.terms[column + lane]);
            for at in (column..self.points.length()).step_by(columns) {
                self.points.range(at, LANES).add(0, terms, &mut lanes);
            }
            totals.extend((0..LANES).map(|lane| lanes.map(|sums| sums[lane])));
        }
        for column in whole..columns {
            let mut lanes = [[0.0; LANES]; N];
            for at in (column..self.points.length()).step_by(columns) {
                self.points.range(at, 1).add_one(0, 0, self.terms[column], &mut lanes);
            }
            totals.push(lanes.map(|sums| sums[0]));
        }
        totals
    }
}

#[inline(always)]
fn join(lanes: [f64; LANES]) -> f64 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}
