use super::*;
use crate::test_support::{normal, rules, stored_rules, used};

const PLAIN: LayerNorm<'static> = LayerNorm { epsilon: 1e-5, weight: None, bias: None };

fn bounded(x: &Array<f32>) -> Bounded {
    PLAIN.bounded(&rules(), &Bounded::exact(x.widened()))
}

#[test]
fn every_way_uses_at_most_half_of_its_bound() {
    for width in [16, 64, 768] {
        let x = normal(&[2, 9, width], 1);
        let [weight, bias] = [2, 3].map(|seed| normal(&[width], seed).values);
        let norms = [PLAIN, LayerNorm { weight: Some(&weight), bias: Some(&bias), ..PLAIN }];
        for norm in norms {
            let bounded = norm.bounded(&rules(), &Bounded::exact(x.widened()));
            assert_eq!(bounded.value, norm.value(&x.widened()));
            for way in Way::REPLICAS {
                let share = used(&norm.replica(&way, &x), &bounded);
                assert!(share < 0.5, "{width} {way:?}: {share}");
            }
        }
    }
}

/// ε = 1.1·10⁻⁵ changes n by 5·10⁻⁷/v of itself: more than the bound where v is below 0.04, less where v is 1.
#[test]
fn another_epsilon_is_outside_where_the_variance_is_small_and_inside_where_it_is_not() {
    for width in [64, 256, 768] {
        for (scale, is_outside) in [(0.02, true), (0.2, true), (1.0, false)] {
            let mut x = normal(&[8, width], 4);
            x.values.iter_mut().for_each(|x| *x *= scale);
            let wrong = LayerNorm { epsilon: 1.1e-5, ..PLAIN };
            for way in Way::REPLICAS {
                let share = used(&wrong.replica(&way, &x), &bounded(&x));
                assert_eq!(share > 1.0, is_outside, "{width} {scale} {way:?}: {share}");
            }
        }
    }
}

#[test]
fn constant_and_nearly_constant_rows_stay_in_their_bound() {
    for value in [0.0, 1.0, 0.7, 49.3, 1e-40, 1e15] {
        for width in [1, 5, 768] {
            let rows = Array::new(&[1, width], vec![value; width]);
            let bounded = bounded(&rows);
            assert!(bounded.error.iter().flatten().all(|&bound| bound.is_finite() && bound > 0.0));
            for way in Way::REPLICAS {
                let share = used(&PLAIN.replica(&way, &rows), &bounded);
                assert!(share < 1.0, "{value} {width} {way:?}: {share}");
            }
        }
    }
    for noise in [1e-7, 1e-6, 1e-5, 1e-4, 1e-2] {
        let mut rows = normal(&[16, 768], 5);
        rows.values.iter_mut().for_each(|x| *x = 37.0 * (1.0 + noise * *x));
        for way in Way::REPLICAS {
            let share = used(&PLAIN.replica(&way, &rows), &bounded(&rows));
            assert!(share < 0.6, "{noise} {way:?}: {share}");
        }
    }
}

#[test]
fn squares_lost_beside_an_outlier_are_charged() {
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
    let (x, carried, g, b) = ([1.0, -2.0, 4.0, 0.5_f64], [1.0, 20.0, 3.0, 0.0_f64], 3.0, 0.25);
    let mean = x.iter().sum::<f64>() / 4.0;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4.0;
    let r = 1.0 / (variance + 1e-5).sqrt();
    let reach = (x.iter().map(|x| x.abs()).sum::<f64>() + mean.abs() * 4.0) / 2.0;
    let shared = 10.0 * reach / 4.0 + 3.0 * mean.abs();
    let updating = 10.0 * (variance * (variance + mean * mean)).sqrt();
    let spread = (10.0 * variance).max(updating) + 5.0 * variance + UNIT * shared * shared;
    let relative = spread * r * r / 2.0 + 6.0;
    let n = x.map(|x| (x - mean).abs() * r);
    let squares = carried.iter().map(|error| error * error).sum::<f64>();
    let common = ((0..4).map(|i| n[i] * carried[i]).sum::<f64>() + UNIT / 2.0 * r * squares) / 4.0;
    let given =
        Bounded { value: Array::new(&[1, 4], x.to_vec()), error: Some(carried.to_vec()), stored: None };
    let (weight, bias) = ([-3.0; 4], [0.25; 4]);
    let plain = PLAIN.bounded(&rules(), &given).error.unwrap_or_default();
    let scaled = LayerNorm { weight: Some(&weight), bias: Some(&bias), ..PLAIN };
    let scaled = scaled.bounded(&rules(), &given).error.unwrap_or_default();
    for i in 0..4 {
        let own = n[i] / r * (1.0 + relative) + x[i].abs() + shared;
        let error = (own + carried[i] + 6.0 + n[i] * common) * r;
        assert!((plain[i] / error - 1.0).abs() < 1e-9, "{i}: {}, {error}", plain[i]);
        let expected = (2.0 * n[i] + error) * g + 2.0 * b;
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
fn an_infinity_leaves_other_rows_alone() {
    let mut rows = normal(&[3, 8], 9).widened();
    rows.values[10] = f64::INFINITY;
    let errors = PLAIN.bounded(&rules(), &Bounded::exact(rows)).error.unwrap_or_default();
    let finite: Vec<bool> = errors.chunks(8).map(|row| row.iter().all(|bound| bound.is_finite())).collect();
    assert_eq!(finite, [true, false, true]);
}

#[test]
fn stored_inputs_and_weights_are_bounded() {
    let rounding = stored_rules(&[Rounds::Inputs, Rounds::Weights]);
    let Some(format) = rounding.half(Rounds::Inputs) else { panic!("inputs are stored") };
    let [mut x, mut weight, mut bias] =
        [(10, 9), (11, 1), (12, 1)].map(|(seed, rows)| normal(&[rows, 256], seed));
    let norm = LayerNorm { weight: Some(&weight.values), bias: Some(&bias.values), ..PLAIN };
    let bounded = norm.bounded(&rounding, &rounding.given(x.widened()));
    let own = norm.bounded(&rules(), &Bounded::exact(x.widened()));
    for numbers in [&mut x, &mut weight, &mut bias] {
        numbers.values.iter_mut().for_each(|x| *x = format.rounded(*x));
    }
    let stored = LayerNorm { weight: Some(&weight.values), bias: Some(&bias.values), ..PLAIN };
    let found = stored.replica(&Way::PLAIN, &x);
    let share = used(&found, &bounded);
    assert!(share < 0.6 && share > 0.2, "{share}");
    assert!(used(&found, &own) > 10.0);
}
