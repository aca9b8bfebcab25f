//! The numbers that decide, in every family: `judging.toml`.

use oracle::Constants;
use serde::{Deserialize, Serialize};

/// Fewer correct runs than these say too little of how far one may be off.
const FEWEST_REPLICAS: usize = 8;

/// The numbers that decide, each with its reason. What belongs to one operation stands in its law.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judging {
    /// How often a run of a correct implementation may be accused.
    pub false_alarm: FalseAlarm,
    /// What a chained run may be off where nothing nearer can judge.
    pub chained: Chained,
    /// What two voices at f64 may be apart.
    pub quorum: Quorum,
    /// What scale and offset of an error may be beside chance.
    pub systematic: Systematic,
    /// From which share of a budget on a pass has a reservation.
    pub reservation: Reserve,
    /// What elementary functions may be off.
    pub functions: Functions,
}

/// How often a run of a correct implementation may be accused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FalseAlarm {
    /// For a whole run, above 0 and below 1.
    pub probability: f64,
    /// Why.
    pub reason: String,
}

/// The bound of a chained error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chained {
    /// How many times the root mean square error of the worst replica.
    pub kappa: f64,
    /// How many replicas.
    pub replicas: usize,
    /// Why.
    pub reason: String,
}

/// The agreement of voices at f64.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quorum {
    /// Roundings of f64, 2⁻⁵³ each, of the largest value of the tensor.
    pub roundings: f64,
    /// Why.
    pub reason: String,
}

/// Systematic error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Systematic {
    /// Units, of the largest value for an offset.
    pub allowance: f64,
    /// Why.
    pub reason: String,
}

/// Reservations about a budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reserve {
    /// The share of a budget.
    pub used: f64,
    /// Why.
    pub reason: String,
}

/// Elementary functions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Functions {
    /// The units.
    pub constants: Constants,
    /// Where they come from.
    pub reason: String,
}

impl Judging {
    /// What is wrong with the numbers, if anything is.
    pub(super) fn validate(&self) -> Result<(), String> {
        let above = |what: &str, number: f64, least: f64| {
            if number.is_finite() && number > least {
                Ok(())
            } else {
                Err(format!("{what} is {number}; it must be a number above {least}"))
            }
        };
        above("false_alarm.probability", self.false_alarm.probability, 0.0)?;
        above("1 − false_alarm.probability", 1.0 - self.false_alarm.probability, 0.0)?;
        above("chained.kappa", self.chained.kappa, 1.0)?;
        above("quorum.roundings", self.quorum.roundings, 0.0)?;
        above("systematic.allowance", self.systematic.allowance, 0.0)?;
        above("reservation.used", self.reservation.used, 0.0)?;
        let there = oracle::Way::REPLICAS.len();
        if !(FEWEST_REPLICAS..=there).contains(&self.chained.replicas) {
            let found = self.chained.replicas;
            return Err(format!(
                "chained.replicas is {found}; it lies between {FEWEST_REPLICAS} and {there}"
            ));
        }
        let reasons = [
            &self.false_alarm.reason,
            &self.chained.reason,
            &self.quorum.reason,
            &self.systematic.reason,
            &self.reservation.reason,
            &self.functions.reason,
        ];
        if reasons.iter().any(|reason| reason.trim().is_empty()) {
            return Err("a number has no reason".to_owned());
        }
        Ok(())
    }
}
