//! The one pass over a matched pair.
//!
//! The tensor is cut into chunks of fixed size, threads take chunks, and the chunks' results are joined in order: the
//! thread count cannot change a bit. Within a chunk, blocks that fit in the first-level cache are converted to f64, and each
//! quantity is one vectorised loop over the block. Divisions are made only for elements that could raise a maximum.

use half::{bf16, f16};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::lanes::{BLOCK, count, count_pairs, largest, largest_integer, smallest, sum};
use crate::number::{Judged, Number};
use crate::partial::{Partial, larger};
use crate::statistics::{Criterion, Statistics};
use crate::worst::{Candidate, Class, rank_base, reaches, share};
use crate::{DType, MatchedPair, OraclePair, TensorView};

/// Elements that one thread takes at a time.
const CHUNK: usize = 1 << 17;

/// Compares all elements under one criterion, in one pass. The result does not depend on the thread count.
pub fn compare(pair: MatchedPair<'_>, criterion: Criterion) -> Statistics {
    let sides = [pair.actual(), pair.expected()];
    match pair.expected().dtype() {
        DType::F64 => all::<f64, f64>(sides, criterion),
        DType::F32 => all::<f32, f32>(sides, criterion),
        DType::F16 => all::<f16, f16>(sides, criterion),
        DType::BF16 => all::<bf16, bf16>(sides, criterion),
        DType::I64 => all::<i64, i64>(sides, criterion),
        DType::I32 => all::<i32, i32>(sides, criterion),
        DType::U8 | DType::Bool => all::<u8, u8>(sides, criterion),
    }
}

/// Compares floats with the oracle's f64, to which they are widened; none of integers and bytes.
pub(crate) fn compare_widened(pair: OraclePair<'_>, criterion: Criterion) -> Option<Statistics> {
    let sides = [pair.actual(), pair.oracle()];
    match pair.actual().dtype() {
        DType::F64 => Some(all::<f64, f64>(sides, criterion)),
        DType::F32 => Some(all::<f32, f64>(sides, criterion)),
        DType::F16 => Some(all::<f16, f64>(sides, criterion)),
        DType::BF16 => Some(all::<bf16, f64>(sides, criterion)),
        DType::I64 | DType::I32 | DType::U8 | DType::Bool => None,
    }
}

fn all<A: Judged<T>, T: Number>([actual, expected]: [TensorView<'_>; 2], criterion: Criterion) -> Statistics {
    let shape = expected.shape();
    let (actual, expected) = (A::split(actual.bytes()), T::split(expected.bytes()));
    assert_eq!(actual.len(), expected.len(), "a pair has one shape");
    let one = |index: usize| {
        let range = index * CHUNK..expected.len().min((index + 1) * CHUNK);
        let (actual, expected) = (&actual[range.clone()], &expected[range.clone()]);
        pulp::Arch::new().dispatch(Chunk::<A, T> { actual, expected, start: range.start, criterion })
    };
    // Collected in the order of the chunks, whoever finished first.
    let partials: Vec<Partial> = match expected.len().div_ceil(CHUNK) {
        0 => Vec::new(),
        1 => vec![one(0)],
        chunks => (0..chunks).into_par_iter().map(one).collect(),
    };
    let whole = partials.into_iter().fold(Partial::default(), Partial::join);
    whole.finish(shape, A::HAS_ULPS, criterion)
}

/// The elements that one thread takes.
struct Chunk<'a, A: Number, T: Number> {
    actual: &'a [A::Bytes],
    expected: &'a [T::Bytes],
    start: usize,
    criterion: Criterion,
}

/// Compiled once per instruction set and picked at run time: all that is to profit must be inlined here. No
/// multiplication is fused with an addition, so every instruction set gives the same bits.
impl<A: Judged<T>, T: Number> pulp::WithSimd for Chunk<'_, A, T> {
    type Output = Partial;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Partial {
        let mut pass =
            Pass::<A, T> { criterion: self.criterion, partial: Partial::default(), block: Block::new() };
        for offset in (0..self.expected.len()).step_by(BLOCK) {
            let range = offset..self.expected.len().min(offset + BLOCK);
            pass.block(&self.actual[range.clone()], &self.expected[range], self.start + offset);
        }
        pass.partial
    }
}

/// A pass over one chunk.
struct Pass<A, T> {
    criterion: Criterion,
    partial: Partial,
    block: Block<A, T>,
}

/// The elements of a block where both values are finite, column by column.
struct Block<A, T> {
    /// How many there are; what lies behind is of earlier blocks.
    length: usize,
    /// Where in the tensor each element is.
    position: [usize; BLOCK],
    raw_actual: [A; BLOCK],
    raw_expected: [T; BLOCK],
    actual: [f64; BLOCK],
    expected: [f64; BLOCK],
    error: [f64; BLOCK],
}

