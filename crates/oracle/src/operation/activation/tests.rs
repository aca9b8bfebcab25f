use super::*;
use crate::test_support::{normal, rules, used};

const ALL: [Activation; 4] = [Activation::GeluTanh, Activation::GeluErf, Activation::Silu, Activation::Relu];

fn dense() -> Array<f32> {
    let values: Vec<f32> = (-60_000..=60_000_i32).map(|step| step as f32 / 4001.0).collect();
    Array::new(&[values.len()], values)
}

#[test]
fn every_way_is_within_its_bound_everywhere() {
    let x = dense();
    for activation in ALL {
        let bounded = activation.bounded(&rules(), &Bounded::exact(x.widened()));
        for way in Way::REPLICAS {
            let share = used(&activation.replica(&way, &x), &bounded);
            // Of the four units that SiLU is allowed for its sum and division, a reciprocal and a product use three.
            let most = if activation == Activation::Silu { 0.6 } else { 0.5 };
            assert!(share < most, "{activation:?} {way:?}: {share}");
        }
    }
}

#[test]
fn one_gelu_in_place_of_the_other_is_outside() {
    for size in [64, 128, 256, 768] {
        for seed in 1..6 {
            let x = normal(&[size], seed);
            for (right, wrong) in [(ALL[0], ALL[1]), (ALL[1], ALL[0])] {
                let bounded = right.bounded(&rules(), &Bounded::exact(x.widened()));
                let share = used(&wrong.replica(&Way::PLAIN, &x), &bounded);
                assert!(share > 2.0, "{wrong:?} for {right:?} at {size}: {share}");
            }
        }
    }
}

#[test]
fn carried_errors_follow_the_derivatives() {
    for activation in ALL {
        for shift in [1e-7, 1e-5, 1e-2] {
            let x = normal(&[3000], 7).widened();
            let moved = |sign: f64| {
                let values = x.values.iter().map(|x| 3.0 * x + sign * shift).collect();
                activation.value(&Array { shape: x.shape.clone(), values })
            };
            let carried = Bounded {
                value: Array { shape: x.shape.clone(), values: x.values.iter().map(|x| 3.0 * x).collect() },
                error: Some(vec![shift / UNIT; 3000]),
                stored: None,
            };
            let exact = activation.bounded(&rules(), &Bounded::exact(carried.value.clone()));
            let bounded = activation.bounded(&rules(), &carried);
            let of = |bounded: &Bounded| bounded.error.clone().unwrap_or_default();
            for (index, (all, own)) in of(&bounded).into_iter().zip(of(&exact)).enumerate() {
                for moved in [moved(1.0), moved(-1.0)] {
                    let off = (moved.values[index] - exact.value.values[index]).abs() / UNIT;
                    assert!(off <= (all - own) * (1.0 + 1e-4) + 1e-6, "{activation:?} {shift} {index}");
                }
            }
        }
    }
}

#[test]
fn bounds_of_gelu_are_those_of_its_derivation() {
    for step in -4000..=4000 {
        let x = f64::from(step) / 500.0;
        let root = (2.0 / std::f64::consts::PI).sqrt();
        let t = (root * (x + 0.044_715 * x.powi(3))).tanh();
        let argument = root * (4.0 * x.abs() + 9.0 * 0.044_715 * x.abs().powi(3));
        let expected = 0.5 * x.abs() * ((1.0 - t * t) * argument + 6.0) + (x * (1.0 + t)).abs();
        let given = Bounded::exact(Array::new(&[1], vec![x]));
        let found = Activation::GeluTanh.bounded(&rules(), &given).error.unwrap_or_default()[0];
        assert!((found - expected).abs() <= 1e-9 * expected + 1e-25, "{x}: {found}, {expected}");
    }
}

#[test]
fn what_is_not_finite_has_no_finite_bound() {
    for activation in &ALL[..3] {
        for x in [f64::INFINITY, f64::NAN] {
            let given = Bounded::exact(Array::new(&[2], vec![0.0, x]));
            let errors = activation.bounded(&rules(), &given).error.unwrap_or_default();
            assert!(errors[0].is_finite() && !errors[1].is_finite(), "{activation:?} {x}");
        }
    }
}
