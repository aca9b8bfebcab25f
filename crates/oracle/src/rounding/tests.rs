#![expect(clippy::float_cmp, reason = "exact results")]

use super::*;

fn rules() -> Rounding {
    Rounding::of_f32(5.0)
}

#[test]
fn a_few_terms_cost_at_most_what_is_certain_and_many_the_square_root() {
    assert_eq!(rules().of_terms(1.0), 4.0);
    assert_eq!(rules().of_terms(2.0), 6.0);
    assert_eq!(rules().of_terms(99.0), 50.0);
}

#[test]
fn a_sum_costs_its_reach_and_zeros_nothing() {
    let terms: Vec<f64> = (0..99).map(|index| 1.0 + f64::from(index) / 10.0).collect();
    let whole: f64 = terms.iter().sum();
    let close =
        |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-12, "{found} {expected}");
    close(rules().total(&terms, None), 50.0 * whole);
    close(rules().total(&terms, Some(0.0)), 50.0 * whole / 2.0);
    let with_zeros: Vec<f64> = terms.iter().flat_map(|&term| [term, 0.0]).collect();
    close(rules().total(&with_zeros, None), 50.0 * whole);
    assert_eq!(rules().total(&[0.0; 7], None), 0.0);
    assert_eq!(rules().total(&[], None), 0.0);
}

#[test]
fn equal_terms_cost_what_is_certain() {
    assert_eq!(rules().total(&[2.0; 99], None), 2.0 * 100.0 * 198.0);
    let mut terms = [2.0; 99];
    terms[7] = 0.0;
    assert_eq!(rules().total(&terms, None), 2.0 * 99.0 * 196.0);
}

#[test]
fn terms_below_the_resolution_are_lost_whole_and_those_at_it_by_half() {
    let mut terms = [1e-9; 1000];
    terms[0] = 1.0;
    let reach = terms.iter().sum::<f64>();
    let expected = rules().of_terms(1000.0) * reach + 999.0 * 1e-9 / UNIT;
    let found = rules().total(&terms, None);
    assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
    terms = [1.5 * UNIT; 1000];
    terms[0] = 1.0;
    let expected = rules().of_terms(1000.0) * 1.0001 + 999.0;
    let found = rules().total(&terms, None);
    assert!((found / expected - 1.0).abs() < 1e-3, "{found} {expected}");
}

#[test]
fn what_is_not_finite_bounds_nothing() {
    assert!(rules().total(&[1.0, f64::NAN, 2.0], None).is_nan());
    assert!(!rules().total(&[1.0, f64::INFINITY], None).is_finite());
}

fn stored(rounds: &[Rounds]) -> Rounding {
    let storage = Storage { format: HalfFormat::Bf16, rounds: rounds.iter().copied().collect() };
    Rounding { storage: Some(storage), ..rules() }
}

#[test]
fn an_input_carries_its_store_where_inputs_are_rounded() {
    let rounding = stored(&[Rounds::Inputs]);
    let given = rounding.given(Array::new(&[2], vec![1.0, 0.3]));
    let cost = HalfFormat::Bf16.rounding(0.3);
    assert_eq!(given.error, Some(vec![0.0, 2.0 * cost]));
    assert_eq!(given.stored, Some(vec![0.0, cost]));
    assert_eq!(rounding.carried(&given).error(1), 2.0 * cost);
    assert_eq!(stored(&[]).carried(&given).error(1), 0.0);
    assert_eq!(rounding.given(Array::new(&[1], vec![1.5])), Bounded::exact(Array::new(&[1], vec![1.5])));
    assert_eq!(rules().given(Array::new(&[1], vec![0.3])).error, None);
}

#[test]
fn an_output_is_stored_where_outputs_are_rounded() {
    let value = || Array::new(&[1], vec![1.0]);
    assert_eq!(rules().output(value(), vec![3.0]).error, Some(vec![3.0]));
    let output = stored(&[Rounds::Output]).output(value(), vec![3.0]);
    let cost = HalfFormat::Bf16.rounding(1.0 + 3.0 * UNIT);
    assert_eq!((output.error, output.stored), (Some(vec![3.0 + 2.0 * cost]), Some(vec![cost])));
}

#[test]
fn constants_and_storage_are_read_by_their_names() {
    let constants = r#"{"add":2,"exp":4,"exp2-slope":3,"tanh":6,"erf":6,"inverse-root":4,"division":2,"power":4,
        "trigonometric":4}"#;
    assert_eq!(serde_json::from_str::<Constants>(constants).unwrap(), Constants::default());
    assert!(serde_json::from_str::<Constants>(r#"{"exp":4}"#).is_err());
    let storage = r#"{"format":"bf16","rounds":["inputs","intermediates"]}"#;
    let read = serde_json::from_str::<Storage>(storage).ok();
    assert_eq!(read, stored(&[Rounds::Inputs, Rounds::Intermediates]).storage);
}
