//! Whatever the dtype, values, shape and criterion: the fast pass finds what the slow one finds.

use proptest::prelude::*;
use pulp::WithSimd;
use rayon::ThreadPoolBuilder;

use super::{classic, statistics};
use crate::pass::{BLOCK, CHUNK, Chunk};
use crate::slow::{self, assert_agree};
use crate::{Criterion, DType, Shape, Statistics, Tensor};

/// Bits of 1.
fn one(dtype: DType) -> u64 {
    match dtype {
        DType::F64 => 1f64.to_bits(),
        DType::F32 => 1f32.to_bits().into(),
        DType::F16 => 0x3c00,
        DType::BF16 => 0x3f80,
        DType::I64 | DType::I32 | DType::U8 | DType::Bool => 1,
    }
}

/// Bits of values where floats are special, of both signs.
fn special(dtype: DType) -> Vec<u64> {
    let (least_normal, infinity) = match dtype {
        DType::F64 => (f64::MIN_POSITIVE.to_bits(), f64::INFINITY.to_bits()),
        DType::F32 => (f32::MIN_POSITIVE.to_bits().into(), f32::INFINITY.to_bits().into()),
        DType::F16 => (0x0400, 0x7c00),
        DType::BF16 => (0x0080, 0x7f80),
        DType::I64 => (1 << 53, i64::MAX as u64),
        DType::I32 => (1 << 24, i32::MAX as u64),
        DType::U8 => (16, 127),
        DType::Bool => (1, 1),
    };
    let (sign, one) = (1u64 << (8 * dtype.size() - 1), one(dtype));
    let positive =
        [0, 1, 2, least_normal - 1, least_normal, one, one + 1, infinity - 1, infinity, infinity + 1];
    positive.iter().flat_map(|bits| [*bits, bits ^ sign]).collect()
}

/// Bits of two elements: unrelated, neighbours, or the same.
fn pair(dtype: DType) -> impl Strategy<Value = (u64, u64)> {
    let one = move || prop_oneof![any::<u64>(), prop::sample::select(special(dtype))];
    prop_oneof![
        2 => (one(), one()),
        3 => (one(), -3i64..=3).prop_map(|(bits, step)| (bits, bits.wrapping_add_signed(step))),
        3 => one().prop_map(|bits| (bits, bits)),
    ]
}

fn tensor(dtype: DType, dimensions: &[usize], bits: impl Iterator<Item = u64>) -> Tensor {
    let mask = if dtype == DType::Bool { 1 } else { u64::MAX };
    let bytes = bits.flat_map(|bits| (bits & mask).to_le_bytes().into_iter().take(dtype.size())).collect();
    Tensor::new(dtype, Shape::new(dimensions).unwrap(), bytes).unwrap()
}

fn criterion() -> impl Strategy<Value = Criterion> {
    let part = || prop::sample::select(vec![0.0, 5e-324, 1e-30, 1e-6, 1e-3, 0.5, 2.0, 1e6, 1e308, f64::MAX]);
    prop_oneof![Just(Criterion::BitExact), (part(), part()).prop_map(|(atol, rtol)| classic(atol, rtol))]
}

/// Two small tensors of any dtype and shape, rank 0 and zero-sized dimensions included.
fn small() -> impl Strategy<Value = (Tensor, Tensor)> {
    let dtype = prop::sample::select(DType::ALL.to_vec());
    (dtype, prop::collection::vec(0usize..5, 0..4)).prop_flat_map(|(dtype, dimensions)| {
        let elements = dimensions.iter().product::<usize>();
        prop::collection::vec(pair(dtype), elements).prop_map(move |bits| {
            (
                tensor(dtype, &dimensions, bits.iter().map(|bits| bits.0)),
                tensor(dtype, &dimensions, bits.iter().map(|bits| bits.1)),
            )
        })
    })
}

/// A linear congruential generator (Knuth's MMIX), its better bits folded down.
fn random(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^ (state >> 29)
    }
}

