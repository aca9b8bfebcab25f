//! Why a model is of no family, or of one that the graph does not describe in full.

/// An option that the graph does not describe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The field of `config.json`.
    pub option: String,
    /// What it is set to.
    pub found: String,
    /// What the graph describes.
    pub expected: String,
    /// What the option does.
    pub reason: String,
}

/// Why a model's configuration is none of this family.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FamilyError {
    /// `family.toml` is not TOML, or not of the schema.
    #[error("family.toml: {problem}")]
    Syntax {
        /// What is wrong, and where.
        problem: String,
    },
    /// `config.json` lacks a number, or has something else in its place.
    #[error("`{path}` is {found}, expected {expected}")]
    Field {
        /// The field.
        path: String,
        /// What is there.
        found: String,
        /// What must be.
        expected: &'static str,
    },
    /// A size does not follow from the others.
    #[error("there is no size `{symbol}`: {rule} is no whole number")]
    Size {
        /// The symbol.
        symbol: String,
        /// From what it follows.
        rule: String,
    },
    /// An option that changes the computation and is not described.
    #[error("`{}` is {}, expected {}: {}", .0.option, .0.found, .0.expected, .0.reason)]
    Refused(Refused),
}
