use super::*;
use crate::test_support::{normal, rules, stored_rules, used};
use crate::{FLUSHED, UNIT};

struct Given {
    weight: Array<f32>,
    bias: Array<f32>,
    x: Array<f32>,
}

fn given(width: usize, columns: usize) -> Given {
    Given { weight: normal(&[width, columns], 1), bias: normal(&[columns], 2), x: normal(&[2, 4, width], 3) }
}

impl Given {
    fn linear(&self) -> Linear<'_> {
        let weight = Weight { shape: &self.weight.shape, values: &self.weight.values };
        Linear { weight, bias: Some(&self.bias.values), layout: Layout::InOut, part: None }
    }
}

#[test]
fn every_way_uses_at_most_half_of_its_bound_and_a_scaled_column_exceeds_it() {
    for width in [16, 64, 256, 768] {
        let given = given(width, 40);
        let bounded = given.linear().bounded(&rules(), &Bounded::exact(given.x.widened()));
        for way in Way::REPLICAS {
            let mut found = given.linear().replica(&way, &given.x);
            let share = used(&found, &bounded);
            assert!(share < 0.5, "{width} {way:?}: {share}");
            found.values.iter_mut().skip(7).step_by(40).for_each(|y| *y *= 1.0001);
            assert!(used(&found, &bounded) > 1.0, "{width} {way:?}");
        }
    }
}

#[test]
fn layouts_and_parts_are_the_same_numbers() {
    let given = given(48, 600);
    let x = Bounded::exact(given.x.widened());
    let whole = given.linear();
    let expected = whole.bounded(&rules(), &x);
    assert_eq!(whole.value(&x.value), expected.value);
    let transposed: Vec<f32> = given.weight.rows().t().iter().copied().collect();
    let other = Weight { shape: &[600, 48], values: &transposed };
    let other = Linear { weight: other, layout: Layout::OutIn, ..whole };
    assert_eq!(other.bounded(&rules(), &x), expected);
    assert_eq!(other.replica(&Way::PLAIN, &given.x), whole.replica(&Way::PLAIN, &given.x));
    for part in 0..3 {
        for linear in [whole, other] {
            let found = Linear { part: Some((part, 3)), ..linear }.bounded(&rules(), &x);
            let of_part = |numbers: &[f64]| -> Vec<f64> {
                numbers.chunks(600).flat_map(|row| &row[part * 200..][..200]).copied().collect()
            };
            assert_eq!(found.value.shape, [2, 4, 200]);
            assert_eq!(found.value.values, of_part(&expected.value.values));
            assert_eq!(found.error, expected.error.as_deref().map(of_part));
        }
    }
}

#[test]
fn a_bound_is_that_of_the_derivation() {
    let (values, bias) = ([2.0, 0.5, -1.0], [0.25]);
    let weight = Weight { shape: &[3, 1], values: &values };
    let linear = Linear { weight, bias: Some(&bias), layout: Layout::InOut, part: None };
    let x = Bounded {
        value: Array::new(&[1, 3], vec![1.0, 0.0, 3.0]),
        error: Some(vec![7.0, 5.0, 0.0]),
        stored: None,
    };
    // Two terms and the bias cost 2(n + 1) = 8; the reach is half of 2 + 3 + 0.25 and |2 − 3 + 0.25|.
    let expected = 8.0 * (2.0 + 3.0 + 0.25 + 0.75) / 2.0 + 7.0 * 2.0 + 5.0 * 0.5 + 4.0 * FLUSHED;
    let found = linear.bounded(&rules(), &x).error.unwrap_or_default()[0];
    assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
}

#[test]
fn bounds_are_finite_where_f32_overflows_and_do_not_vanish_where_it_underflows() {
    let ones = vec![1e-3; 40 * 2];
    let linear = Linear {
        weight: Weight { shape: &[40, 2], values: &ones },
        bias: None,
        layout: Layout::InOut,
        part: None,
    };
    let bound = |size: f64| {
        let x = Bounded::exact(Array::new(&[1, 40], vec![size; 40]));
        linear.bounded(&rules(), &x).error.unwrap_or_default()[0] / size
    };
    let expected = bound(1.0);
    for size in [1e-20, 1e36, 1e200] {
        assert!((bound(size) / expected - 1.0).abs() < 1e-6, "{size}: {} {expected}", bound(size));
    }
    assert!(!bound(f64::INFINITY).is_finite() && bound(f64::NAN).is_nan());
}

#[test]
fn stores_of_weights_and_inputs_are_bounded_by_chance_and_by_the_worst_case() {
    let given = given(256, 40);
    let linear = Linear { bias: None, ..given.linear() };
    let own = linear.bounded(&rules(), &Bounded::exact(given.x.widened()));
    let rounding = stored_rules(&[Rounds::Inputs, Rounds::Weights]);
    let Some(format) = rounding.half(Rounds::Inputs) else { panic!("inputs are stored") };
    let x = rounding.given(given.x.widened());
    let bounded = linear.bounded(&rounding, &x);
    let weight: Vec<f32> = given.weight.values.iter().map(|&w| format.rounded(w)).collect();
    let weight = Weight { shape: &given.weight.shape, values: &weight };
    let stored: Vec<f32> = given.x.values.iter().map(|&x| format.rounded(x)).collect();
    let stored = Array::new(&given.x.shape, stored);
    let found = Linear { weight, ..linear }.replica(&Way::PLAIN, &stored);
    let share = used(&found, &bounded);
    assert!(share < 0.6 && share > 0.1, "{share}");
    assert!(used(&found, &own) > 1.0);

    // Of inputs that the format holds, only the weights count.
    let held = linear.bounded(&rounding, &rounding.given(stored.widened()));
    let found = Linear { weight, ..linear }.replica(&Way::PLAIN, &stored);
    let share = used(&found, &held);
    assert!(share < 0.6 && share > 0.1, "{share}");
    let sum = |bounded: &Bounded| bounded.error.iter().flatten().sum::<f64>();
    assert!(sum(&held) < 0.8 * sum(&bounded), "{} {}", sum(&held), sum(&bounded));

    // A row of equal inputs is off by the worst case.
    let constant = rounding.given(Array::new(&[1, 256], vec![0.3; 256]));
    let bound = Linear { weight: Weight { shape: &[256, 1], values: &[1.0; 256] }, ..linear };
    let found = bound.bounded(&rounding, &constant).error.unwrap_or_default()[0];
    let worst = 2.0 * 256.0 * format.rounding(0.3);
    assert!(found > worst && found < 1.1 * worst + 1e3 / UNIT.sqrt(), "{found} {worst}");
}

#[test]
fn results_do_not_depend_on_threads_or_on_other_rows() {
    let given = given(700, 600);
    let x = given.x.widened();
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let bounded = given.linear().bounded(&rules(), &Bounded::exact(x.clone()));
            (bounded, given.linear().replica(&Way::REPLICAS[4], &given.x))
        })
    };
    let expected = on(1);
    assert!([2, 3].map(on).iter().all(|found| *found == expected));
    let row = Array::new(&[1, 700], x.values[2100..2800].to_vec());
    let alone = given.linear().bounded(&rules(), &Bounded::exact(row));
    assert_eq!(alone.value.values, expected.0.value.values[1800..2400]);
    assert_eq!(alone.error.as_deref(), expected.0.error.as_ref().map(|errors| &errors[1800..2400]));
}