/// Two close tensors, sprinkled with special values and with pairs that are not close. Floats are from 1 to 2.
fn large(dtype: DType, elements: usize, seed: u64) -> (Tensor, Tensor) {
    let (mut random, special) = (random(seed), special(dtype));
    let fraction_bits = match dtype {
        DType::F64 => 52,
        DType::F32 => 23,
        DType::F16 => 10,
        DType::BF16 => 7,
        _ => 63,
    };
    let pairs: Vec<(u64, u64)> = (0..elements)
        .map(|_| {
            let expected = one(dtype) | (random() & ((1 << fraction_bits) - 1));
            match random() % 1024 {
                0 => (special[random() as usize % special.len()], expected),
                1 => (expected, special[random() as usize % special.len()]),
                2 => (special[0], special[random() as usize % special.len()]),
                3 => (random(), expected),
                _ => (expected.wrapping_add(random() % 5), expected),
            }
        })
        .collect();
    let side = |pick: fn(&(u64, u64)) -> u64| tensor(dtype, &[elements], pairs.iter().map(pick));
    (side(|pair| pair.0), side(|pair| pair.1))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_fast_pass_finds_what_the_slow_one_finds((actual, expected) in small(), criterion in criterion()) {
        let fast = statistics(&actual, &expected, criterion);
        assert_agree(&fast, &slow::compare(actual.view(), expected.view(), criterion));
    }

    #[test]
    fn a_tensor_satisfies_itself_unless_it_holds_nan((tensor, _) in small(), criterion in criterion()) {
        let found = statistics(&tensor, &tensor, criterion);
        prop_assert_eq!(found.violations, found.non_finite.actual_nan);
        prop_assert_eq!((found.max_abs, found.used, found.max_ulp.unwrap_or(0)), (0.0, 0.0, 0));
    }

    #[test]
    fn one_flipped_bit_is_seen((tensor, _) in small(), byte in any::<prop::sample::Index>(), bit in 0..8) {
        prop_assume!(tensor.shape().elements() > 0 && tensor.dtype() != DType::Bool);
        let mut bytes = tensor.bytes().to_vec();
        let byte = byte.index(bytes.len());
        bytes[byte] ^= 1u8 << bit;
        let changed = Tensor::new(tensor.dtype(), tensor.shape().clone(), bytes).unwrap();
        let found = statistics(&changed, &tensor, Criterion::BitExact);
        prop_assert!(found.violations > 0);
        let index = tensor.shape().multi_index(byte / tensor.dtype().size());
        let listed = found.worst.iter().any(|worst| worst.index == index);
        prop_assert!(listed || found.violations > Statistics::WORST as u64);
    }
}

#[test]
fn blocks_leave_nothing_out() {
    for dtype in DType::ALL {
        for elements in [1, 15, 16, 17, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5] {
            let (actual, expected) = large(dtype, elements, elements as u64);
            for criterion in [Criterion::BitExact, classic(1e-6, 1e-6), classic(0.0, 0.0)] {
                let fast = statistics(&actual, &expected, criterion);
                assert_agree(&fast, &slow::compare(actual.view(), expected.view(), criterion));
            }
        }
    }
}

#[test]
fn chunks_leave_nothing_out() {
    for dtype in [DType::F32, DType::I64] {
        let (actual, expected) = large(dtype, 2 * CHUNK + BLOCK + 3, 7);
        let criterion = classic(1e-6, 1e-6);
        let fast = statistics(&actual, &expected, criterion);
        assert_agree(&fast, &slow::compare(actual.view(), expected.view(), criterion));
    }
}

#[test]
fn the_thread_count_changes_no_bit() {
    let (actual, expected) = large(DType::F32, 3 * CHUNK + 77, 3);
    let with_threads = |threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        format!("{:?}", pool.install(|| statistics(&actual, &expected, classic(1e-6, 1e-6))))
    };
    let one = with_threads(1);
    for threads in [2, 3, 7] {
        assert_eq!(with_threads(threads), one, "{threads} threads");
    }
}

#[test]
fn the_instruction_set_changes_no_bit() {
    let (actual, expected) = large(DType::F32, CHUNK, 5);
    let chunk = || Chunk::<f32, f32> {
        actual: actual.bytes().as_chunks().0,
        expected: expected.bytes().as_chunks().0,
        start: 0,
        criterion: classic(1e-6, 1e-6),
    };
    let scalar = chunk().with_simd(pulp::Scalar::new());
    let dispatched = pulp::Arch::new().dispatch(chunk());
    assert_eq!(format!("{scalar:?}"), format!("{dispatched:?}"));
}
