use ndarray::{Array2, ArrayView2, s};
use proptest::prelude::*;

use super::{DEPTH, Number, matmul, matmul_into};

/// What the tests need of a number.
trait Tested: Number + PartialEq + std::fmt::Debug {
    fn of(integer: i32) -> Self;
    fn fused(self, factor: Self, addend: Self) -> Self;
    fn bits(self) -> u64;
}

impl Tested for f32 {
    fn of(integer: i32) -> Self {
        integer as f32 / (1 << 23) as f32
    }
    fn fused(self, factor: Self, addend: Self) -> Self {
        self.mul_add(factor, addend)
    }
    fn bits(self) -> u64 {
        self.to_bits().into()
    }
}

impl Tested for f64 {
    /// Of 53 bits, so that products and sums of them round.
    fn of(integer: i32) -> Self {
        f64::from(integer) / 3e7
    }
    fn fused(self, factor: Self, addend: Self) -> Self {
        self.mul_add(factor, addend)
    }
    fn bits(self) -> u64 {
        self.to_bits()
    }
}

/// The order of summation that the crate promises, one element at a time.
fn element<T: Tested>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>, row: usize, column: usize) -> T {
    let mut total = T::zero();
    for start in (0..a.ncols()).step_by(DEPTH) {
        let mut partial = T::zero();
        for k in start..a.ncols().min(start + DEPTH) {
            partial = multiply_add(a[[row, k]], b[[k, column]], partial);
        }
        total = total + partial;
    }
    total
}

fn multiply_add<T: Tested>(a: T, b: T, c: T) -> T {
    #[cfg(target_arch = "x86_64")]
    let fuses = std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    let fuses = cfg!(target_arch = "aarch64");
    if fuses { a.fused(b, c) } else { a * b + c }
}

fn some_matrix<T: Tested>(rows: usize, columns: usize, seed: u32) -> Array2<T> {
    let mut state = seed | 1;
    Array2::from_shape_simple_fn((rows, columns), || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        T::of((state >> 8) as i32 - (1 << 23))
    })
}

fn bits<T: Tested>(matrix: ArrayView2<'_, T>) -> Vec<u64> {
    matrix.iter().map(|x| x.bits()).collect()
}

fn expected<T: Tested>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>) -> Array2<T> {
    Array2::from_shape_fn((a.nrows(), b.ncols()), |(row, column)| element(a, b, row, column))
}

fn sums_in_order<T: Tested>([rows, depth, columns]: [usize; 3], seed: u32) {
    let (a, b) = (some_matrix::<T>(rows, depth, seed), some_matrix(depth, columns, !seed));
    let expected = expected(a.view(), b.view());
    let columnwise = b.t().as_standard_layout().into_owned();
    assert_eq!(bits(matmul(a.view(), b.view()).view()), bits(expected.view()));
    assert_eq!(bits(matmul(a.view(), columnwise.t()).view()), bits(expected.view()));
    let rowwise = a.t().as_standard_layout().into_owned();
    assert_eq!(bits(matmul(rowwise.t(), b.view()).view()), bits(expected.view()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_element_is_summed_in_the_promised_order(
        rows in prop_oneof![1usize..4, 1usize..40, 63usize..67],
        depth in prop_oneof![0usize..5, 1usize..80, 510usize..516, 1020usize..1030],
        columns in prop_oneof![1usize..4, 1usize..50],
        seed: u32,
    ) {
        sums_in_order::<f32>([rows, depth, columns], seed);
        sums_in_order::<f64>([rows, depth, columns], seed);
    }

    #[test]
    fn strided_operands_and_results_are_the_same(
        rows in 1usize..20, depth in 1usize..70, columns in 1usize..20, seed: u32,
    ) {
        let (a, b) = (some_matrix(2 * rows, 3 * depth, seed), some_matrix(3 * depth, 2 * columns, !seed));
        let (a, b) = (a.slice(s![..;2, ..;3]), b.slice(s![..;-3, 1..;2]));
        let mut out = some_matrix::<f32>(rows, 3 * columns, seed);
        let untouched = out.clone();
        matmul_into(a, b, out.slice_mut(s![.., ..;3]));
        prop_assert_eq!(bits(out.slice(s![.., ..;3])), bits(expected(a, b).view()));
        for rest in [1, 2] {
            prop_assert_eq!(out.slice(s![.., rest..;3]), untouched.slice(s![.., rest..;3]));
        }
    }
}

fn same_on_all_threads<T: Tested>() {
    let (a, b) = (some_matrix::<T>(70, 700, 3), some_matrix(700, 600, 5));
    let columnwise = b.t().as_standard_layout().into_owned();
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| (matmul(a.view(), b.view()), matmul(a.view(), columnwise.t())))
    };
    let (by_rows, by_columns) = on(1);
    assert_eq!(bits(by_rows.view()), bits(by_columns.view()));
    for threads in [2, 3, 5] {
        assert_eq!(on(threads), (by_rows.clone(), by_columns.clone()), "{threads} threads");
    }
    for (row, column) in [(0, 0), (69, 599), (33, 512)] {
        assert_eq!(by_rows[[row, column]].bits(), element(a.view(), b.view(), row, column).bits());
    }
}

#[test]
fn large_products_do_not_depend_on_threads() {
    same_on_all_threads::<f32>();
    same_on_all_threads::<f64>();
}

#[test]
fn nan_and_infinity_come_through() {
    let mut a = some_matrix(3, 5, 1);
    a[[1, 2]] = f32::NAN;
    a[[2, 0]] = f32::INFINITY;
    let product = matmul(a.view(), Array2::ones((5, 4)).view());
    assert!(product.row(0).iter().all(|x| x.is_finite()));
    assert!(product.row(1).iter().all(|x| x.is_nan()));
    assert!(product.row(2).iter().all(|&x| x == f32::INFINITY));
}
