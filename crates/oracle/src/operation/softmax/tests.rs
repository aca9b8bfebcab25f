use super::*;
use crate::test_support::{normal, rules, stored_rules, used};

const PLAIN: Softmax = Softmax { temperature: 1.0 };

fn bounded(z: &Array<f32>) -> Bounded {
    PLAIN.bounded(&rules(), &Bounded::exact(z.widened()), None)
}

#[test]
fn every_way_uses_at_most_half_of_its_bound() {
    for (width, spread) in [(3, 1.0), (300, 5.0), (5000, 20.0)] {
        let mut z = normal(&[8, width], 1);
        z.values.iter_mut().for_each(|z| *z *= spread);
        for temperature in [1.0, 0.5, 0.7] {
            let softmax = Softmax { temperature };
            let bounded = softmax.bounded(&rules(), &Bounded::exact(z.widened()), None);
            for way in Way::REPLICAS {
                let share = used(&softmax.replica(&way, &z, None), &bounded);
                assert!(share < 0.5, "{width} {temperature} {way:?}: {share}");
            }
            let wrong = Softmax { temperature: temperature * 1.0001 };
            assert!(used(&wrong.replica(&Way::PLAIN, &z, None), &bounded) > 1.0);
        }
    }
}

#[test]
fn a_bound_is_that_of_the_derivation() {
    let z = Array::new(&[1, 4], vec![0.0, -1.0, 2.0, -3.5]);
    let carried = [1.0, 2.0, 3.0, 4.0];
    let given = Bounded { value: z.clone(), error: Some(carried.to_vec()), stored: None };
    let found = PLAIN.bounded(&rules(), &given, None);
    let p = &found.value.values;
    let a = |index: usize| 4.0 * (2.0 - z.values[index]) + 4.0 + carried[index];
    // Four terms: 2(n + 1) is less than c√(n + 1).
    let shared = (0..4).map(|index| p[index] * a(index)).sum::<f64>() + 10.0 + 2.0;
    for (index, bound) in found.error.iter().flatten().enumerate() {
        let expected = p[index] * (a(index) + shared);
        assert!((bound / expected - 1.0).abs() < 1e-12, "{index}: {bound}, {expected}");
    }
}

#[test]
fn terms_lost_in_a_large_sum_are_charged() {
    let mut logits = normal(&[1, 50_257], 1);
    logits.values[0] = 18.0;
    assert!(used(&PLAIN.replica(&Way::PLAIN, &logits, None), &bounded(&logits)) < 1.0);
}

#[test]
fn what_is_masked_is_exact_and_flushed_probabilities_are_not() {
    let scores = Array::new(&[1, 2, 1, 3], vec![0.0, 3.0, -1.0, -2000.0, 5.0, 0.0]);
    let mask = Array::new(&[1, 1, 3], vec![0.0, 0.0, f64::NEG_INFINITY]);
    let found = PLAIN.bounded(&rules(), &Bounded::exact(scores.clone()), Some(&mask));
    let errors = found.error.unwrap_or_default();
    assert_eq!((found.value.values[2].to_bits(), errors[2].to_bits(), errors[5].to_bits()), (0, 0, 0));
    assert_eq!(errors[3].to_bits(), (2.0 * FLUSHED).to_bits());
    assert!(errors[0] > 0.0 && errors[4] > 10.0);
    let narrow = Array::new(&scores.shape, scores.values.iter().map(|&x| x as f32).collect::<Vec<_>>());
    let mask = Array::new(&mask.shape, mask.values.iter().map(|&x| x as f32).collect::<Vec<_>>());
    let replica = PLAIN.replica(&Way::PLAIN, &narrow, Some(&mask));
    assert_eq!(replica.values[5].to_bits(), 0);
}

#[test]
fn a_temperature_that_is_a_power_of_two_rounds_nothing() {
    let logits = Bounded::exact(Array::new(&[1, 2], vec![3.0, -70.0]));
    for (temperature, expected) in [(0.5, None), (1.0, None), (2.0, None), (0.7, Some(200.0))] {
        let softmax = Softmax { temperature };
        let carried = softmax.carried(&rules(), &logits, &softmax.tempered(&logits.value));
        assert_eq!(carried.map(|carried| carried[1].round()), expected);
    }
}

#[test]
fn what_is_not_finite_bounds_nothing_and_leaves_other_rows_alone() {
    let rows = Array::new(&[3, 2], vec![0.0, f64::NAN, 0.0, f64::INFINITY, 0.0, 1.0]);
    let errors = PLAIN.bounded(&rules(), &Bounded::exact(rows), None).error.unwrap_or_default();
    let finite: Vec<bool> = errors.chunks(2).map(|row| row.iter().all(|bound| bound.is_finite())).collect();
    assert_eq!(finite, [false, false, true]);
}

#[test]
fn stored_scores_grow_and_no_probability_is_off_by_more_than_1() {
    let rounding = stored_rules(&[Rounds::Inputs]);
    let mut z = normal(&[20, 30], 5);
    z.values.iter_mut().for_each(|z| *z *= 30.0);
    let given = rounding.given(z.widened());
    let bounded = PLAIN.bounded(&rounding, &given, None);
    let Some(format) = rounding.half(Rounds::Inputs) else { panic!("inputs are stored") };
    z.values.iter_mut().for_each(|z| *z = format.rounded(*z));
    let share = used(&PLAIN.replica(&Way::PLAIN, &z, None), &bounded);
    assert!(share < 0.6 && share > 0.1, "{share}");
    assert!(bounded.error.iter().flatten().all(|&error| error <= 1.0 / UNIT));
}
