//! Names of tensors in a capture.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `step3/h.0.attn.q` for an activation of a step, `generated` for one of the whole case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct TensorName {
    /// The step of the schedule; none for what belongs to the whole case.
    pub step: Option<usize>,
    /// The activation, its layer filled in.
    pub activation: String,
}

impl TensorName {
    /// The tensor of one step.
    pub fn of_step(step: usize, activation: impl Into<String>) -> Self {
        Self { step: Some(step), activation: activation.into() }
    }

    /// The tensor of the whole case.
    pub fn of_case(activation: impl Into<String>) -> Self {
        Self { step: None, activation: activation.into() }
    }

    /// Reads the form that [`fmt::Display`] writes; none when it is not in that form. Names are printable ASCII
    /// without spaces, for they are shown in terminals and reports.
    pub fn parse(text: &str) -> Option<Self> {
        if text == crate::header::METADATA_KEY || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let Some((step, activation)) = text.split_once('/').filter(|(head, _)| head.starts_with("step"))
        else {
            return (!text.is_empty()).then(|| Self::of_case(text));
        };
        let name = Self::of_step(step.strip_prefix("step")?.parse().ok()?, activation);
        // One spelling per name: no `step+1`, no `step01`, no empty activation.
        (!activation.is_empty() && name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for TensorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Some(step) => write!(f, "step{step}/{}", self.activation),
            None => f.write_str(&self.activation),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::TensorName;

    #[test]
    fn names_of_steps_and_of_cases() {
        for (text, name) in [
            ("generated", TensorName::of_case("generated")),
            ("weights.h.0.ln_1.bias", TensorName::of_case("weights.h.0.ln_1.bias")),
            ("step0/h.3.attn.q", TensorName::of_step(0, "h.3.attn.q")),
            ("step12/whole/h.3.mlp.out", TensorName::of_step(12, "whole/h.3.mlp.out")),
            ("steps", TensorName::of_case("steps")),
            ("step1", TensorName::of_case("step1")),
            ("a/step1", TensorName::of_case("a/step1")),
        ] {
            assert_eq!(TensorName::parse(text), Some(name.clone()), "{text}");
            assert_eq!(name.to_string(), text);
        }
    }

    #[test]
    fn other_spellings_are_no_names() {
        for text in [
            "",
            "step/a",
            "step01/a",
            "step+1/a",
            "step-1/a",
            "step 1/a",
            "step1/",
            "stepx/a",
            "step1 /a",
            "steps/a",
            "step18446744073709551616/a",
            "a b",
            "a\n",
            "\u{1b}[2J",
            "α",
            "a\u{a0}b",
            "__metadata__",
        ] {
            assert_eq!(TensorName::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn steps_are_in_numerical_order() {
        let mut names = ["step10/a", "step2/b", "z", "step2/a"].map(|text| TensorName::parse(text).unwrap());
        names.sort();
        assert_eq!(names.map(|name| name.to_string()), ["z", "step2/a", "step2/b", "step10/a"]);
    }

    proptest! {
        #[test]
        fn every_name_has_one_spelling(text in "(step[0-9]{0,2}/)?[ -~]{0,8}|\\PC{0,6}") {
            if let Some(name) = TensorName::parse(&text) {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
