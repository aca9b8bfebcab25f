//! The rounding budget of a run: how far a correct implementation may be off, and how sure that is.
//!
//! The oracle bounds the error of each replayed element by `u·M`, where sums of n terms grow like `c·√n` (or like n,
//! where that is less). Rounding errors are taken as uncorrelated and uniform in ±u; the uniform distribution is
//! strictly sub-Gaussian with variance u²/3, so a sum of n of them leaves `±c·√n·u` with a probability of at most
//! `2·exp(−3c²/2)`. Asking that the N elements of a run together do so with at most probability p gives
//! `c = √(2·ln(2N/p)/3)`: 4.9 for N = 10⁶ and p = 10⁻⁹. Source: Higham & Mary, *A New Approach to Probabilistic
//! Rounding Error Analysis*, SIAM J. Sci. Comput. 41(5), 2019.

use std::collections::BTreeSet;

use capture::protocol::{Rounds, Storage};
use capture::{Case, Precision};
use tensor_compare::{RoundingBudget, Slice};

use crate::Architecture;
use crate::plan::{Traits, required};
use crate::results::Mode;
use crate::spec::{ActivationSpec, BudgetRule, HalfRule, SpecError, SpecSet};

/// `c` of a run, from the specs' false-alarm probability and the number of elements that are held to a budget. The
/// number is rounded up to a power of ten, so that `c` does not change with every case left out.
///
/// # Errors
/// If the specs cannot be applied to the architecture, or name no probability.
pub fn confidence(specs: &SpecSet, architecture: &Architecture, cases: &[&Case]) -> Result<f64, SpecError> {
    let traits = Traits { preallocated_cache: false, tokenizer: false };
    let mut elements: u64 = 1;
    for case in cases {
        for item in required(specs, architecture, case, traits, Mode::Replay, Precision::F32)? {
            if specs.specs[item.spec].activations[item.activation].budget.is_some() {
                elements = elements.saturating_add(item.shape.elements() as u64);
            }
        }
    }
    let decades = elements.checked_ilog10().unwrap_or(0) + u32::from(!is_power_of_ten(elements));
    let probability = specs.false_alarm()?;
    let confidence = (2.0 * (2.0 * 10f64.powi(decades.cast_signed()) / probability).ln() / 3.0).sqrt();
    // Three decimals: no library's last digit of a logarithm may change a record.
    Ok((confidence * 1000.0).ceil() / 1000.0)
}

fn is_power_of_ten(number: u64) -> bool {
    number.checked_ilog10().and_then(|decades| 10u64.checked_pow(decades)) == Some(number)
}

impl SpecSet {
    /// Where a subject of that precision stores its results, for the oracle to derive its bounds from; none for f32.
    pub fn storage(&self, precision: Precision) -> Option<Storage> {
        let rounds = self.activations().filter_map(|(_, _, activation)| {
            let rule = activation.budget.as_ref()?;
            Some((activation.name.clone(), rule.half.rounds.clone()))
        });
        precision.is_half().then(|| Storage { precision, rounds: rounds.collect() })
    }

    fn false_alarm(&self) -> Result<f64, SpecError> {
        let stated = self.specs.iter().find_map(|spec| spec.false_alarm.as_ref());
        stated.map(|alarm| alarm.probability).ok_or_else(|| SpecError::Inconsistent {
            file: self.family.clone(),
            problem: "no spec states the false-alarm probability of a run".to_owned(),
        })
    }
}

impl ActivationSpec {
    /// The budget to hold a replay of this activation to; none where nothing is rounded.
    ///
    /// Systematic error is not looked for in half precision: the rounding error of a stored weight is the same in every
    /// row, that of a stored input in every column, and what is shared does not average out over elements.
    pub fn rounding_budget(&self, confidence: f64, precision: Precision) -> Option<RoundingBudget> {
        let slices = |rule: &BudgetRule| rule.slices.iter().filter_map(|slice| self.slice(slice)).collect();
        self.budget.as_ref().map(|rule| RoundingBudget {
            unit: precision.unit(),
            confidence,
            slices: if precision.is_half() { Vec::new() } else { slices(rule) },
            shared_rows: rule.shared_rows,
        })
    }

