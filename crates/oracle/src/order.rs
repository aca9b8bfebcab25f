//! The ways of an f32 implementation: in which order it adds up, and by which of equal formulas it computes.
//!
//! Every [`Way`] is correct: its results stay within the bounds. They are what bounds are tested with, and what shows how
//! far apart correct implementations are. Elementary functions are those of `libm`.

use std::ops::Range;

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, Axis};

#[cfg(test)]
mod tests;

/// Columns that are summed side by side.
const COLUMNS: usize = 32;
/// The same where rows are few: what is read of the right side is then all the work, and is read far along its rows.
const FAR: usize = 256;
/// Columns that are read side by side where each of them is contiguous.
const SIDE_BY_SIDE: usize = 8;
/// Rows that are summed side by side: a sum waits for its last addition, and others are added meanwhile.
const ROWS: usize = 6;
/// Terms of the leaves of a tree.
const LEAF: usize = 8;

/// How a correct implementation computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// In which order it adds up.
    pub order: Order,
    /// Whether a product and its addition are rounded once.
    pub fused: bool,
    /// How it computes exp.
    pub exponential: Exponential,
    /// How it computes tanh.
    pub tangent: Tangent,
    /// What the scale of attention is multiplied with.
    pub scaled: Scaled,
    /// Whether it multiplies with a reciprocal in place of a division.
    pub reciprocal: bool,
    /// Whether mean and variance are updated term by term, and n is x·r − μ·r (Welford).
    pub updating: bool,
}

/// The order of a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// First to last.
    Sequential,
    /// Last to first.
    Reversed,
    /// Sums of so many terms in a row, added one after another.
    Blocked(usize),
    /// So many sums of every so-manieth term, as SIMD lanes have them, added one after another.
    Lanes(usize),
    /// One after another, shuffled by a seed.
    Permuted(u64),
    /// As a tree.
    Pairwise,
}

/// How exp is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exponential {
    /// exp(x).
    Natural,
    /// exp2(x·log₂e).
    PowerOfTwo,
}

/// How tanh is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tangent {
    /// tanh(x).
    Direct,
    /// 2σ(2x) − 1.
    BySigmoid,
    /// ½(1 + tanh x) as a whole is σ(2x).
    Sigmoid,
}

/// What the scale of attention is multiplied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaled {
    /// The scores.
    Scores,
    /// The queries, before the product.
    Queries,
}

impl Way {
    /// The plainest.
    pub const PLAIN: Self = Self {
        order: Order::Sequential,
        fused: false,
        exponential: Exponential::Natural,
        tangent: Tangent::Direct,
        scaled: Scaled::Scores,
        reciprocal: false,
        updating: false,
    };

    const LOOSE: Self = Self {
        exponential: Exponential::PowerOfTwo,
        scaled: Scaled::Queries,
        reciprocal: true,
        ..Self::PLAIN
    };

    /// As many, all different.
    pub const REPLICAS: [Self; 8] = [
        Self::PLAIN,
        Self { order: Order::Reversed, fused: true, tangent: Tangent::BySigmoid, ..Self::LOOSE },
        Self { order: Order::Blocked(32), fused: true, ..Self::PLAIN },
        Self { order: Order::Blocked(512), tangent: Tangent::Sigmoid, ..Self::LOOSE },
        Self { order: Order::Lanes(16), fused: true, reciprocal: true, ..Self::PLAIN },
        Self { order: Order::Permuted(1), updating: true, ..Self::LOOSE },
        Self { order: Order::Permuted(2), fused: true, tangent: Tangent::BySigmoid, ..Self::PLAIN },
        Self { order: Order::Pairwise, tangent: Tangent::Sigmoid, updating: true, ..Self::PLAIN },
    ];

    pub(crate) fn exp(self, x: f32) -> f32 {
        match self.exponential {
            Exponential::Natural => libm::expf(x),
            Exponential::PowerOfTwo => libm::exp2f(x * std::f32::consts::LOG2_E),
        }
    }

    pub(crate) fn sigmoid(self, x: f32) -> f32 {
        self.over(1.0, 1.0 + self.exp(-x))
    }

