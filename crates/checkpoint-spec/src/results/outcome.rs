//! What came of a comparison. Outcomes are most of a record: `kind` comes first, and fields are read where they stand, not kept
//! aside until their kind is known, which takes several times as long.

use std::fmt;

use capture::Shape;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use tensor_compare::DType;

use super::{BudgetRecord, Side, StatisticsRecord};

/// The numbers of a comparison, or why there are none.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "kind")]
pub enum Outcome {
    /// Shapes and dtypes match; values were compared.
    Compared {
        /// The common shape.
        shape: Shape,
        /// The numbers.
        statistics: Box<StatisticsRecord>,
    },
    /// The shapes differ; no value was looked at.
    ShapeMismatch {
        /// The shape the spec requires.
        expected: Shape,
        /// The shape found.
        found: Shape,
        /// Whose tensor it is.
        side: Side,
    },
    /// The dtypes differ; no value was looked at.
    DtypeMismatch {
        /// The dtype the spec requires.
        expected: DType,
        /// The dtype found.
        found: DType,
        /// Whose tensor it is.
        side: Side,
    },
    /// Not there.
    Missing {
        /// Whose tensor it is.
        side: Side,
    },
    /// Could not be read.
    Unreadable {
        /// What was found.
        problem: String,
    },
}

impl Outcome {
    /// Elements compared; 0 when nothing was.
    pub fn elements(&self) -> u64 {
        self.statistics().map_or(0, |statistics| statistics.elements)
    }

    /// Argmax flips that count as ties.
    pub fn ties(&self) -> u64 {
        self.statistics().map_or(0, |statistics| statistics.ties)
    }

    /// The numbers, if values were compared.
    pub fn statistics(&self) -> Option<&StatisticsRecord> {
        match self {
            Self::Compared { statistics, .. } => Some(statistics),
            _ => None,
        }
    }

    /// The numbers of a comparison of floats.
    pub fn float_statistics(&self) -> Option<&StatisticsRecord> {
        self.statistics().filter(|statistics| statistics.max_ulp.is_some())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compared { statistics, .. } if statistics.violations == 0 => {
                let budget = statistics.budget.as_ref();
                match budget.and_then(BudgetRecord::systematic_violation) {
                    Some(found) => return write!(f, "systematic error: {found}"),
                    None => write!(f, "{} elements compared", statistics.elements)?,
                }
                match budget.filter(|budget| budget.violations > 0) {
                    Some(budget) => write!(
                        f,
                        ", {} outside the rounding budget, which is used up {:.3e} times",
                        budget.violations, budget.used.0
                    ),
                    None => write!(f, ", root mean square error {:.3e}", statistics.rmse.0),
                }
            }
            Self::Compared { statistics, .. } => {
                write!(f, "{} of {} elements out of bounds", statistics.violations, statistics.elements)?;
                match statistics.worst.first() {
                    Some(e) => write!(
                        f,
                        ", worst at {:?}: {:?} found, {:?} expected, apart by {:?}, allowed {:?}",
                        e.index, e.actual.0, e.expected.0, e.error.0, e.allowed.0
                    ),
                    None => Ok(()),
                }
            }
            Self::ShapeMismatch { expected, found, side } => {
                write!(f, "{side} has shape {found}, {expected} is required; values were not compared")
            }
            Self::DtypeMismatch { expected, found, side } => {
                write!(f, "{side} has dtype {found}, {expected} is required; values were not compared")
            }
            Self::Missing { side } => write!(f, "missing from {side}"),
            Self::Unreadable { problem } => write!(f, "unreadable: {problem}"),
        }
    }
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OutcomeVisitor)
    }
}

struct OutcomeVisitor;

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum First {
    Kind,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Compared,
    ShapeMismatch,
    DtypeMismatch,
    Missing,
    Unreadable,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Compared {
    shape: Shape,
    statistics: Box<StatisticsRecord>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Mismatch<T> {
    expected: T,
    found: T,
    side: Side,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Missing {
    side: Side,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Unreadable {
    problem: String,
}

impl<'de> Visitor<'de> for OutcomeVisitor {
    type Value = Outcome;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an outcome, whose first field is its kind")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Outcome, A::Error> {
        let Some((First::Kind, kind)) = map.next_entry()? else { return Err(Error::missing_field("kind")) };
        let fields = MapAccessDeserializer::new(map);
        Ok(match kind {
            Kind::Compared => {
                let Compared { shape, statistics } = Compared::deserialize(fields)?;
                Outcome::Compared { shape, statistics }
            }
            Kind::ShapeMismatch => {
                let Mismatch { expected, found, side } = Mismatch::<Shape>::deserialize(fields)?;
                Outcome::ShapeMismatch { expected, found, side }
            }
            Kind::DtypeMismatch => {
                let Mismatch { expected, found, side } = Mismatch::<DType>::deserialize(fields)?;
                Outcome::DtypeMismatch { expected, found, side }
            }
            Kind::Missing => {
                let Missing { side } = Missing::deserialize(fields)?;
                Outcome::Missing { side }
            }
            Kind::Unreadable => {
                let Unreadable { problem } = Unreadable::deserialize(fields)?;
                Outcome::Unreadable { problem }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Outcome, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_read() {
        let shape = || Shape::new([2, 3]).unwrap();
        let side = || Side::Subject;
        for outcome in [
            Outcome::ShapeMismatch { expected: shape(), found: Shape::new([6]).unwrap(), side: side() },
            Outcome::DtypeMismatch { expected: DType::F32, found: DType::F64, side: side() },
            Outcome::Missing { side: side() },
            Outcome::Unreadable { problem: "broken".to_owned() },
        ] {
            let text = serde_json::to_string(&outcome).unwrap();
            assert_eq!(read(&text), Ok(outcome), "{text}");
        }
    }

    #[test]
    fn what_is_not_written_is_refused() {
        for (text, why) in [
            (r#"{"side":"subject","kind":"missing"}"#, "unknown field `side`"),
            (r#"{"kind":"missing","side":"subject","more":1}"#, "unknown field `more`"),
            (r#"{"kind":"missing","side":"subject","side":"subject"}"#, "duplicate field"),
            (r#"{"kind":"missing","kind":"missing","side":"subject"}"#, "unknown field `kind`"),
            (r#"{"kind":"absent","side":"subject"}"#, "unknown variant `absent`"),
            (r#"{"kind":"missing"}"#, "missing field `side`"),
            ("{}", "missing field `kind`"),
            (r#""missing""#, "an outcome"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
