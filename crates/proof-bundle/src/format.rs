//! Which version of the format a bundle is in, and who reads it.
//!
//! One version stands for the whole bundle: `bag-info.txt` carries it, and the schema of every record follows from it.

use std::fmt;

/// A change after which an older program would misread a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FormatMajor(u16);

/// A change that a program of the same major reads, once it knows it: records are strict, so that an older one does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FormatMinor(u16);

/// A version of the format, written `2.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FormatVersion {
    /// Must be the reader's.
    pub major: FormatMajor,
    /// Must not be above the reader's.
    pub minor: FormatMinor,
}

/// The version that is written here.
///
/// - 1: had no number of its own; its records were `trialplate/results/1`, `trialplate/materials/1` and so on.
/// - 2.0: the version in `bag-info.txt`, and records that follow from it. Materials gain the subject's executable and
///   build, features of the CPU, the diff of a dirty work tree; small weights come with the bundle; names tell what makes
///   a bundle weaker, and end in the beginning of the payload's digest.
/// - 2.1: results may say which bug it is (`diagnoses`), an architecture may have `features`, and specs may hold what exists
///   with some of them only, mutations of operations, and places of faults.
pub const FORMAT: FormatVersion = FormatVersion { major: FormatMajor(2), minor: FormatMinor(1) };

/// Programs that read a major version, newest last.
const READERS: [(FormatMajor, &str); 2] =
    [(FormatMajor(1), "trialplate 0.1"), (FormatMajor(2), "trialplate 0.2 and later")];

/// A record of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordKind {
    /// The numbers of a case whose tensors are not in the bundle.
    Assay,
    /// What every implementation left.
    Captures,
    /// What every implementation was given. A case carries no version itself.
    Case,
    /// What the run was made from.
    Materials,
    /// What was compared, and what it means.
    Results,
}

/// Why a bundle or record is not read here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Not `major.minor` in decimal.
    #[error("`{0}` is no version of the format; expected two numbers such as 2.0")]
    NoVersion(String),
    /// Not the schema of that record.
    #[error("schema `{found}`; this program knows `{known}`")]
    OtherRecord {
        /// What the record says.
        found: String,
        /// What it has to say.
        known: String,
    },
    /// Another format altogether.
    #[error(
        "format {found} is read by {reader}; this is trialplate {}, which reads format {}, up to {supported}",
        env!("CARGO_PKG_VERSION"),
        .supported.major
    )]
    OtherMajor {
        /// The bundle's.
        found: FormatVersion,
        /// What is read here.
        supported: FormatVersion,
        /// Who reads it.
        reader: &'static str,
    },
    /// Written by a later program.
    #[error(
        "format {found} is newer than {supported}, the newest that this trialplate {} reads: read it with the version that \
         wrote it, or a later one",
        env!("CARGO_PKG_VERSION")
    )]
    NewerMinor {
        /// The bundle's.
        found: FormatVersion,
        /// What is read here.
        supported: FormatVersion,
    },
}

impl FormatVersion {
    /// The version of these numbers.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major: FormatMajor(major), minor: FormatMinor(minor) }
    }

    /// Reads `2.0`: two decimal numbers in their one spelling.
    ///
    /// # Errors
    /// [`FormatError::NoVersion`].
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let version = text.split_once('.').and_then(|(major, minor)| {
            Some(Self { major: FormatMajor(major.parse().ok()?), minor: FormatMinor(minor.parse().ok()?) })
        });
        version
            .filter(|version| version.to_string() == text)
            .ok_or_else(|| FormatError::NoVersion(text.to_owned()))
    }

    /// Whether a program that writes `supported` reads this version.
    ///
    /// # Errors
    /// Another major or a newer minor, with who reads it.
    pub fn check_readable_by(self, supported: Self) -> Result<(), FormatError> {
        if self.major != supported.major {
            return Err(FormatError::OtherMajor { found: self, supported, reader: reader(self.major) });
        }
        if self.minor > supported.minor {
            return Err(FormatError::NewerMinor { found: self, supported });
        }
        Ok(())
    }
}

