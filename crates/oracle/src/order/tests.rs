#![expect(clippy::float_cmp, reason = "exact results")]

use ndarray::Array2;

use super::*;
use crate::test_support::normal;

fn plain(order: Order) -> Way {
    Way { order, ..Way::PLAIN }
}

/// Numbers next to 2²⁴ are 2 apart, those below it 1: every order loses other ones.
const TERMS: [f32; 6] = [1.0, 16_777_216.0, 1.0, 1.0, -16_777_216.0, 1.0];

#[test]
fn terms_are_added_in_the_order_that_is_stated() {
    let sum = |order| plain(order).sums(TERMS.len()).sum(&TERMS);
    assert_eq!(sum(Order::Sequential), 1.0);
    assert_eq!(sum(Order::Reversed), 4.0);
    assert_eq!(sum(Order::Blocked(2)), 3.0);
    assert_eq!(sum(Order::Lanes(2)), 2.0);
}

#[test]
fn a_tree_is_balanced() {
    let mut terms = [1.0; 4 * LEAF];
    terms[0] = 16_777_216.0;
    // The first leaf loses its ones, the second adds 8 to it, the other half is 16.
    let found = plain(Order::Pairwise).sums(terms.len()).sum(&terms);
    assert_eq!(found, 16_777_216.0 + 8.0 + 16.0);
}

#[test]
fn every_order_has_every_term_once() {
    let orders = [Order::Blocked(3), Order::Lanes(4), Order::Permuted(7), Order::Pairwise, Order::Reversed];
    for order in orders {
        for count in [0, 1, 2, 3, 7, 8, 9, 31, 100_u8] {
            let terms: Vec<f32> = (1..=count).map(f32::from).collect();
            let sums = plain(order).sums(terms.len());
            let expected = f32::from(count) * (f32::from(count) + 1.0) / 2.0;
            assert_eq!(sums.sum(&terms), expected, "{order:?} {count}");
        }
    }
    let [first, second] = [1, 2].map(|seed| plain(Order::Permuted(seed)).sums(100).terms);
    assert_ne!(first, second);
}

#[test]
fn a_product_is_the_sum_of_each_element_alone() {
    let (x, y) = (normal(&[5, 70], 1), normal(&[70, 67], 2));
    for way in Way::REPLICAS {
        let sums = way.sums(70);
        let found = sums.product(x.rows(), y.rows());
        let alone = Array2::from_shape_fn((5, 67), |(row, column)| {
            sums.product(
                x.rows().slice_axis(Axis(0), (row..=row).into()),
                y.rows().slice_axis(Axis(1), (column..=column).into()),
            )[[0, 0]]
        });
        assert_eq!(found, alone, "{way:?}");
    }
}

#[test]
fn a_fused_product_is_rounded_once() {
    let x = 1.0 + 2_f32.powi(-12);
    let terms = [1.0, x];
    let squares = |fused| Way { fused, ..Way::PLAIN }.sums(2).squares(&terms);
    assert_eq!(f64::from(squares(true)), 2.0 + 2_f64.powi(-11));
    let factor = 1.0 + 2_f32.powi(-23);
    let product = |fused| {
        let sums = Way { fused, order: Order::Sequential, ..Way::PLAIN }.sums(2);
        sums.product(normal_row(&[factor, -1.0]).view(), normal_row(&[factor, 1.0]).reversed_axes().view())
            [[0, 0]]
    };
    assert_eq!(product(true), product(false));
}

fn normal_row(values: &[f32]) -> Array2<f32> {
    crate::array::matrix(values, values.len()).to_owned()
}

#[test]
fn the_ways_are_all_different_and_give_different_bits() {
    let (x, y) = (normal(&[3, 700], 3), normal(&[700, 40], 4));
    let found: Vec<_> = Way::REPLICAS.iter().map(|way| way.sums(700).product(x.rows(), y.rows())).collect();
    for (index, way) in Way::REPLICAS.iter().enumerate() {
        assert!(!Way::REPLICAS[..index].contains(way));
        assert!(!found[..index].contains(&found[index]), "{way:?}");
    }
}
