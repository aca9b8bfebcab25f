//! Features: what some models of a family have and others have not.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Condition;

/// The features that a model has.
pub type Features = BTreeSet<String>;

/// A feature, and how `config.json` decides whether a model has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpec {
    /// `qk-norm`.
    pub name: String,
    /// A model has it where all conditions of one of these lists hold.
    pub any: Vec<Vec<Condition>>,
    /// What it is, with the source.
    pub reason: String,
}

/// Which models have something: those with all features of `when` and none of `unless`.
pub trait Conditional {
    /// Features that must be there.
    fn when(&self) -> &[String];
    /// Features that must not be there.
    fn unless(&self) -> &[String];

    /// Whether a model with these features has it.
    fn exists(&self, features: &Features) -> bool {
        self.when().iter().all(|name| features.contains(name))
            && !self.unless().iter().any(|name| features.contains(name))
    }

    /// Whether no model has both.
    fn excludes(&self, other: &impl Conditional) -> bool {
        let against = |a: &[String], b: &[String]| a.iter().any(|name| b.contains(name));
        against(self.when(), other.unless()) || against(self.unless(), other.when())
    }
}

/// Implements [`Conditional`] for what has the fields `when` and `unless`.
#[macro_export]
macro_rules! conditional {
    ($($kind:ty),+ $(,)?) => {
        $(impl $crate::Conditional for $kind {
            fn when(&self) -> &[String] {
                &self.when
            }
            fn unless(&self) -> &[String] {
                &self.unless
            }
        })+
    };
}

impl FeatureSpec {
    /// Whether the model that `config.json` describes has it.
    pub fn holds(&self, config: &Value) -> bool {
        self.any.iter().any(|all| all.iter().all(|condition| condition.holds(config)))
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(named) {
            return Err(format!(
                "the feature `{}`: a name is lower-case letters, digits and hyphens",
                self.name
            ));
        }
        let is_decided = !self.any.is_empty()
            && self.any.iter().all(|all| !all.is_empty() && all.iter().all(Condition::asks_something));
        if !is_decided || self.reason.trim().is_empty() {
            return Err(format!(
                "the feature `{}` needs conditions that ask something, and a reason",
                self.name
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Thing {
        when: Vec<String>,
        unless: Vec<String>,
    }
    conditional!(Thing);

    fn thing(when: &[&str], unless: &[&str]) -> Thing {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Thing { when: owned(when), unless: owned(unless) }
    }

    #[test]
    fn what_exists_has_all_of_one_and_none_of_the_other() {
        let features: Features = ["a", "b"].map(str::to_owned).into();
        for (when, unless, expected) in [
            (&[][..], &[][..], true),
            (&["a", "b"], &["c"], true),
            (&["a", "c"], &[], false),
            (&["a"], &["b"], false),
        ] {
            assert_eq!(thing(when, unless).exists(&features), expected, "{when:?} {unless:?}");
        }
    }

    #[test]
    fn two_things_exclude_each_other_where_one_asks_for_what_the_other_forbids() {
        assert!(thing(&["a"], &[]).excludes(&thing(&[], &["a"])));
        assert!(thing(&["b"], &["a"]).excludes(&thing(&["a"], &[])));
        assert!(!thing(&["a"], &[]).excludes(&thing(&["b"], &[])));
    }
}