impl RecordKind {
    /// The schema that is written here: `trialplate/materials/2.1`.
    pub fn schema(self) -> String {
        self.schema_of(FORMAT)
    }

    /// The same in another version.
    pub(crate) fn schema_of(self, version: FormatVersion) -> String {
        format!("trialplate/{}/{version}", self.word())
    }

    /// Reads the version that a record's schema names, whether it is read here or not. The records of format 1 name no
    /// minor.
    ///
    /// # Errors
    /// [`FormatError`], when it is the schema of something else.
    pub fn version(self, schema: &str) -> Result<FormatVersion, FormatError> {
        let version = schema.strip_prefix("trialplate/").and_then(|rest| rest.strip_prefix(self.word()));
        match version.and_then(|rest| rest.strip_prefix('/')) {
            Some("1") => Ok(FormatVersion::new(1, 0)),
            Some(version) => FormatVersion::parse(version),
            None => Err(FormatError::OtherRecord { found: schema.to_owned(), known: self.schema() }),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Assay => "assay",
            Self::Captures => "captures",
            Self::Case => "case",
            Self::Materials => "materials",
            Self::Results => "results",
        }
    }
}

fn reader(major: FormatMajor) -> &'static str {
    let known = READERS.iter().find(|(known, _)| *known == major);
    known.map_or("a later trialplate, such as the one that wrote it", |(_, program)| program)
}

impl fmt::Display for FormatMajor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for FormatMinor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for FormatVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use checkpoint_spec::RESULTS_SCHEMA;

    use super::*;

    fn refusal(found: FormatVersion, supported: FormatVersion) -> String {
        found.check_readable_by(supported).unwrap_err().to_string()
    }

    #[test]
    fn an_older_minor_is_read_and_a_newer_one_is_refused_by_name() {
        let supported = FormatVersion::new(2, 3);
        for minor in 0..=3 {
            assert_eq!(FormatVersion::new(2, minor).check_readable_by(supported), Ok(()));
        }
        let newer = refusal(FormatVersion::new(2, 4), supported);
        assert!(newer.starts_with("format 2.4 is newer than 2.3"), "{newer}");
    }

    #[test]
    fn another_major_is_refused_with_who_reads_it() {
        let older = refusal(FormatVersion::new(1, 9), FORMAT);
        assert!(older.starts_with("format 1.9 is read by trialplate 0.1; "), "{older}");
        let newer = refusal(FormatVersion::new(3, 0), FORMAT);
        assert!(newer.starts_with("format 3.0 is read by a later trialplate"), "{newer}");
        for refusal in [older, newer] {
            assert!(refusal.contains(concat!("this is trialplate ", env!("CARGO_PKG_VERSION"))), "{refusal}");
        }
    }

    #[test]
    fn the_newest_reader_is_of_the_format_that_is_written() {
        let newest = READERS.last();
        assert_eq!(newest.map(|(major, _)| *major), Some(FORMAT.major));
    }

    #[test]
    fn a_version_has_one_spelling() {
        assert_eq!(FormatVersion::parse("2.10"), Ok(FormatVersion::new(2, 10)));
        for text in ["2", "2.", ".0", "2.00", "02.0", "+2.0", "2.0.0", " 2.0", "2.0 ", "-2.0", "2.65536", ""]
        {
            assert_eq!(FormatVersion::parse(text), Err(FormatError::NoVersion(text.to_owned())));
        }
    }

    #[test]
    fn schemas_follow_from_the_version() {
        assert_eq!(RecordKind::Materials.schema(), "trialplate/materials/2.1");
        assert_eq!(RecordKind::Results.schema(), RESULTS_SCHEMA);
        assert_eq!(RecordKind::Case.version("trialplate/case/2.7"), Ok(FormatVersion::new(2, 7)));
        assert_eq!(RecordKind::Case.version("trialplate/case/1"), Ok(FormatVersion::new(1, 0)));
        for schema in ["trialplate/results/2.0", "trialplate/cases/2.0", "case/2.0", "trialplate/case"] {
            assert!(
                matches!(RecordKind::Case.version(schema), Err(FormatError::OtherRecord { .. })),
                "{schema}"
            );
        }
    }
}