impl<A: Judged<T>, T: Number> Pass<A, T> {
    #[inline(always)]
    fn block(&mut self, actual: &[A::Bytes], expected: &[T::Bytes], start: usize) {
        self.block.load(actual, expected, start);
        self.partial.elements += self.block.length as u64;
        // Errors are at least 0, so nothing cancels: the sum is finite only if every error is.
        if !sum([self.block.error()], |[error]| error).is_finite() {
            self.set_non_finite_aside();
        }
        self.add_sums();
        let violations = self.violations();
        self.partial.violations += violations;
        let largest_error = largest(self.block.error(), 0.0);
        self.partial.max_abs = larger(self.partial.max_abs, largest_error);
        self.add_buckets(largest_error);
        if largest_error > 0.0 {
            self.raise_relative();
        }
        if largest_error > 0.0 || violations > 0 {
            self.raise_rank(violations);
        }
    }

    /// Takes elements that are not finite on both sides out of the block, and judges them.
    #[cold]
    fn set_non_finite_aside(&mut self) {
        let length = std::mem::take(&mut self.block.length);
        for index in 0..length {
            let (actual, expected) = (self.block.actual[index], self.block.expected[index]);
            if actual.is_finite() && expected.is_finite() {
                self.block.keep(index);
            } else {
                self.non_finite(self.block.position[index], actual, expected);
            }
        }
    }

    fn non_finite(&mut self, position: usize, actual: f64, expected: f64) {
        let found = &mut self.partial.non_finite;
        found.actual_nan += u64::from(actual.is_nan());
        found.expected_nan += u64::from(expected.is_nan());
        found.actual_infinite += u64::from(actual.is_infinite());
        found.expected_infinite += u64::from(expected.is_infinite());
        if actual.is_finite() {
            self.partial.extend_range([actual, actual]);
        }
        #[expect(clippy::float_cmp, reason = "infinities; NaN equals nothing")]
        if actual == expected {
            self.partial.non_finite.same_infinity += 1;
            return;
        }
        self.partial.violations += 1;
        self.partial.worst.offer(Candidate {
            class: Class::NonFinite,
            rank: f64::INFINITY,
            position,
            actual,
            expected,
            error: (actual - expected).abs(),
            allowed: 0.0,
        });
    }

    #[inline(always)]
    fn add_sums(&mut self) {
        let (block, partial) = (&self.block, &mut self.partial);
        partial.finite += block.length as u64;
        partial.errors += sum([block.error()], |[error]| error);
        partial.squares += sum([block.error()], |[error]| error * error);
        partial.products += sum([block.actual(), block.expected()], |[actual, expected]| actual * expected);
        partial.norms[0] += sum([block.actual()], |[actual]| actual * actual);
        partial.norms[1] += sum([block.expected()], |[expected]| expected * expected);
        partial.extend_range([
            smallest(block.actual(), f64::INFINITY),
            largest(block.actual(), f64::NEG_INFINITY),
        ]);
        if A::HAS_ULPS {
            let ulps = largest_integer(block.raw(), |(actual, expected)| actual.ulps_from(expected));
            partial.max_ulp = partial.max_ulp.max(ulps.into());
        }
    }

    #[inline(always)]
    fn violations(&self) -> u64 {
        let raw = self.block.raw();
        // The criterion is looked at once, not in the loop.
        match self.criterion {
            exact @ Criterion::BitExact => {
                count_pairs(raw, |(actual, expected)| !satisfies(exact, actual, expected))
            }
            classic @ Criterion::Classic(_) => {
                count_pairs(raw, |(actual, expected)| !satisfies(classic, actual, expected))
            }
        }
    }

    /// Counts errors from the largest power of ten down, and stops when all are counted.
    #[inline(always)]
    fn add_buckets(&mut self, largest_error: f64) {
        let errors = self.block.error();
        let non_zero = if largest_error > 0.0 { count([errors], |[error]| error > 0.0) } else { 0 };
        let mut counted = 0;
        for bucket in (1..Statistics::BUCKETS).rev() {
            let start = Statistics::BUCKET_STARTS[bucket];
            if counted < non_zero && largest_error >= start {
                let from_here = count([errors], |[error]| error >= start);
                self.partial.buckets[bucket] += from_here - counted;
                counted = from_here;
            }
        }
        self.partial.buckets[0] += errors.len() as u64 - non_zero;
    }

    /// Raises the largest relative error.
    #[inline(always)]
    fn raise_relative(&mut self) {
        let (block, highest) = (&self.block, &mut self.partial.max_rel);
        let columns = [block.error(), block.expected()];
        let so_far = *highest;
        if count(columns, |[error, expected]| reaches(error, expected.abs(), so_far)) == 0 {
            return;
        }
        for (&error, &expected) in columns[0].iter().zip(columns[1]) {
            let base = expected.abs();
            if base > 0.0 && reaches(error, base, *highest) {
                *highest = larger(*highest, share(error, base));
            }
        }
    }