    fn slice(&self, name: &str) -> Option<Slice> {
        match name {
            "tensor" => Some(Slice::Tensor),
            "columns" => self.shape.len().checked_sub(2).map(Slice::Pair),
            "last" => self.shape.len().checked_sub(1).map(Slice::Axis),
            symbol => self.shape.iter().position(|dimension| dimension == symbol).map(Slice::Axis),
        }
    }

    /// What is wrong with the budget as it is written.
    pub(crate) fn validate_budget(&self) -> Result<(), String> {
        let Some(BudgetRule { slices, reason, half, .. }) = &self.budget else { return Ok(()) };
        if !self.replay {
            return Err("has a rounding budget and cannot be replayed".to_owned());
        }
        if reason.trim().is_empty() {
            return Err("has a rounding budget without a reason".to_owned());
        }
        self.validate_half(half)?;
        match slices.iter().find(|slice| self.slice(slice).is_none()) {
            Some(unknown) => Err(format!("the slice `{unknown}` is no axis of {:?}", self.shape)),
            None => Ok(()),
        }
    }

    fn validate_half(&self, HalfRule { rounds, reason }: &HalfRule) -> Result<(), String> {
        if reason.trim().is_empty() {
            return Err("has places of half precision without a reason".to_owned());
        }
        if rounds.iter().collect::<BTreeSet<_>>().len() != rounds.len() {
            return Err(format!("is rounded to half precision twice in one place: {rounds:?}"));
        }
        let fits = if self.composite {
            rounds.as_slice() == [Rounds::Parts]
        } else {
            !rounds.contains(&Rounds::Parts) && rounds.contains(&Rounds::Output)
        };
        if fits {
            Ok(())
        } else {
            Err(format!(
                "is rounded to half precision at {rounds:?}; a composite is at its parts, all else at its output"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_is_derived_from_elements_and_false_alarm_probability() {
        let c = |elements: f64, p: f64| (2.0 * (2.0 * elements / p).ln() / 3.0).sqrt();
        assert!((c(1e6, 1e-9) - 4.9).abs() < 0.1);
        assert!([1, 10, 1_000_000].into_iter().all(is_power_of_ten));
        assert!(![2, 999_999, 1_000_001].into_iter().any(is_power_of_ten));
    }

    #[test]
    fn the_storage_says_something_of_every_budget_and_only_in_half_precision() {
        let specs = SpecSet::bundled("gpt2").unwrap();
        assert_eq!(specs.storage(Precision::F32), None);
        let storage = specs.storage(Precision::F16).unwrap();
        assert_eq!(storage.rounds["embd"], [Rounds::Weights, Rounds::Output]);
        let budgets = specs.activations().filter(|(_, _, activation)| activation.budget.is_some());
        assert_eq!(storage.rounds.len(), budgets.count());
    }

    #[test]
    fn places_of_half_precision_are_checked() {
        let specs = SpecSet::bundled("gpt2").unwrap();
        let problem = |name: &str, rounds: &[Rounds], reason: &str| {
            let (_, _, found) = specs.activations().find(|(_, _, found)| found.name == name).unwrap();
            let mut activation = found.clone();
            let budget = activation.budget.as_mut().unwrap();
            budget.half = HalfRule { rounds: rounds.to_vec(), reason: reason.to_owned() };
            activation.validate_budget().err()
        };
        let (whole, output) = ("whole/h.{l}.out", [Rounds::Output]);
        assert_eq!(problem("embd", &output, "why"), None);
        assert!(problem("embd", &output, " ").unwrap().contains("without a reason"));
        assert!(problem("embd", &[Rounds::Output; 2], "why").unwrap().contains("twice in one place"));
        for (name, rounds) in [
            ("embd", vec![Rounds::Inputs]),
            ("embd", vec![Rounds::Parts, Rounds::Output]),
            (whole, output.into()),
        ] {
            assert!(problem(name, &rounds, "why").unwrap().contains("a composite is at its parts"), "{name}");
        }
    }

    #[test]
    fn everything_that_is_rounded_has_a_budget_and_nothing_else() {
        for spec in SpecSet::bundled("gpt2").unwrap().specs {
            for activation in spec.activations {
                let rounded = activation.replay
                    && activation.kind == crate::Kind::Float
                    && !matches!(activation.rule, crate::Rule::Derived { .. });
                assert_eq!(activation.budget.is_some(), rounded, "{}", activation.name);
            }
        }
    }
}
