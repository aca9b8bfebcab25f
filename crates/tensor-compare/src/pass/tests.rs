#![expect(clippy::float_cmp, reason = "the exact result is what is tested")]

mod peers;
mod properties;

use crate::lanes::BLOCK;
use crate::partial::Partial;
use crate::worst::{Candidate, Class};
use crate::{
    Criterion, DType, LayoutMismatch, MatchedPair, Shape, Statistics, Tensor, Tolerance, compare, slow,
};

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;

fn classic(atol: f64, rtol: f64) -> Criterion {
    Criterion::Classic(Tolerance::new(atol, rtol).unwrap())
}

fn f32s(values: &[f32]) -> Tensor {
    Tensor::from_f32(&[values.len()], values).unwrap()
}

fn statistics(actual: &Tensor, expected: &Tensor, criterion: Criterion) -> Statistics {
    compare(MatchedPair::new(actual.view(), expected.view()).unwrap(), criterion)
}

/// A generous criterion and a strict one: what must fail must fail under both.
fn criteria() -> [Criterion; 2] {
    [classic(1e30, 1e30), Criterion::BitExact]
}

#[test]
fn shapes_are_compared_before_values() {
    // A cache that stored [2, 12, 64] and gave back [12, 12, 64]: the values agree where they overlap.
    let stored = Tensor::from_f32(&[2, 12, 64], &vec![1.0; 2 * 12 * 64]).unwrap();
    let retrieved = Tensor::from_f32(&[12, 12, 64], &vec![1.0; 12 * 12 * 64]).unwrap();
    let mismatch = MatchedPair::new(retrieved.view(), stored.view()).unwrap_err();
    assert_eq!(
        mismatch,
        LayoutMismatch::Shape { expected: stored.shape().clone(), found: retrieved.shape().clone() }
    );
    assert_eq!(mismatch.to_string(), "shape [12, 12, 64] found, [2, 12, 64] expected");
}

#[test]
fn equal_element_counts_do_not_make_equal_shapes() {
    for (a, b) in [(&[6][..], &[2, 3][..]), (&[2, 3], &[3, 2]), (&[6], &[6, 1]), (&[0], &[0, 5]), (&[], &[1])]
    {
        let tensor = |dimensions: &[usize]| {
            Tensor::from_f32(dimensions, &vec![0.0; dimensions.iter().product()]).unwrap()
        };
        let (a, b) = (tensor(a), tensor(b));
        assert!(matches!(MatchedPair::new(a.view(), b.view()), Err(LayoutMismatch::Shape { .. })));
    }
}

#[test]
fn no_two_dtypes_match() {
    for found in DType::ALL {
        for expected in DType::ALL {
            let tensor = |dtype: DType| {
                Tensor::new(dtype, Shape::new([3]).unwrap(), vec![0; 3 * dtype.size()]).unwrap()
            };
            let (actual, judge) = (tensor(found), tensor(expected));
            let pair = MatchedPair::new(actual.view(), judge.view());
            match pair {
                Ok(_) => assert_eq!(found, expected),
                Err(mismatch) => assert_eq!(mismatch, LayoutMismatch::DType { expected, found }),
            }
        }
    }
}

#[test]
fn a_declared_layout_is_required_of_a_tensor() {
    let tensor = Tensor::from_f32(&[2, 3], &[0.0; 6]).unwrap();
    let shape = |dimensions: &[usize]| Shape::new(dimensions).unwrap();
    assert_eq!(tensor.require_layout(DType::F32, &shape(&[2, 3])), Ok(()));
    let found = tensor.require_layout(DType::F32, &shape(&[3, 2])).unwrap_err();
    assert!(matches!(found, LayoutMismatch::Shape { .. }), "{found}");
    let found = tensor.require_layout(DType::F64, &shape(&[2, 3])).unwrap_err();
    assert!(matches!(found, LayoutMismatch::DType { .. }), "{found}");
}