    /// Raises the highest rank, and offers what may be among the worst.
    #[inline(always)]
    fn raise_rank(&mut self, violations: u64) {
        let criterion = self.criterion;
        let columns = [self.block.error(), self.block.expected()];
        let threshold = self.partial.worth_a_look();
        let reaching =
            count(columns, |[error, expected]| reaches(error, rank_base(criterion, expected), threshold));
        // Bits may differ without an error: zeros of different sign.
        let flips = criterion == Criterion::BitExact && violations > 0;
        if flips || (reaching > 0 && (violations > 0 || self.exceeds_rank())) {
            self.offer_worst(flips);
        }
    }

    /// Whether an element has a higher rank than one that is kept. Where no element is a violation, equals change nothing:
    /// they come later. Errors are multiples of a unit in the last place, so they are often equal.
    #[inline(always)]
    fn exceeds_rank(&self) -> bool {
        let (criterion, highest) = (self.criterion, self.partial.rank_to_exceed());
        let columns = [self.block.error(), self.block.expected()];
        // A rank may underflow to the 0 from which everything with an error is kept.
        highest == 0.0
            || count(columns, |[error, expected]| share(error, rank_base(criterion, expected)) > highest) > 0
    }

    fn offer_worst(&mut self, flips: bool) {
        let (block, partial, criterion) = (&self.block, &mut self.partial, self.criterion);
        let mut threshold = partial.worth_a_look();
        for index in 0..block.length {
            let (expected, error) = (block.expected[index], block.error[index]);
            let base = rank_base(criterion, expected);
            let satisfied = || satisfies(criterion, block.raw_actual[index], block.raw_expected[index]);
            let flipped = flips && error == 0.0 && !satisfied();
            if flipped || reaches(error, base, threshold) {
                let rank = share(error, base);
                partial.highest_rank = larger(partial.highest_rank, rank);
                partial.worst.offer(Candidate {
                    class: if satisfied() { Class::Satisfied } else { Class::Violation },
                    rank,
                    position: block.position[index],
                    actual: block.actual[index],
                    expected,
                    error,
                    allowed: criterion.allowed(expected),
                });
                threshold = partial.worth_a_look();
            }
        }
    }
}

impl Partial {
    /// The rank from which an element may change something. One step down, for a violation goes before an element of
    /// the same rank that satisfies the criterion.
    #[inline(always)]
    fn worth_a_look(&self) -> f64 {
        let lower = self.rank_to_exceed();
        if lower > 0.0 { lower.next_down() } else { 0.0 }
    }

    /// The rank above which an element changes something, whatever it is.
    #[inline(always)]
    fn rank_to_exceed(&self) -> f64 {
        let threshold = self.worst.threshold();
        if threshold < self.highest_rank { threshold } else { self.highest_rank }
    }
}

/// Whether two finite values satisfy the criterion.
#[inline(always)]
fn satisfies<A: Judged<T>, T: Number>(criterion: Criterion, actual: A, expected: T) -> bool {
    let actual = actual.widened();
    match criterion {
        Criterion::BitExact => actual.same_bits(expected),
        Criterion::Classic(tolerance) => actual.within(expected, tolerance.allowed(expected.to_f64())),
    }
}

impl<A: Judged<T>, T: Number> Block<A, T> {
    #[inline(always)]
    fn new() -> Self {
        Self {
            length: 0,
            position: [0; BLOCK],
            raw_actual: [A::default(); BLOCK],
            raw_expected: [T::default(); BLOCK],
            actual: [0.0; BLOCK],
            expected: [0.0; BLOCK],
            error: [0.0; BLOCK],
        }
    }

    /// Replaces the block by the elements that begin at `start`.
    #[inline(always)]
    fn load(&mut self, actual: &[A::Bytes], expected: &[T::Bytes], start: usize) {
        let length = expected.len();
        assert!(actual.len() == length && length <= BLOCK, "a block too long or of two lengths");
        self.length = length;
        for index in 0..length {
            let (actual, expected) = (A::load(actual[index]), T::load(expected[index]));
            self.position[index] = start.wrapping_add(index);
            self.raw_actual[index] = actual;
            self.raw_expected[index] = expected;
            self.actual[index] = actual.to_f64();
            self.expected[index] = expected.to_f64();
            self.error[index] = actual.widened().error(expected);
        }
    }

    /// Moves an element to the end of those kept; all kept ones were before it.
    fn keep(&mut self, index: usize) {
        let end = self.length;
        self.position[end] = self.position[index];
        self.raw_actual[end] = self.raw_actual[index];
        self.raw_expected[end] = self.raw_expected[index];
        self.actual[end] = self.actual[index];
        self.expected[end] = self.expected[index];
        self.error[end] = self.error[index];
        self.length += 1;
    }

    #[inline(always)]
    fn raw(&self) -> (&[A], &[T]) {
        (&self.raw_actual[..self.length], &self.raw_expected[..self.length])
    }

    #[inline(always)]
    fn actual(&self) -> &[f64] {
        &self.actual[..self.length]
    }

    #[inline(always)]
    fn expected(&self) -> &[f64] {
        &self.expected[..self.length]
    }

    #[inline(always)]
    fn error(&self) -> &[f64] {
        &self.error[..self.length]
    }
}

#[cfg(test)]
mod tests;
