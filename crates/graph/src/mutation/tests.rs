use super::*;
use crate::Operation;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    change: Change,
}

fn read(text: &str) -> Result<Change, String> {
    toml::from_str::<Line>(text).map(|line| line.change).map_err(|error| error.to_string())
}

fn change(text: &str) -> Change {
    read(text).unwrap()
}

fn norm() -> Operation {
    serde_json::from_value(serde_json::json!({"layer_norm": {
        "x": "h.{l}.mid", "epsilon": "epsilon", "weight": "h.{l}.ln.weight", "bias": "h.{l}.ln.bias"}}))
    .unwrap()
}

#[test]
fn a_change_is_read_strictly() {
    for right in [
        r#"change = { set = { epsilon = 1e-6, bias = false } }"#,
        r#"change = { weight = { of = "weight", change = { scale = 1.01 } } }"#,
        r#"change = { weight = { of = "table", change = { slice = { axis = 0, at = "first", change = { roll = { axis = 0, by = 1 } } } }, stored = true } }"#,
        r#"change = { input = { of = "x", change = { round = "tf32" } } }"#,
        r#"change = { output = { element = { at = "largest", change = { flip_bit = 22 } } } }"#,
        r#"change = { output = "nan" }"#,
        r#"change = { hands_on = "embd | h.{l-1}.out" }"#,
        r#"change = { wrong = "variance-unbiased" }"#,
    ] {
        assert!(read(right).is_ok(), "{right}: {:?}", read(right));
    }
    for wrong in [
        r#"change = { sets = { epsilon = 1e-6 } }"#,
        r#"change = { weight = { of = "weight", change = { scale = 1.01 }, store = true } }"#,
        r#"change = { output = { scale = "twice" } }"#,
        r#"change = { output = { round = "f8" } }"#,
        r#"change = { output = { slice = { axis = 0, at = "second", change = "zero" } } }"#,
        r#"change = { wrong = "a", hands_on = "b" }"#,
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn fields_are_set_and_taken_away() {
    let set = change(r#"change = { set = { epsilon = 1e-6, bias = false, weight = "h.{l-1}.ln.weight" } }"#);
    let found = Computation::changed(&norm(), [&set]).unwrap();
    assert_eq!((found.op.constants(), found.op.weights()), (vec![], vec!["h.{l-1}.ln.weight"]));
    assert_eq!(found.inputs_in(Some(2), 4), ["h.2.mid"]);
}

#[test]
fn what_makes_an_operation_none_is_refused() {
    let said = |text: &str| Computation::changed(&norm(), [&change(text)]).unwrap_err().to_string();
    assert!(said(r#"change = { set = { x = false } }"#).contains("missing field `x`"));
    assert!(said(r#"change = { set = { gain = 2.0 } }"#).contains("unknown field `gain`"));
    assert!(
        said(r#"change = { weight = { of = "x", change = "zero" } }"#)
            .contains("`layer_norm` has no weight `x`")
    );
    assert!(said(r#"change = { input = { of = "y", change = "zero" } }"#).contains("no input `y`"));
    let wrong = change(r#"change = { wrong = "a" }"#);
    assert!(Computation::changed(&norm(), [&wrong, &wrong]).is_err());
}

#[test]
fn an_input_is_handed_on_by_its_field_and_any_other_by_its_name() {
    let handed = |text: &str| {
        let computation = Computation::changed(&norm(), [&change(text)]).unwrap();
        computation.inputs_in(Some(1), 4)
    };
    assert_eq!(handed(r#"change = { hands_on = "x" }"#), ["h.1.mid"]);
    assert_eq!(handed(r#"change = { hands_on = "embd | h.{l-1}.out" }"#), ["h.0.out"]);
}

#[test]
fn what_is_stored_is_changed_by_name() {
    let stored = change(r#"change = { weight = { of = "bias", change = { flip_bit = 3 }, stored = true } }"#);
    let found = Computation::changed(&norm(), [&stored]).unwrap();
    assert!(found.weights.is_empty());
    let names: Vec<String> = found.stored_in(Some(3), 4).map(|(name, _)| name).collect();
    assert_eq!(names, ["h.3.ln.bias"]);
}