    /// ½(1 + tanh x).
    pub(crate) fn half_of_one_and_tanh(self, x: f32) -> f32 {
        match self.tangent {
            Tangent::Direct => 0.5 * (1.0 + libm::tanhf(x)),
            Tangent::BySigmoid => 0.5 * (1.0 + (2.0 * self.sigmoid(2.0 * x) - 1.0)),
            Tangent::Sigmoid => self.sigmoid(2.0 * x),
        }
    }

    pub(crate) fn over(self, x: f32, y: f32) -> f32 {
        if self.reciprocal { x * (1.0 / y) } else { x / y }
    }

    pub(crate) fn sums(self, terms: usize) -> Sums {
        Sums::new(self, terms)
    }
}

/// Sums of so many terms.
pub(crate) struct Sums {
    /// Which term is the first to be added, which the second.
    terms: Vec<usize>,
    /// Terms per partial sum.
    block: usize,
    /// Whether partial sums are added as a tree.
    tree: bool,
    fused: bool,
}

impl Sums {
    fn new(way: Way, count: usize) -> Self {
        let mut terms: Vec<usize> = (0..count).collect();
        let (mut block, mut tree) = (count, false);
        match way.order {
            Order::Sequential => {}
            Order::Reversed => terms.reverse(),
            Order::Blocked(size) => block = size,
            Order::Lanes(lanes) => {
                terms.sort_by_key(|term| term % lanes.max(1));
                block = count.div_ceil(lanes.max(1));
            }
            Order::Permuted(seed) => shuffle(&mut terms, seed),
            Order::Pairwise => (block, tree) = (LEAF, true),
        }
        Self { terms, block: block.max(1), tree, fused: way.fused }
    }

    /// Σxᵢ.
    pub(crate) fn sum(&self, x: &[f32]) -> f32 {
        self.of_columns::<1, 1>(self.arranged(x).as_chunks().0, &vec![[1.0]; x.len()])[0][0]
    }

    /// Σxᵢ².
    pub(crate) fn squares(&self, x: &[f32]) -> f32 {
        let x = self.arranged(x);
        self.of_columns::<1, 1>(x.as_chunks().0, x.as_chunks().0)[0][0]
    }

    /// x·y: `[m, k]·[k, n]` with k terms.
    pub(crate) fn product(&self, x: ArrayView2<'_, f32>, y: ArrayView2<'_, f32>) -> Array2<f32> {
        let is_read_far = x.nrows() < ROWS && y.strides()[0] != 1;
        if is_read_far { self.tiled::<1, FAR>(x, y) } else { self.tiled::<ROWS, COLUMNS>(x, y) }
    }

    /// So many rows and columns side by side.
    fn tiled<const R: usize, const N: usize>(
        &self,
        x: ArrayView2<'_, f32>,
        y: ArrayView2<'_, f32>,
    ) -> Array2<f32> {
        let mut product = Array2::zeros((x.nrows(), y.ncols()));
        let whole = x.nrows() / R * R;
        let (tiles, rest) = (self.tiles::<R>(x, 0..whole), self.tiles::<1>(x, whole..x.nrows()));
        let tasks = product.axis_chunks_iter_mut(Axis(1), N).into_par_iter();
        tasks.zip(y.axis_chunks_iter(Axis(1), N)).for_each(|(mut product, y)| {
            let columns = self.columns::<N>(y);
            let sums = tiles.iter().flat_map(|tile| self.of_columns(tile, &columns));
            let sums = sums.chain(rest.iter().flat_map(|row| self.of_columns(row, &columns)));
            for (sums, mut product) in sums.zip(product.rows_mut()) {
                product.iter_mut().zip(sums).for_each(|(product, sum)| *product = sum);
            }
        });
        product
    }

    /// Arranged terms of so many rows at a time.
    fn tiles<const R: usize>(&self, x: ArrayView2<'_, f32>, rows: Range<usize>) -> Vec<Vec<[f32; R]>> {
        let tile = |first: usize| {
            let of_term = |&term: &usize| std::array::from_fn(|row| x[[first + row, term]]);
            self.terms.iter().map(of_term).collect()
        };
        rows.step_by(R).map(tile).collect()
    }

