//! Whose tensor an outcome is about.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose tensor it is; a record has it as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
pub enum Side {
    /// The subject's.
    Subject,
    /// The subject's, and another one than was asked for, from which that follows: the name of that.
    InputOfSubject(String),
    /// That of a reference, a peer or the graph: `torch@f64`.
    Reference(String),
}

const SUBJECT: &str = "subject";
const BEFORE_INPUT: &str = " (`";
const AFTER_INPUT: &str = "`, from which this follows)";

impl Side {
    /// Whether it is the subject that is at fault.
    pub fn is_subject(&self) -> bool {
        !matches!(self, Self::Reference(_))
    }

    /// Another tensor of the same side, from which the one that was asked for follows.
    pub(crate) fn input(&self, name: &impl fmt::Display) -> Self {
        match self {
            Self::Subject | Self::InputOfSubject(_) => Self::InputOfSubject(name.to_string()),
            Self::Reference(label) => Self::Reference(format!("{label}{BEFORE_INPUT}{name}{AFTER_INPUT}")),
        }
    }
}

impl From<String> for Side {
    fn from(text: String) -> Self {
        match text.strip_prefix(SUBJECT) {
            Some("") => Self::Subject,
            Some(rest) => {
                match rest.strip_prefix(BEFORE_INPUT).and_then(|rest| rest.strip_suffix(AFTER_INPUT)) {
                    Some(name) => Self::InputOfSubject(name.to_owned()),
                    None => Self::Reference(text),
                }
            }
            None => Self::Reference(text),
        }
    }
}

impl From<Side> for String {
    fn from(side: Side) -> Self {
        side.to_string()
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject => f.write_str(SUBJECT),
            Self::InputOfSubject(name) => write!(f, "{SUBJECT}{BEFORE_INPUT}{name}{AFTER_INPUT}"),
            Self::Reference(label) => f.write_str(label),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_named_like_the_subject_is_no_subject() {
        for label in ["subject-x@f64", "subject2@f64", "subjects", "subject ", "torch@f64"] {
            let side = Side::from(label.to_owned());
            assert_eq!((side.is_subject(), side.to_string()), (false, label.to_owned()));
        }
        let input = Side::Reference("subject-x@f64".to_owned()).input(&"embd");
        assert!(!Side::from(input.to_string()).is_subject());
    }

    #[test]
    fn what_is_written_is_read() {
        for side in [Side::Subject, Side::Subject.input(&"step0/h.1.attn.k")] {
            assert!(side.is_subject());
            assert_eq!(Side::from(side.to_string()), side);
        }
    }
}
