//! What of the rounding budget every element takes.

use half::{bf16, f16};

use crate::lanes::{BLOCK, count};
use crate::number::Number;
use crate::systematic::{Point, Points};
use crate::{DType, OraclePair, TensorView};

/// What was taken.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The largest share; 0 of no elements.
    pub(crate) used: f64,
    /// Elements outside the budget.
    pub(crate) violations: u64,
    /// The first element that takes the largest share: position, value, oracle's value, error, allowed error.
    pub(crate) worst: Option<(usize, f64, f64, f64, f64)>,
}

/// Takes the error of every element from `unit · M`, and puts the elements into `points` for the regression; none of
/// integers and bytes, which have no rounding.
pub(crate) fn take(
    unit: f64,
    pair: OraclePair<'_>,
    magnitude: TensorView<'_>,
    points: &mut Points,
) -> Option<Taken> {
    let views = [pair.actual(), pair.oracle(), magnitude];
    match pair.actual().dtype() {
        DType::F64 => Some(pass::<f64>(unit, views, points)),
        DType::F32 => Some(pass::<f32>(unit, views, points)),
        DType::F16 => Some(pass::<f16>(unit, views, points)),
        DType::BF16 => Some(pass::<bf16>(unit, views, points)),
        DType::I64 | DType::I32 | DType::U8 | DType::Bool => None,
    }
}

fn pass<A: Number>(unit: f64, views: [TensorView<'_>; 3], points: &mut Points) -> Taken {
    let [_, _, magnitude] = views;
    if magnitude.dtype() == DType::F32 {
        pass_with::<A, f32>(unit, views, points)
    } else {
        pass_with::<A, f64>(unit, views, points)
    }
}

fn pass_with<A: Number, M: Number>(
    unit: f64,
    [actual, oracle, magnitude]: [TensorView<'_>; 3],
    points: &mut Points,
) -> Taken {
    pulp::Arch::new().dispatch(Pass::<A, M> {
        unit,
        actual: A::split(actual.bytes()),
        oracle: f64::split(oracle.bytes()),
        magnitude: M::split(magnitude.bytes()),
        points,
    })
}

struct Pass<'a, A: Number, M: Number> {
    unit: f64,
    actual: &'a [A::Bytes],
    oracle: &'a [[u8; 8]],
    magnitude: &'a [M::Bytes],
    points: &'a mut Points,
}

/// Compiled once per instruction set and picked at run time.
impl<A: Number, M: Number> pulp::WithSimd for Pass<'_, A, M> {
    type Output = Taken;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Taken {
        let Self { unit, actual, oracle, magnitude, points } = self;
        let mut taken = Taken::default();
        let mut block = Block::new();
        for start in (0..oracle.len()).step_by(BLOCK) {
            let range = start..oracle.len().min(start + BLOCK);
            block.load::<A, M>(
                unit,
                &actual[range.clone()],
                &oracle[range.clone()],
                &magnitude[range.clone()],
            );
            points.put(start, range.len(), |index| {
                Point::new(block.actual[index], block.oracle[index], block.magnitude[index])
            });
            taken.add(&block, start);
        }
        taken
    }
}

/// Some elements, quantity by quantity.
struct Block {
    length: usize,
    actual: [f64; BLOCK],
    oracle: [f64; BLOCK],
    magnitude: [f64; BLOCK],
    error: [f64; BLOCK],
    allowed: [f64; BLOCK],
}

impl Block {
    #[inline(always)]
    fn new() -> Self {
        let nothing = [0.0; BLOCK];
        let [actual, oracle, magnitude, error, allowed] = [nothing; 5];
        Self { length: 0, actual, oracle, magnitude, error, allowed }
    }

    #[inline(always)]
    fn load<A: Number, M: Number>(
        &mut self,
        unit: f64,
        actual: &[A::Bytes],
        oracle: &[[u8; 8]],
        magnitude: &[M::Bytes],
    ) {
        let length = oracle.len();
        assert!(
            actual.len() == length && magnitude.len() == length && length <= BLOCK,
            "a block too long or of two lengths"
        );
        self.length = length;
        for index in 0..length {
            let (actual, oracle) = (A::load(actual[index]).to_f64(), f64::from_le_bytes(oracle[index]));
            let magnitude = M::load(magnitude[index]).to_f64();
            #[expect(clippy::float_cmp, reason = "the same infinity has no error")]
            let error = if actual == oracle { 0.0 } else { (actual - oracle).abs() };
            self.actual[index] = actual;
            self.oracle[index] = oracle;
            self.magnitude[index] = magnitude;
            self.error[index] = error;
            self.allowed[index] = unit * magnitude;
        }
    }
}

impl Taken {
    #[inline(always)]
    fn add(&mut self, block: &Block, start: usize) {
        let columns = [&block.error[..block.length], &block.allowed[..block.length]];
        let outside = |[error, allowed]: [f64; 2]| !(error <= allowed && allowed < f64::INFINITY);
        self.violations += count(columns, outside);
        let so_far = self.used;
        let no_more = |[error, allowed]: [f64; 2]| share(error, allowed) <= so_far;
        let raises = || count(columns, no_more) < block.length as u64;
        if self.worst.is_none() || (!so_far.is_nan() && raises()) {
            self.raise(block, start);
        }
    }

    /// NaN counts as more than any number, and the first of equals stays.
    #[cold]
    fn raise(&mut self, block: &Block, start: usize) {
        for index in 0..block.length {
            let (error, allowed) = (block.error[index], block.allowed[index]);
            let taken = share(error, allowed);
            if self.worst.is_none() || (!self.used.is_nan() && (taken > self.used || taken.is_nan())) {
                self.used = taken;
                self.worst = Some((start + index, block.actual[index], block.oracle[index], error, allowed));
            }
        }
    }
}

/// `error / allowed`, 0 for 0/0: no error needs no budget. NaN if either is.
#[inline(always)]
pub(crate) fn share(error: f64, allowed: f64) -> f64 {
    if error == 0.0 && allowed >= 0.0 { 0.0 } else { error / allowed }
}