    fn arranged(&self, x: &[f32]) -> Vec<f32> {
        self.terms.iter().map(|&term| x[term]).collect()
    }

    /// Arranged terms of at most N columns, read in the order in which they lie.
    fn columns<const N: usize>(&self, y: ArrayView2<'_, f32>) -> Vec<[f32; N]> {
        let mut arranged = vec![[0.0; N]; self.terms.len()];
        if y.strides()[0] == 1 {
            let columns: Vec<_> = y.columns().into_iter().filter_map(|column| column.to_slice()).collect();
            for (index, columns) in columns.chunks(SIDE_BY_SIDE).enumerate() {
                let first = index * SIDE_BY_SIDE;
                let at = |column: usize| columns[column.min(columns.len() - 1)];
                let columns: [&[f32]; SIDE_BY_SIDE] = std::array::from_fn(at);
                let width = SIDE_BY_SIDE.min(N - first);
                for (row, &term) in arranged.iter_mut().zip(&self.terms) {
                    row[first..first + width].copy_from_slice(&columns.map(|column| column[term])[..width]);
                }
            }
        } else {
            for (row, &term) in arranged.iter_mut().zip(&self.terms) {
                match y.row(term).to_slice() {
                    Some(found) => row[..found.len()].copy_from_slice(found),
                    None => row.iter_mut().zip(y.row(term)).for_each(|(to, from)| *to = *from),
                }
            }
        }
        arranged
    }

    /// Sums of arranged terms, of each row and each column.
    fn of_columns<const N: usize, const R: usize>(&self, x: &[[f32; R]], y: &[[f32; N]]) -> [[f32; N]; R] {
        pulp::Arch::new().dispatch(OfColumns { sums: self, x, y })
    }
}

struct OfColumns<'a, const N: usize, const R: usize> {
    sums: &'a Sums,
    x: &'a [[f32; R]],
    y: &'a [[f32; N]],
}

impl<const N: usize, const R: usize> pulp::WithSimd for OfColumns<'_, N, R> {
    type Output = [[f32; N]; R];

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> [[f32; N]; R] {
        let Self { sums, x, y } = self;
        let mut partial: Vec<[[f32; N]; R]> = Vec::new();
        for (index, (x, y)) in x.chunks(sums.block).zip(y.chunks(sums.block)).enumerate() {
            partial.push(if sums.fused { chain::<N, R, true>(x, y) } else { chain::<N, R, false>(x, y) });
            // Two subtrees of one size become one: as often as there are ones at the end of the index.
            let joined = if sums.tree { index.trailing_ones() } else { u32::from(index > 0) };
            for _ in 0..joined {
                join(&mut partial);
            }
        }
        while partial.len() > 1 {
            join(&mut partial);
        }
        partial.pop().unwrap_or([[0.0; N]; R])
    }
}

#[inline(always)]
fn chain<const N: usize, const R: usize, const FUSED: bool>(x: &[[f32; R]], y: &[[f32; N]]) -> [[f32; N]; R] {
    let mut sums = [[0.0; N]; R];
    for (x, y) in x.iter().zip(y) {
        for (sums, &x) in sums.iter_mut().zip(x) {
            for (sum, &y) in sums.iter_mut().zip(y) {
                *sum = if FUSED { x.mul_add(y, *sum) } else { x * y + *sum };
            }
        }
    }
    sums
}

/// The last two become one.
#[inline(always)]
fn join<const N: usize, const R: usize>(partial: &mut Vec<[[f32; N]; R]>) {
    if let Some(last) = partial.pop()
        && let Some(first) = partial.last_mut()
    {
        first.as_flattened_mut().iter_mut().zip(last.as_flattened()).for_each(|(first, last)| *first += last);
    }
}

/// Fisher and Yates, by SplitMix64.
#[expect(clippy::cast_possible_truncation, reason = "below the index")]
fn shuffle(terms: &mut [usize], seed: u64) {
    let mut state = seed;
    for index in (1..terms.len()).rev() {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        terms.swap(index, (mixed % (index as u64 + 1)) as usize);
    }
}
