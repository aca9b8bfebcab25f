#![expect(clippy::float_cmp, reason = "exact results")]

use super::*;

fn read(text: &str) -> ArrayChange {
    #[derive(serde::Deserialize)]
    struct Line {
        change: graph::Change,
    }
    let line: Line = serde_json::from_str(&format!(r#"{{"change": {{"output": {text}}}}}"#)).unwrap();
    match line.change {
        graph::Change::Output(change) => change,
        other => panic!("{other:?}"),
    }
}

/// What becomes of 1, 2, … in a shape.
fn changed(shape: &[usize], text: &str) -> Vec<f32> {
    let count = shape.iter().product::<usize>();
    let mut array = Array::new(shape, (1..=count).map(|x| x as f32).collect());
    change(&mut array, &read(text)).unwrap();
    assert_eq!(array.shape, shape);
    array.values
}

#[test]
fn orders_change_along_one_axis() {
    assert_eq!(changed(&[2, 3], r#"{"reverse": -1}"#), [3., 2., 1., 6., 5., 4.]);
    assert_eq!(changed(&[2, 3], r#"{"reverse": 0}"#), [4., 5., 6., 1., 2., 3.]);
    assert_eq!(changed(&[2, 3], r#"{"roll": {"axis": 1, "by": 1}}"#), [2., 3., 1., 5., 6., 4.]);
    assert_eq!(changed(&[2, 2], r#""transpose""#), [1., 3., 2., 4.]);
}

#[test]
fn a_slice_or_an_element_leaves_the_rest_alone() {
    assert_eq!(
        changed(&[2, 3], r#"{"slice": {"axis": -1, "at": "middle", "change": {"scale": 10.0}}}"#),
        [1., 20., 3., 4., 50., 6.]
    );
    assert_eq!(
        changed(
            &[2, 3],
            r#"{"slice": {"axis": 0, "at": "first", "change": {"roll": {"axis": 0, "by": 1}}}}"#
        ),
        [2., 3., 1., 4., 5., 6.]
    );
    assert_eq!(
        changed(&[2, 2], r#"{"element": {"at": "largest", "change": {"flip_bit": 31}}}"#),
        [1., 2., 3., -4.]
    );
    assert_eq!(changed(&[3], r#"{"element": {"at": "median", "change": "zero"}}"#), [1., 0., 3.]);
    let nan = changed(&[2], r#"{"element": {"at": "first", "change": "nan"}}"#);
    assert!(nan[0].is_nan() && nan[1] == 2.0);
}

#[test]
fn numbers_are_rounded_to_what_a_format_holds() {
    let of = |x: f32, text: &str| {
        let mut array = Array::new(&[1], vec![x]);
        change(&mut array, &read(text)).unwrap();
        array.values[0]
    };
    assert_eq!(of(1.0 + 2_f32.powi(-11), r#"{"round": "f16"}"#), 1.0);
    assert_eq!(of(1.0 + 2_f32.powi(-8), r#"{"round": "bf16"}"#), 1.0);
    assert_eq!(of(1.0 + 2_f32.powi(-11) * 1.9, r#"{"round": "tf32"}"#), 1.0);
    assert_eq!(of(f32::MIN_POSITIVE / 2.0, r#""flush_subnormals""#), 0.0);
    assert_eq!(of(f32::MIN_POSITIVE, r#""flush_subnormals""#), f32::MIN_POSITIVE);
    let eight = changed(&[2, 2], r#"{"round": "int8-by-column"}"#);
    assert_eq!((eight[2], eight[3]), (3.0, 4.0), "the largest of each column");
    assert!((eight[0] - 42.0 * 3.0 / 127.0).abs() < 1e-6, "{eight:?}");
}

#[test]
fn an_offset_is_a_share_of_the_root_mean_square() {
    let mut array = Array::new(&[2], vec![3.0, -3.0]);
    change(&mut array, &read(r#"{"offset": 0.5}"#)).unwrap();
    assert_eq!(array.values, [4.5, -1.5]);
}

#[test]
fn bounds_move_with_their_numbers_and_grow_by_what_is_rounded() {
    let value = Array::new(&[2], vec![1.0, 2.0]);
    let mut bounded = Bounded { value, error: Some(vec![3.0, 5.0]), stored: None };
    change(&mut bounded, &read(r#"{"reverse": 0}"#)).unwrap();
    assert_eq!((bounded.value.values[0], bounded.error.as_ref().unwrap()[0]), (2.0, 5.0));
    change(&mut bounded, &read(r#"{"scale": 2.0}"#)).unwrap();
    assert!(bounded.error.as_ref().unwrap()[0] >= 10.0 + 4.0);
    let mut exact = Bounded::exact(Array::new(&[1], vec![1.5]));
    change(&mut exact, &read(r#"{"round": "f16"}"#)).unwrap();
    assert_eq!(exact.error, None, "whoever rounds what is known exactly has the same bits");
}

#[test]
fn what_cannot_be_changed_is_said() {
    let fails = |shape: &[usize], text: &str| {
        let mut array = Array::new(shape, vec![0.0; shape.iter().product()]);
        change(&mut array, &read(text)).unwrap_err()
    };
    assert!(fails(&[2, 3], r#""transpose""#).contains("no square matrix"));
    assert!(fails(&[2], r#"{"reverse": 1}"#).contains("no axis 1"));
    assert!(fails(&[2], r#"{"reverse": -2}"#).contains("no axis -2"));
    assert!(fails(&[2], r#"{"flip_bit": 32}"#).contains("no bit 32"));
}
