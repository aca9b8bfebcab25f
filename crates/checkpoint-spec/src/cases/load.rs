//! The case files beside this crate.

use std::collections::BTreeSet;

use super::{CaseTemplate, Length};
use crate::SpecError;

macro_rules! bundled {
    ($($file:literal),+ $(,)?) => { &[$(($file, include_str!(concat!("../../cases/", $file)))),+] };
}

/// In the order in which they are run: the cheap ones first.
const CASES: &[(&str, &str)] = bundled!(
    "two-tokens.toml",
    "single-token.toml",
    "paragraph.toml",
    "batch-of-three.toml",
    "decode-from-first.toml",
    "prefill-then-decode.toml",
    "batch-decode.toml",
    "full-context.toml",
);

/// The case files as this crate carries them: file name and text, in the order in which they are run.
pub fn case_sources() -> Vec<(String, String)> {
    CASES.iter().map(|&(file, text)| (file.to_owned(), text.to_owned())).collect()
}

/// The cases as this crate carries them.
///
/// # Errors
/// None that a test does not see first.
pub fn bundled_cases() -> Result<Vec<CaseTemplate>, SpecError> {
    CaseTemplate::parse_all(&case_sources())
}

impl CaseTemplate {
    /// Reads case files: file name and text.
    ///
    /// # Errors
    /// With the file and what is wrong in it; for syntax with line and column.
    pub fn parse_all(files: &[(String, String)]) -> Result<Vec<Self>, SpecError> {
        let mut ids = BTreeSet::new();
        files
            .iter()
            .map(|(file, text)| {
                let template: Self = toml::from_str(text).map_err(|error| SpecError::Syntax {
                    file: file.clone(),
                    problem: error.to_string().trim_end().to_owned(),
                })?;
                let inconsistent = |problem| SpecError::Inconsistent { file: file.clone(), problem };
                template.validate(file).map_err(inconsistent)?;
                if !ids.insert(template.id.clone()) {
                    return Err(inconsistent(format!("there is another case `{}`", template.id)));
                }
                Ok(template)
            })
            .collect()
    }

    fn validate(&self, file: &str) -> Result<(), String> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.id.is_empty() || !self.id.chars().all(allowed) {
            return Err(format!("the id `{}` is not lower-case letters, digits and `-`", self.id));
        }
        if *file != format!("{}.toml", self.id) {
            return Err(format!("the case in it belongs into a file named {}.toml", self.id));
        }
        if self.about.trim().is_empty() {
            return Err("`about` is empty".to_owned());
        }
        if self.texts.is_empty() || self.texts.iter().any(|text| text.trim().is_empty()) {
            return Err("a case needs at least one row, and every row a text".to_owned());
        }
        if let Length::Tokens(tokens) = self.length {
            self.schedule(tokens).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}
