//! Why specs cannot be used.

/// Why a spec is none.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Not TOML, or not of the schema.
    #[error("spec {file}: {problem}")]
    Syntax {
        /// The file.
        file: String,
        /// What is wrong, and where.
        problem: String,
    },
    /// Of the schema, but contradicting itself.
    #[error("spec {file}: {problem}")]
    Inconsistent {
        /// The file.
        file: String,
        /// What contradicts what.
        problem: String,
    },
    /// The specs do not fit the model.
    #[error("the specs do not fit the model: {problem}")]
    Architecture {
        /// What does not fit.
        problem: String,
    },
    /// No such family.
    #[error("no specs for the family `{family}`; there are specs for: {known}")]
    UnknownFamily {
        /// The family asked for.
        family: String,
        /// Those that there are.
        known: String,
    },
}
