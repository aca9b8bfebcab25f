//! The command that reproduces a part of a run.

use checkpoint_spec::Results;

use crate::text::plain;

/// The model that is judged when none is named.
const DEFAULT_MODEL: &str = "gpt2-rustbook";

/// The subject that is judged when none is named.
const DEFAULT_SUBJECT: &str = "rust@f32";

/// The references that judge when none is named.
const DEFAULT_REFERENCES: [&str; 2] = ["torch", "tinygrad"];

/// The command that runs one checkpoint on one case again, everything else as in this run.
pub(crate) fn reproduce(results: &Results, checkpoint: &str, case: Option<&str>) -> String {
    let mut command = format!("cargo xtask checkpoint {}", quoted(checkpoint));
    let mut option = |name: &str, value: &str| {
        command += &format!(" --{name} {}", quoted(value));
    };
    if let Some(case) = case {
        option("case", case);
    }
    if results.model != DEFAULT_MODEL {
        option("model", &results.model);
    }
    let subject = results.subject.to_string();
    if subject != DEFAULT_SUBJECT {
        option("subject", &subject);
    }
    let mut names: Vec<&str> = Vec::new();
    for reference in &results.references {
        if !names.contains(&reference.name.as_str()) {
            names.push(&reference.name);
        }
    }
    if names != DEFAULT_REFERENCES {
        names.iter().for_each(|name| option("reference", name));
    }
    command
}

/// One word of a POSIX shell.
fn quoted(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    let word = plain(word);
    if !word.is_empty() && word.chars().all(safe) {
        word
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn the_command_names_only_what_differs_from_the_defaults() {
        let mut results = fixtures::passing();
        assert_eq!(
            reproduce(&results, "06", Some("paragraph")),
            "cargo xtask checkpoint 06 --case paragraph"
        );
        results.model = "my model's dir; rm -rf".to_owned();
        results.subject = fixtures::identity("torch");
        results.references.truncate(1);
        assert_eq!(
            reproduce(&results, "06", None),
            r"cargo xtask checkpoint 06 --model 'my model'\''s dir; rm -rf' --subject torch@f32 --reference torch"
        );
    }
}
