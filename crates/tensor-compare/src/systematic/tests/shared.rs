//! Errors that the elements of a row share, as those of LayerNorm do.

use super::*;

/// `y` normalized by row, and an error of one scale and one shift per row, with a little noise of each element.
fn layer_norm(seed: u64, [rows, width]: [usize; 2], shared_rows: bool, scale: f64) -> Vec<Systematic> {
    let mut random = noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xc2b2_ae35).skip(3);
    let mut next = move || random.next().unwrap();
    let (mut oracle, mut actual, mut magnitude) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rows {
        let (row_scale, row_shift) = (6.0 * UNIT * next(), 2.0 * UNIT * next());
        for _ in 0..width {
            let y = 3f64.sqrt() * next();
            oracle.push(y);
            magnitude.push(7.0 * y.abs() + 3.0);
            actual.push(y * (1.0 + row_scale) * (1.0 + scale) + row_shift + 0.5 * UNIT * next());
        }
    }
    let shape = Shape::new([rows, width]).unwrap();
    let slices = vec![Slice::Tensor, Slice::Axis(0), Slice::Axis(1)];
    let budget = RoundingBudget { shared_rows, ..budget(slices) };
    systematic(&budget, &shape, &actual, &oracle, &magnitude)
}

#[test]
fn shared_row_errors_are_no_alarm() {
    let mut accused_otherwise = 0;
    for rows in [1, 2, 3, 8, 24] {
        for seed in 0..200 {
            for found in layer_norm(seed, [rows, 64], true, 0.0) {
                assert!(found.used <= 1.0, "{rows} rows, seed {seed}: {found:?}");
            }
            let independent = layer_norm(seed, [rows, 64], false, 0.0);
            accused_otherwise += u32::from(independent.iter().any(|found| found.used > 1.0));
        }
    }
    assert!(accused_otherwise > 100, "{accused_otherwise}");
}

#[test]
fn a_scale_is_seen_through_shared_row_errors() {
    for seed in 0..50 {
        let found = layer_norm(seed, [24, 64], true, 1e-5)[0];
        assert!(found.scale > found.scale_allowed && found.used > 5.0, "seed {seed}: {found:?}");
    }
    let found = layer_norm(1, [512, 64], true, 2e-6)[0];
    assert!(found.scale > found.scale_allowed, "{found:?}");
}

#[test]
fn columns_have_one_element_of_each_row_and_are_judged_as_ever() {
    let [with, without] = [true, false].map(|shared_rows| layer_norm(3, [24, 64], shared_rows, 0.0)[2]);
    assert_eq!(with, without);
}

/// A row of zeros has no scale of its own: the bound on its share is infinite, and must not excuse the tensor.
#[test]
fn a_row_of_zeros_excuses_nothing() {
    let shape = Shape::new([9, 4]).unwrap();
    let oracle: Vec<f64> = noise(4).take(36).enumerate().map(|(i, y)| if i < 4 { 0.0 } else { y }).collect();
    let actual: Vec<f64> = oracle.iter().map(|y| y * 1.0001).collect();
    let budget = RoundingBudget { shared_rows: true, ..budget(vec![Slice::Tensor]) };
    let found = systematic(&budget, &shape, &actual, &oracle, &[4.0; 36])[0];
    assert!(found.used > 10.0, "{found:?}");
}
