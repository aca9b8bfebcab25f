use super::*;
use crate::test_support::{normal, rules, stored_rules, used};

const PLAIN: RmsNorm<'static> = RmsNorm { epsilon: 1e-5, weight: None };

fn bounded(x: &Array<f32>) -> Bounded {
    PLAIN.bounded(&rules(), &Bounded::exact(x.widened()))
}

#[test]
fn every_way_uses_at_most_half_of_its_bound() {
    for width in [8, 16, 64, 768] {
        let x = normal(&[2, 9, width], 1);
        let weight = normal(&[width], 2).values;
        for norm in [PLAIN, RmsNorm { weight: Some(&weight), ..PLAIN }] {
            let bounded = norm.bounded(&rules(), &Bounded::exact(x.widened()));
            assert_eq!(bounded.value, norm.value(&x.widened()));
            for way in Way::REPLICAS {
                let share = used(&norm.replica(&way, &x), &bounded);
                assert!(share < 0.5, "{width} {way:?}: {share}");
            }
        }
    }
}

#[test]
fn heads_are_normalised_one_by_one() {
    let x = normal(&[1, 2, 3, 8], 3).widened();
    for (found, x) in PLAIN.value(&x).values.chunks(8).zip(x.values.chunks(8)) {
        let square = x.iter().map(|x| x * x).sum::<f64>() / 8.0;
        for (found, x) in found.iter().zip(x) {
            assert!((found - x / (square + 1e-5).sqrt()).abs() < 1e-14);
        }
    }
}

#[test]
fn another_epsilon_and_a_mean_that_is_taken_off_are_outside() {
    for width in [64, 256, 768] {
        let mut x = normal(&[8, width], 4);
        x.values.iter_mut().for_each(|x| *x *= 0.2);
        for way in Way::REPLICAS {
            let wrong = RmsNorm { epsilon: 1.1e-5, ..PLAIN };
            assert!(used(&wrong.replica(&way, &x), &bounded(&x)) > 1.0, "{width} {way:?}");
        }
        let mut centred = x.clone();
        centred.values.chunks_mut(width).for_each(|row| {
            let mean = row.iter().sum::<f32>() / width as f32;
            row.iter_mut().for_each(|x| *x -= mean);
        });
        assert!(used(&PLAIN.replica(&Way::PLAIN, &centred), &bounded(&x)) > 100.0);
    }
}

#[test]
fn rows_of_one_value_tiny_rows_and_outliers_stay_in_their_bound() {
    for value in [0.0, 1.0, 0.7, 49.3, 1e-40, 1e15] {
        let rows = Array::new(&[2, 96], vec![value; 192]);
        for way in Way::REPLICAS {
            let share = used(&PLAIN.replica(&way, &rows), &bounded(&rows));
            assert!(share < 0.6, "{value} {way:?}: {share}");
        }
    }
    let mut rows = normal(&[64, 1600], 6);
    rows.values.iter_mut().skip(3).step_by(1600).for_each(|x| *x += 3000.0);
    for way in Way::REPLICAS {
        let share = used(&PLAIN.replica(&way, &rows), &bounded(&rows));
        assert!(share < 0.5, "{way:?}: {share}");
    }
}

/// The derivation, word for word; four terms or fewer cost 2(n + 1).
#[test]
fn bounds_are_those_of_the_derivation() {
    let (x, carried, g) = ([1.0, -2.0, 4.0, 0.5_f64], [1.0, 20.0, 3.0, 0.0_f64], 3.0);
    let square = x.iter().map(|x| x * x).sum::<f64>() / 4.0;
    let r = 1.0 / (square + 1e-5).sqrt();
    let relative = (10.0 * square + 3.0 * square) * r * r / 2.0 + 7.0;
    let n = x.map(|x| x.abs() * r);
    let squares = carried.iter().map(|error| error * error).sum::<f64>();
    let common = ((0..4).map(|i| n[i] * carried[i]).sum::<f64>() + UNIT / 2.0 * r * squares) / 4.0;
    let given =
        Bounded { value: Array::new(&[1, 4], x.to_vec()), error: Some(carried.to_vec()), stored: None };
    let plain = PLAIN.bounded(&rules(), &given).error.unwrap_or_default();
    let scaled = RmsNorm { weight: Some(&[-3.0; 4]), ..PLAIN };
    let scaled = scaled.bounded(&rules(), &given).error.unwrap_or_default();
    for i in 0..4 {
        let error = n[i] * relative + (carried[i] + n[i] * common) * r;
        assert!((plain[i] / error - 1.0).abs() < 1e-9, "{i}: {}, {error}", plain[i]);
        let expected = (2.0 * n[i] + error) * g;
        assert!((scaled[i] / expected - 1.0).abs() < 1e-9, "{i}: {}, {expected}", scaled[i]);
    }
}

#[test]
fn carried_errors_follow_the_derivatives() {
    for shift in [1e-7, 1e-5] {
        let x = normal(&[50, 16], 7).widened();
        let signs = normal(&[50, 16], 8);
        let values =
            x.values.iter().zip(&signs.values).map(|(x, &sign)| x + shift * f64::from(sign.signum()));
        let moved = PLAIN.value(&Array { shape: x.shape.clone(), values: values.collect() });
        let own = PLAIN.bounded(&rules(), &Bounded::exact(x.clone()));
        let carried = Bounded { value: x, error: Some(vec![shift / UNIT; 800]), stored: None };
        let all = PLAIN.bounded(&rules(), &carried).error.unwrap_or_default();
        for (index, own_error) in own.error.iter().flatten().enumerate() {
            let off = (moved.values[index] - own.value.values[index]).abs() / UNIT;
            assert!(off <= (all[index] - own_error) * (1.0 + 1e-4) + 1e-6, "{shift} {index}");
        }
    }
}

#[test]
fn what_is_not_finite_leaves_other_rows_alone() {
    for wrong in [f64::INFINITY, f64::NAN] {
        let mut rows = normal(&[3, 8], 9).widened();
        rows.values[10] = wrong;
        let errors = PLAIN.bounded(&rules(), &Bounded::exact(rows)).error.unwrap_or_default();
        let finite: Vec<bool> =
            errors.chunks(8).map(|row| row.iter().all(|bound| bound.is_finite())).collect();
        assert_eq!(finite, [true, false, true], "{wrong}");
    }
}

#[test]
fn stored_inputs_weights_and_rows_before_the_weight_are_bounded() {
    let rounding = stored_rules(&[Rounds::Inputs, Rounds::Weights, Rounds::Intermediates]);
    let Some(format) = rounding.half(Rounds::Inputs) else { panic!("inputs are stored") };
    let [mut x, mut weight] = [(10, 9), (11, 1)].map(|(seed, rows)| normal(&[rows, 256], seed));
    let norm = RmsNorm { weight: Some(&weight.values), ..PLAIN };
    let bounded = norm.bounded(&rounding, &rounding.given(x.widened()));
    let own = norm.bounded(&rules(), &Bounded::exact(x.widened()));
    for numbers in [&mut x, &mut weight] {
        numbers.values.iter_mut().for_each(|x| *x = format.rounded(*x));
    }
    let mut found = PLAIN.replica(&Way::PLAIN, &x);
    for row in found.values.chunks_mut(256) {
        row.iter_mut().zip(&weight.values).for_each(|(n, g)| *n = format.rounded(*n) * g);
    }
    let share = used(&found, &bounded);
    assert!(share < 0.6 && share > 0.2, "{share}");
    assert!(used(&found, &own) > 10.0);
}
