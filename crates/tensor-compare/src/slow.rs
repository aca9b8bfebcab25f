//! The same statistics, computed one element at a time in the most obvious way.

use std::cmp::Ordering;

use half::{bf16, f16};

use crate::{Criterion, DType, Element, NonFinite, Shape, Statistics, TensorView};

/// A pair of elements with everything that is known of it.
struct Pair {
    actual: Value,
    expected: Value,
    finite: bool,
    satisfied: bool,
    error: f64,
    /// 0 where a value is not finite.
    allowed: f64,
}

#[derive(Clone, Copy)]
struct Value {
    bits: u64,
    float: f64,
    /// What an integer is exactly; how many floats from 0 a float is.
    integer: i128,
}

/// What [`crate::compare`] should find.
pub(crate) fn compare(actual: TensorView<'_>, expected: TensorView<'_>, criterion: Criterion) -> Statistics {
    let (is_float, shape) = (actual.dtype().is_float(), actual.shape());
    let (actual, expected) = (values(actual), values(expected));
    assert_eq!((actual.len(), expected.len()), (shape.elements(), shape.elements()));
    let pairs: Vec<Pair> =
        (0..actual.len()).map(|i| Pair::new(is_float, actual[i], expected[i], criterion)).collect();
    let finite: Vec<&Pair> = pairs.iter().filter(|pair| pair.finite).collect();

    let count = |test: &dyn Fn(&Pair) -> bool| pairs.iter().filter(|pair| test(pair)).count() as u64;
    let largest = |of: &dyn Fn(&Pair) -> f64| finite.iter().map(|pair| of(pair)).fold(0.0, f64::max);
    let sum = |of: &dyn Fn(&Pair) -> f64| finite.iter().map(|pair| of(pair)).sum::<f64>();
    let mean = |sum: f64| if finite.is_empty() { 0.0 } else { sum / finite.len() as f64 };
    let squares = [sum(&|p| p.actual.float.powi(2)), sum(&|p| p.expected.float.powi(2))];
    let norms = squares[0].sqrt() * squares[1].sqrt();
    let no_digit_lost = squares.iter().all(|&square| square >= f64::MIN_POSITIVE / f64::EPSILON);
    let products = sum(&|p| p.actual.float * p.expected.float);
    let tested = || pairs.iter().map(|pair| pair.actual.float).filter(|value| value.is_finite());
    let ulps = finite.iter().map(|p| (p.actual.integer - p.expected.integer).unsigned_abs() as u64).max();

    Statistics {
        elements: pairs.len() as u64,
        violations: count(&|p| !p.satisfied),
        non_finite: NonFinite {
            actual_nan: count(&|p| p.actual.float.is_nan()),
            expected_nan: count(&|p| p.expected.float.is_nan()),
            actual_infinite: count(&|p| p.actual.float.is_infinite()),
            expected_infinite: count(&|p| p.expected.float.is_infinite()),
            same_infinity: count(&|p| p.satisfied && !p.finite),
        },
        max_abs: largest(&|p| p.error),
        mean_abs: mean(sum(&|p| p.error)),
        max_rel: largest(&|p| match p.expected.float {
            0.0 => 0.0,
            expected => share(p.error, expected.abs()),
        }),
        rmse: mean(sum(&|p| p.error * p.error)).sqrt(),
        cosine: (no_digit_lost && norms.is_finite() && products.is_finite()).then(|| products / norms),
        max_ulp: is_float.then(|| ulps.unwrap_or(0)),
        used: largest(&|p| share(p.error, p.allowed)),
        range: tested().reduce(f64::min).zip(tested().reduce(f64::max)),
        buckets: buckets(finite.iter().map(|pair| pair.error)),
        worst: worst(&pairs, shape, criterion),
    }
}

/// Sums depend on their order in the last bits; all else must agree exactly.
pub(crate) fn assert_agree(fast: &Statistics, slow: &Statistics) {
    let close = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a - b).abs() <= 1e-12 * a.abs().max(b.abs());
    assert!(close(fast.mean_abs, slow.mean_abs), "mean {} against {}", fast.mean_abs, slow.mean_abs);
    assert!(close(fast.rmse, slow.rmse), "rmse {} against {}", fast.rmse, slow.rmse);
    match (fast.cosine, slow.cosine) {
        (None, None) => {}
        (Some(fast), Some(slow)) => assert!((fast - slow).abs() <= 1e-12, "cosine {fast} against {slow}"),
        (fast, slow) => panic!("cosine {fast:?} against {slow:?}"),
    }
    let exact = |statistics: &Statistics| {
        // Of two zeros, either may be the smallest.
        let range = statistics.range.map(|(smallest, largest)| (smallest + 0.0, largest + 0.0));
        let same = Statistics { mean_abs: 0.0, rmse: 0.0, cosine: None, range, ..statistics.clone() };
        // As text, for NaN is not equal to itself. Floats are printed with all their digits.
        format!("{same:?}")
    };
    assert_eq!(exact(fast), exact(slow));
}

