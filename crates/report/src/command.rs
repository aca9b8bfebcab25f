//! The command that reproduces a part of a run.

use checkpoint_spec::Results;

use crate::text::plain;

/// The command that runs one checkpoint on one case again, everything else as in this run.
pub(crate) fn reproduce(results: &Results, checkpoint: &str, case: Option<&str>) -> String {
    let case = case.into_iter().flat_map(|case| ["--case", case]);
    let options = case.chain(results.options.iter().map(String::as_str)).map(quoted);
    let words: Vec<String> = std::iter::once(quoted(checkpoint)).chain(options).collect();
    format!("cargo xtask checkpoint {}", words.join(" "))
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
    fn the_command_names_what_the_run_was_given() {
        let mut results = fixtures::passing();
        assert_eq!(
            reproduce(&results, "06", Some("paragraph")),
            "cargo xtask checkpoint 06 --case paragraph"
        );
        results.options =
            ["--model", "my model's dir; rm -rf", "--subject", "torch@f32"].map(str::to_owned).to_vec();
        assert_eq!(
            reproduce(&results, "06", None),
            r"cargo xtask checkpoint 06 --model 'my model'\''s dir; rm -rf' --subject torch@f32"
        );
    }
}
