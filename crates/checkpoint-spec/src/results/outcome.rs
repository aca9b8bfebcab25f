//! Reading outcomes, which are most of a record. `kind` comes first, as it is written: fields are then read where they
//! stand, and not kept aside until their kind is known, which takes several times as long.

use std::fmt;

use capture::Shape;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use tensor_compare::DType;

use super::{Outcome, StatisticsRecord};

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
    side: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Missing {
    side: String,
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
        let side = || "subject".to_owned();
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