#[test]
fn nan_is_never_accepted() {
    for criterion in criteria() {
        for (actual, expected) in [(NAN, 1.0), (1.0, NAN), (NAN, NAN), (NAN, INF), (INF, NAN), (-NAN, NAN)] {
            let found = statistics(&f32s(&[0.0, actual, 2.0]), &f32s(&[0.0, expected, 2.0]), criterion);
            assert_eq!(found.violations, 1, "{actual} against {expected}");
            assert!(!found.satisfied());
            assert_eq!(found.non_finite.actual_nan, u64::from(actual.is_nan()));
            assert_eq!(found.non_finite.expected_nan, u64::from(expected.is_nan()));
            assert_eq!(found.non_finite.same_infinity, 0);
            assert_eq!(found.worst.len(), 1);
            assert_eq!(found.worst[0].index, [1]);
            assert_eq!(found.max_abs, 0.0);
        }
    }
}

#[test]
fn all_nan_is_a_violation_everywhere() {
    for criterion in criteria() {
        let nans = f32s(&[NAN; 1000]);
        let found = statistics(&nans, &nans, criterion);
        assert_eq!((found.elements, found.violations), (1000, 1000));
        assert_eq!((found.range, found.cosine, found.max_abs, found.rmse), (None, None, 0.0, 0.0));
        assert_eq!(found.buckets, [0; Statistics::BUCKETS]);
        assert_eq!(found.worst.iter().map(|worst| worst.index[0]).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }
}

#[test]
fn only_the_same_infinity_is_accepted() {
    for criterion in criteria() {
        for (actual, expected) in [(INF, -INF), (INF, f32::MAX), (f32::MIN, -INF), (0.0, INF), (-INF, 0.0)] {
            let found = statistics(&f32s(&[actual]), &f32s(&[expected]), criterion);
            assert_eq!(
                (found.violations, found.non_finite.same_infinity),
                (1, 0),
                "{actual} against {expected}"
            );
        }
        for infinity in [INF, -INF] {
            let found = statistics(&f32s(&[infinity, 1.0]), &f32s(&[infinity, 1.0]), criterion);
            assert!(found.satisfied());
            assert_eq!(found.non_finite.same_infinity, 1);
            assert_eq!((found.non_finite.actual_infinite, found.non_finite.expected_infinite), (1, 1));
            assert!(found.worst.is_empty());
            assert_eq!((found.range, found.max_ulp), (Some((1.0, 1.0)), Some(0)));
        }
    }
}

#[test]
fn an_overflowed_difference_is_a_violation_whatever_is_allowed() {
    let (actual, expected) = (Tensor::from_f64(&[1], &[f64::MAX]), Tensor::from_f64(&[1], &[f64::MIN]));
    let found = statistics(&actual.unwrap(), &expected.unwrap(), classic(f64::MAX, f64::MAX));
    assert_eq!(found.violations, 1);
    assert_eq!((found.max_abs, found.used), (f64::INFINITY, f64::INFINITY));
    assert_eq!(found.worst[0].error, f64::INFINITY);
    assert_eq!(found.max_ulp, Some(2 * f64::MAX.to_bits()));
}

#[test]
fn an_overflowed_bound_allows_what_is_finite() {
    let (actual, expected) = (Tensor::from_f64(&[1], &[1e308]), Tensor::from_f64(&[1], &[f64::MAX]));
    let found = statistics(&actual.unwrap(), &expected.unwrap(), classic(0.0, 2.0));
    assert!(found.satisfied());
    assert_eq!(found.used, 0.0);
}

#[test]
fn zeros_of_different_sign_differ_in_bits_alone() {
    let (positive, negative) = (f32s(&[0.0, 1.0]), f32s(&[-0.0, 1.0]));
    let close = statistics(&negative, &positive, classic(0.0, 0.0));
    assert!(close.satisfied());
    assert_eq!((close.max_ulp, close.used, close.worst.len()), (Some(0), 0.0, 0));
    let exact = statistics(&negative, &positive, Criterion::BitExact);
    assert_eq!((exact.violations, exact.used, exact.max_abs), (1, 0.0, 0.0));
    assert_eq!(exact.worst[0].index, [0]);
}

#[test]
fn nothing_compared_is_no_pass() {
    for dtype in DType::ALL {
        for dimensions in [&[0][..], &[3, 0, 5], &[0, usize::MAX]] {
            let Ok(shape) = Shape::new(dimensions) else { continue };
            let empty = Tensor::new(dtype, shape, Vec::new()).unwrap();
            for criterion in criteria() {
                let found = statistics(&empty, &empty, criterion);
                assert_eq!((found.elements, found.violations), (0, 0));
                assert!(!found.satisfied());
                assert_eq!((found.range, found.cosine), (None, None));
            }
        }
    }
}

#[test]
fn a_scalar_has_one_element() {
    let scalar = Tensor::from_f32(&[], &[1.0]).unwrap();
    let other = Tensor::from_f32(&[], &[1.5]).unwrap();
    let found = statistics(&other, &scalar, classic(0.0, 0.0));
    assert_eq!((found.elements, found.violations), (1, 1));
    assert!(found.worst[0].index.is_empty());
}

#[test]
fn the_highest_rank_has_its_multi_index() {
    let mut dimensions = vec![1; Shape::MAXIMUM_RANK];
    dimensions[40] = 3;
    let expected = Tensor::from_f32(&dimensions, &[1.0; 3]).unwrap();
    let actual = Tensor::from_f32(&dimensions, &[1.0, 1.0, 2.0]).unwrap();
    let found = statistics(&actual, &expected, Criterion::BitExact);
    let mut index = vec![0; Shape::MAXIMUM_RANK];
    index[40] = 2;
    assert_eq!(found.worst[0].index, index);
}

#[test]
fn integers_are_judged_exactly_where_f64_is_not() {
    // 2⁵³ and 2⁵³ + 1 are the same f64.
    let big = 1i64 << 53;
    let (actual, expected) = (Tensor::from_i64(&[2], &[big + 1, 5]), Tensor::from_i64(&[2], &[big, 5]));
    let (actual, expected) = (actual.unwrap(), expected.unwrap());
    for (criterion, violations) in [(classic(0.0, 0.0), 1), (Criterion::BitExact, 1), (classic(1.0, 0.0), 0)]
    {
        let found = statistics(&actual, &expected, criterion);
        assert_eq!((found.violations, found.max_abs), (violations, 1.0));
        assert_eq!(found.max_ulp, None);
    }
    let (lowest, highest) = (Tensor::from_i64(&[1], &[i64::MIN]), Tensor::from_i64(&[1], &[i64::MAX]));
    let found = statistics(&lowest.unwrap(), &highest.unwrap(), classic(1.8e19, 0.0));
    assert_eq!((found.violations, found.max_abs), (1, 18_446_744_073_709_551_615.0));
}

#[test]
fn bounds_on_integers_count_down_to_their_floor() {
    let (actual, expected) = (Tensor::from_i64(&[3], &[0, 2, -3]), Tensor::from_i64(&[3], &[0, 0, 0]));
    let (actual, expected) = (actual.unwrap(), expected.unwrap());
    for (atol, violations) in [(0.0, 2), (1.9, 2), (2.0, 1), (2.9, 1), (3.0, 0), (1e300, 0)] {
        assert_eq!(statistics(&actual, &expected, classic(atol, 0.0)).violations, violations, "atol {atol}");
    }
}

#[test]
fn subnormals_count() {
    let least = f32::from_bits(1);
    let found = statistics(&f32s(&[least, 3.0 * least]), &f32s(&[-least, 2.0 * least]), classic(0.0, 0.5));
    assert_eq!((found.violations, found.max_ulp), (1, Some(2)));
    assert_eq!(found.max_abs, 2.0 * f64::from(least));
    assert_eq!((found.max_rel, found.used), (2.0, 4.0));
    assert_eq!(found.buckets[1], 2);
    assert_eq!(found.range, Some((f64::from(least), 3.0 * f64::from(least))));
}

#[test]
fn errors_fall_into_buckets_by_power_of_ten() {
    let errors =
        [0.0, 5e-324, 9.9e-12, 1e-11, 9.9e-11, 1e-10, 1e-4, 9.9e-4, 1e-3, 1.0, 9.9, 10.0, 99.0, 100.0, 1e300];
    let actual = Tensor::from_f64(&[errors.len()], &errors).unwrap();
    let expected = Tensor::from_f64(&[errors.len()], &[0.0; 15]).unwrap();
    let found = statistics(&actual, &expected, classic(1e-3, 0.0));
    assert_eq!(found.buckets, [1, 2, 2, 1, 0, 0, 0, 0, 0, 2, 1, 0, 0, 2, 2, 2]);
    assert_eq!(found.violations, 6);
}

#[test]
fn the_worst_come_first() {
    let expected = f32s(&[1.0; 8]);
    let actual = f32s(&[1.0, 1.25, NAN, 1.5, INF, 1.125, 0.5, 3.0]);
    let found = statistics(&actual, &expected, classic(0.375, 0.0));
    let indices: Vec<usize> = found.worst.iter().map(|worst| worst.index[0]).collect();
    assert_eq!(
        indices,
        [2, 4, 7, 3, 6],
        "not finite, then by share of what is allowed, the earlier of equals"
    );
    assert_eq!((found.worst[2].actual, found.worst[2].error, found.worst[2].allowed), (3.0, 2.0, 0.375));
    assert_eq!((found.worst[0].allowed, found.worst[1].error), (0.0, f64::INFINITY));
}

#[test]
fn relative_bounds_rank_by_share_and_not_by_error() {
    let found = statistics(&f32s(&[1001.0, 0.010_05]), &f32s(&[1000.0, 0.01]), classic(0.0, 1e-2));
    assert!(found.satisfied() && found.used > 0.49 && found.used < 0.51);
    assert_eq!(found.worst.iter().map(|worst| worst.index[0]).collect::<Vec<_>>(), [1, 0]);
}

/// A later block is looked at if an element of it ranks above one of those that are kept, and only then.
#[test]
fn the_worst_of_later_blocks_are_kept() {
    let places =
        [3, BLOCK + 1, BLOCK + 2, 2 * BLOCK + 5, 2 * BLOCK + 6, 3 * BLOCK + 4, 3 * BLOCK + 9, 4 * BLOCK + 8];
    let errors = [0.25, 0.125, 0.75, 0.5, 0.25, 0.125, 1.0, 0.375];
    let mut actual = vec![1.0; 5 * BLOCK];
    places.iter().zip(errors).for_each(|(&place, error)| actual[place] += error);
    let mut worse = actual.clone();
    worse[4 * BLOCK..].iter_mut().for_each(|value| *value += 2.0);
    let (actual, worse, expected) = (f32s(&actual), f32s(&worse), f32s(&vec![1.0; 5 * BLOCK]));
    let found = statistics(&worse, &expected, classic(4.0, 0.0));
    slow::assert_agree(&found, &slow::compare(worse.view(), expected.view(), classic(4.0, 0.0)));
    for criterion in [classic(4.0, 0.0), classic(0.5, 0.0), classic(0.1, 0.0), Criterion::BitExact] {
        let found = statistics(&actual, &expected, criterion);
        let kept: Vec<usize> = found.worst.iter().map(|worst| worst.index[0]).collect();
        assert_eq!(kept, [6, 2, 3, 7, 0].map(|at| places[at]), "{criterion:?}");
        slow::assert_agree(&found, &slow::compare(actual.view(), expected.view(), criterion));
    }
}

#[test]
fn an_element_is_worth_a_look_from_just_below_the_last_that_is_kept() {
    let mut partial = Partial::default();
    let looks = |partial: &Partial| [partial.rank_to_exceed(), partial.worth_a_look()].map(f64::to_bits);
    assert_eq!(looks(&partial), [0, 0]);
    partial.highest_rank = 0.75;
    assert_eq!(looks(&partial), [0, 0], "there is room");
    for position in 0..Statistics::WORST {
        let (class, rank) = (Class::Satisfied, 0.25);
        let [actual, expected, error, allowed] = [0.0; 4];
        partial.worst.offer(Candidate { class, rank, position, actual, expected, error, allowed });
    }
    assert_eq!(looks(&partial), [0.25, 0.25f64.next_down()].map(f64::to_bits));
    partial.highest_rank = 0.125;
    assert_eq!(looks(&partial), [0.125, 0.125f64.next_down()].map(f64::to_bits));
}
