//! The rounding budget of a run: how far a correct implementation may be off, and how sure that is.
//!
//! The oracle bounds the error of each replayed element by `u·M`, where sums of n terms grow like `c·√n` (or like n,
//! where that is less). Rounding errors are taken as uncorrelated and uniform in ±u; the uniform distribution is
//! strictly sub-Gaussian with variance u²/3, so a sum of n of them leaves `±c·√n·u` with a probability of at most
//! `2·exp(−3c²/2)`. Asking that the N elements of a run together do so with at most probability p gives
//! `c = √(2·ln(2N/p)/3)`: 4.9 for N = 10⁶ and p = 10⁻⁹. Source: Higham & Mary, *A New Approach to Probabilistic
//! Rounding Error Analysis*, SIAM J. Sci. Comput. 41(5), 2019.

use capture::{Case, Precision};
use tensor_compare::{RoundingBudget, Slice};

use crate::Architecture;
use crate::plan::{Traits, required};
use crate::results::Mode;
use crate::spec::{ActivationSpec, BudgetRule, SpecError, SpecSet};

/// `u` of f32.
pub(crate) const UNIT_F32: f64 = 1.0 / 16_777_216.0;

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
    pub fn rounding_budget(&self, confidence: f64) -> Option<RoundingBudget> {
        self.budget.as_ref().map(|rule| RoundingBudget {
            unit: UNIT_F32,
            confidence,
            slices: rule.slices.iter().filter_map(|slice| self.slice(slice)).collect(),
            shared_rows: rule.shared_rows,
        })
    }

    fn slice(&self, name: &str) -> Option<Slice> {
        match name {
            "tensor" => Some(Slice::Tensor),
            "last" => self.shape.len().checked_sub(1).map(Slice::Axis),
            symbol => self.shape.iter().position(|dimension| dimension == symbol).map(Slice::Axis),
        }
    }

    /// What is wrong with the budget as it is written.
    pub(crate) fn validate_budget(&self) -> Result<(), String> {
        let Some(BudgetRule { slices, reason, .. }) = &self.budget else { return Ok(()) };
        if !self.replay {
            return Err("has a rounding budget and cannot be replayed".to_owned());
        }
        if reason.trim().is_empty() {
            return Err("has a rounding budget without a reason".to_owned());
        }
        match slices.iter().find(|slice| self.slice(slice).is_none()) {
            Some(unknown) => Err(format!("the slice `{unknown}` is no axis of {:?}", self.shape)),
            None => Ok(()),
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