impl Pair {
    fn new(is_float: bool, actual: Value, expected: Value, criterion: Criterion) -> Self {
        let finite = actual.float.is_finite() && expected.float.is_finite();
        let distance = (actual.integer - expected.integer).unsigned_abs();
        let error = if is_float { (actual.float - expected.float).abs() } else { distance as f64 };
        let allowed = if finite { criterion.allowed(expected.float) } else { 0.0 };
        #[expect(clippy::float_cmp, reason = "infinities; NaN equals nothing")]
        let satisfied = if finite {
            match criterion {
                Criterion::BitExact => actual.bits == expected.bits,
                Criterion::Classic(_) if is_float => error.is_finite() && error <= allowed,
                Criterion::Classic(_) => distance <= allowed.floor() as u128,
            }
        } else {
            actual.float == expected.float
        };
        Self { actual, expected, finite, satisfied, error, allowed }
    }
}

fn values(view: TensorView<'_>) -> Vec<Value> {
    view.bytes().chunks(view.dtype().size()).map(|bytes| value(view.dtype(), bytes)).collect()
}

fn value(dtype: DType, bytes: &[u8]) -> Value {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let bits = u64::from_le_bytes(wide);
    let float = match dtype {
        DType::F64 => f64::from_bits(bits),
        DType::F32 => f64::from(f32::from_bits(bits as u32)),
        DType::F16 => f16::from_bits(bits as u16).to_f64(),
        DType::BF16 => bf16::from_bits(bits as u16).to_f64(),
        DType::I64 => bits as i64 as f64,
        DType::I32 => f64::from(bits as i32),
        DType::U8 | DType::Bool => bits as f64,
    };
    let sign = 1u64 << (8 * dtype.size() - 1);
    let integer = match dtype {
        DType::I64 => i128::from(bits as i64),
        DType::I32 => i128::from(bits as i32),
        DType::U8 | DType::Bool => i128::from(bits),
        _ if bits & sign == 0 => i128::from(bits),
        _ => -i128::from(bits - sign),
    };
    Value { bits, float, integer }
}

fn share(error: f64, base: f64) -> f64 {
    match (error, base) {
        (0.0, _) => 0.0,
        (f64::INFINITY, _) => f64::INFINITY,
        _ => error / base,
    }
}

fn buckets(errors: impl Iterator<Item = f64>) -> [u64; Statistics::BUCKETS] {
    let starts: [f64; 14] =
        [1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2];
    let mut buckets = [0; Statistics::BUCKETS];
    for error in errors {
        let reached = starts.iter().filter(|&&start| error >= start).count();
        buckets[if error == 0.0 { 0 } else { 1 + reached }] += 1;
    }
    buckets
}

fn worst(pairs: &[Pair], shape: &Shape, criterion: Criterion) -> Vec<Element> {
    let key = |pair: &Pair| {
        let class = match (pair.finite, pair.satisfied) {
            (false, true) => return None,
            (true, true) if pair.error == 0.0 => return None,
            (false, false) => return Some((3, 0.0)),
            (true, false) => 2,
            (true, true) => 1,
        };
        let by_error = criterion == Criterion::BitExact;
        Some((class, if by_error { pair.error } else { share(pair.error, pair.allowed) }))
    };
    let mut order: Vec<usize> =
        (0..pairs.len()).filter(|&position| key(&pairs[position]).is_some()).collect();
    order.sort_by(|&left, &right| {
        let [a, b] = [left, right].map(|position| key(&pairs[position]));
        b.partial_cmp(&a).unwrap_or(Ordering::Equal).then(left.cmp(&right))
    });
    let element = |position: usize| {
        let pair = &pairs[position];
        Element {
            index: shape.multi_index(position),
            actual: pair.actual.float,
            expected: pair.expected.float,
            error: pair.error,
            allowed: pair.allowed,
        }
    };
    order.into_iter().take(Statistics::WORST).map(element).collect()
}
