//! Reductions that compilers vectorise, in an order of operations that is fixed all the same.
//!
//! Sums of floats depend on their order, so compilers do not reorder them: here they are spread over lanes by hand.
//! Integers may be added in any order, and for them a plain loop is what compilers vectorise best.

/// Elements that are looked at together; a few columns of f64 are to fit in the first-level cache.
pub(crate) const BLOCK: usize = 512;

/// Independent accumulators of a reduction: enough to fill wide registers and to hide the latency of an addition.
const LANES: usize = 16;

/// Folds columns of equal length from `start`, element `i` into lane `i mod LANES`, then joins the lanes in order.
#[inline(always)]
fn fold<const K: usize>(
    columns: [&[f64]; K],
    start: f64,
    step: impl Fn(f64, [f64; K]) -> f64,
    join: impl Fn(f64, f64) -> f64,
) -> f64 {
    let length = common_length(columns);
    let columns = columns.map(|column| column.as_chunks::<LANES>());
    let mut lanes = [start; LANES];
    for row in 0..length / LANES {
        let row = columns.map(|(rows, _)| &rows[row]);
        for lane in 0..LANES {
            lanes[lane] = step(lanes[lane], row.map(|values| values[lane]));
        }
    }
    for lane in 0..length % LANES {
        lanes[lane] = step(lanes[lane], columns.map(|(_, rest)| rest[lane]));
    }
    lanes.into_iter().reduce(join).unwrap_or(start)
}

/// Sum of `term` over all elements.
#[inline(always)]
pub(crate) fn sum<const K: usize>(columns: [&[f64]; K], term: impl Fn([f64; K]) -> f64) -> f64 {
    fold(columns, 0.0, |sum, values| sum + term(values), |a, b| a + b)
}

/// The largest value, or `start` if none is larger. No value may be NaN: a comparison with it is false, so it is lost.
#[inline(always)]
pub(crate) fn largest(values: &[f64], start: f64) -> f64 {
    let larger = |a: f64, b: f64| if b > a { b } else { a };
    fold([values], start, |largest, [value]| larger(largest, value), larger)
}

/// The smallest value, or `start` if none is smaller. No value may be NaN.
#[inline(always)]
pub(crate) fn smallest(values: &[f64], start: f64) -> f64 {
    let smaller = |a: f64, b: f64| if b < a { b } else { a };
    fold([values], start, |smallest, [value]| smaller(smallest, value), smaller)
}

/// How many elements satisfy `condition`.
#[inline(always)]
pub(crate) fn count<const K: usize>(columns: [&[f64]; K], condition: impl Fn([f64; K]) -> bool) -> u64 {
    let mut count = 0u64;
    for index in 0..common_length(columns) {
        // Wrapping, for a check of each addition would keep the loop from being vectorised in debug builds.
        count = count.wrapping_add(u64::from(condition(columns.map(|column| column[index]))));
    }
    count
}

/// How many pairs, of one element of each column, satisfy `condition`.
#[inline(always)]
pub(crate) fn count_pairs<A: Copy, T: Copy>(
    columns: (&[A], &[T]),
    condition: impl Fn((A, T)) -> bool,
) -> u64 {
    let mut count = 0u64;
    for index in 0..common_length_of_pairs(columns) {
        count = count.wrapping_add(u64::from(condition((columns.0[index], columns.1[index]))));
    }
    count
}

/// The largest of the integers that `of` gives, at least the default.
#[inline(always)]
pub(crate) fn largest_integer<A: Copy, T: Copy, I: Ord + Default>(
    columns: (&[A], &[T]),
    of: impl Fn((A, T)) -> I,
) -> I {
    let mut largest = I::default();
    for index in 0..common_length_of_pairs(columns) {
        largest = largest.max(of((columns.0[index], columns.1[index])));
    }
    largest
}

/// Columns that are cut short to fit are how comparisons lose elements.
#[inline(always)]
fn common_length<T, const K: usize>(columns: [&[T]; K]) -> usize {
    let length = columns[0].len();
    assert!(columns.iter().all(|column| column.len() == length), "columns of different lengths");
    length
}

#[inline(always)]
fn common_length_of_pairs<A, T>((a, b): (&[A], &[T])) -> usize {
    assert!(a.len() == b.len(), "columns of different lengths");
    b.len()
}
