//! `config.json`, read by path: `a.b` is a field of a field, and of `a.b | c` the first that says something counts.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::FamilyError;

/// Something that can be asked of `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The field.
    pub path: String,
    /// What a model does where the field is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<Value>,
    /// It holds where the field has one of these values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is: Option<Vec<Value>>,
    /// It holds where the field is a list, and all its elements are this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Value>,
    /// Whether the field has a value, null being none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<bool>,
}

impl Condition {
    /// Whether everything that is asked holds.
    pub fn holds(&self, config: &Value) -> bool {
        let found = at(config, &self.path).or(self.otherwise.as_ref()).filter(|value| !value.is_null());
        let one_of = |allowed: &Vec<Value>| found.is_some_and(|found| contains(allowed, found));
        let each = |wanted: &Value| match found.and_then(Value::as_array) {
            Some(list) => !list.is_empty() && list.iter().all(|element| same(element, wanted)),
            None => false,
        };
        self.is.as_ref().is_none_or(one_of)
            && self.each.as_ref().is_none_or(each)
            && self.present.is_none_or(|present| found.is_some() == present)
    }

    /// A condition that asks nothing would hold always.
    pub(crate) fn asks_something(&self) -> bool {
        self.is.is_some() || self.each.is_some() || self.present.is_some()
    }
}

/// What is at a path; null where nothing but null is, none where nothing is.
pub(crate) fn at<'a>(config: &'a Value, path: &str) -> Option<&'a Value> {
    let follow = |path: &str| path.trim().split('.').try_fold(config, |value, field| value.get(field));
    let found: Vec<&Value> = path.split('|').filter_map(follow).collect();
    found.iter().copied().find(|value| !value.is_null()).or(found.first().copied())
}

/// Whether one of the values is this; a number is the same whether it is written `1` or `1.0`.
pub(crate) fn contains(values: &[Value], wanted: &Value) -> bool {
    values.iter().any(|value| same(value, wanted))
}

fn same(x: &Value, y: &Value) -> bool {
    match (x.as_f64(), y.as_f64()) {
        (Some(x), Some(y)) => x.to_bits() == y.to_bits(),
        _ => x == y,
    }
}

/// A whole number above 0; none where it is absent or null.
pub(crate) fn whole(config: &Value, path: &str) -> Result<Option<usize>, FamilyError> {
    match at(config, path) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .filter(|&number| number > 0)
            .map(Some)
            .ok_or_else(|| field(config, path, "a whole number above 0")),
    }
}

/// A number above 0; none where it is absent or null.
pub(crate) fn positive(config: &Value, path: &str) -> Result<Option<f64>, FamilyError> {
    match at(config, path) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_f64()
            .filter(|&number| number > 0.0)
            .map(Some)
            .ok_or_else(|| field(config, path, "a number above 0")),
    }
}

pub(crate) fn field(config: &Value, path: &str, expected: &'static str) -> FamilyError {
    let found = at(config, path).map_or_else(|| "missing".to_owned(), Value::to_string);
    FamilyError::Field { path: path.to_owned(), found, expected }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_path_that_says_something_counts() {
        let config = json!({"rope_scaling": null, "rope_parameters": {"factor": 2.0}, "rope_theta": 3});
        assert_eq!(at(&config, "rope_parameters.factor | rope_scaling.factor"), Some(&json!(2.0)));
        assert_eq!(at(&config, "rope_parameters.rope_theta | rope_theta"), Some(&json!(3)));
        assert_eq!(at(&config, "rope_scaling"), Some(&Value::Null));
        assert_eq!(at(&config, "rope_scaling.factor | nothing"), None);
        assert!(contains(&[json!(1)], &json!(1.0)) && !contains(&[json!(1)], &json!(true)));
    }

    #[test]
    fn what_is_absent_has_its_default_and_null_is_no_value() {
        let condition: Condition = toml::from_str(
            r#"path = "window"
otherwise = 4096
present = true"#,
        )
        .unwrap();
        assert!(condition.holds(&json!({})) && condition.holds(&json!({"window": 16})));
        assert!(!condition.holds(&json!({"window": null})));
        let each = Condition { otherwise: None, present: None, each: Some(json!("a")), ..condition };
        assert!(each.holds(&json!({"window": ["a", "a"]})));
        for other in [json!({"window": ["a", "b"]}), json!({"window": []}), json!({"window": "a"}), json!({})]
        {
            assert!(!each.holds(&other), "{other}");
        }
    }
}
