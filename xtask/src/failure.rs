//! What stopped the work: what was found, what was expected, what to do.

use std::fmt;

/// Exit code of a command line that cannot be understood.
pub(crate) const USAGE: u8 = 64;
/// Exit code of work that could not be done.
pub(crate) const INTERNAL: u8 = 70;
/// Exit code of a rule or a test that does not hold.
pub(crate) const NOT_CONFORMING: u8 = 1;

/// An error for a person.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Exit code.
    pub(crate) code: u8,
    found: String,
    expected: Option<String>,
    advice: Option<String>,
    said: Vec<String>,
}

impl Failure {
    /// `found` as a clause without a full stop; exits with 70.
    pub(crate) fn new(found: impl Into<String>) -> Self {
        Self { code: INTERNAL, found: found.into(), expected: None, advice: None, said: Vec::new() }
    }

    /// A command line that cannot be carried out; exits with 64.
    pub(crate) fn usage(found: impl Into<String>) -> Self {
        Self { code: USAGE, ..Self::new(found) }
    }

    /// The work was ended by a signal; exits as shells do, with 128 + its number.
    pub(crate) fn interrupted(signal: i32) -> Self {
        let code = u8::try_from(128 + signal).unwrap_or(INTERNAL);
        let advice = Some("run the same command again: what was left half-done is redone".into());
        Self { code, advice, ..Self::new("interrupted") }
    }

    /// What would have been right.
    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// What mends it.
    pub(crate) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The last lines of the tool that failed.
    pub(crate) fn said(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.said = lines.into_iter().collect();
        self
    }

    /// What was found, in one line.
    pub(crate) fn found(&self) -> String {
        let details = self.said.join("; ");
        if details.is_empty() { self.found.clone() } else { format!("{}: {details}", self.found) }
    }

    /// What mends it, in one line.
    pub(crate) fn mend(&self) -> String {
        self.advice.clone().unwrap_or_else(|| "see to that first".into())
    }

    /// Whether the user ended the work.
    pub(crate) fn is_interrupt(&self) -> bool {
        self.code > 128
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.found)?;
        for line in &self.said {
            write!(f, "\n  | {line}")?;
        }
        if let Some(expected) = &self.expected {
            write!(f, "\n  expected: {expected}")?;
        }
        if let Some(advice) = &self.advice {
            write!(f, "\n  do this:  {advice}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_found_expected_and_to_be_done() {
        let failure = Failure::new("uv stopped with exit code 2")
            .said(["no space left".to_owned()])
            .expected("7 GB free")
            .advice("make room");
        assert_eq!(
            failure.to_string(),
            "error: uv stopped with exit code 2\n  | no space left\n  expected: 7 GB free\n  do this:  make room"
        );
        assert_eq!(failure.code, 70);
    }

    #[test]
    fn exit_codes_tell_usage_from_interrupts() {
        assert_eq!(Failure::usage("no such step").code, 64);
        assert_eq!(Failure::interrupted(2).code, 130);
        assert!(Failure::interrupted(15).is_interrupt());
        assert!(!Failure::new("x").is_interrupt());
    }
}
