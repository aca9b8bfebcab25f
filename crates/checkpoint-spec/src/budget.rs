//! The rounding budget of a run: how far a correct implementation may be off, and how sure that is.
//!
//! The oracle bounds the error of each replayed element by `u·M`, where sums of n terms grow like `c·√n` (or like n,
//! where that is less). Rounding errors are taken as uncorrelated and uniform in ±u; the uniform distribution is
//! strictly sub-Gaussian with variance u²/3, so a sum of n of them leaves `±c·√n·u` with a probability of at most
//! `2·exp(−3c²/2)`. Asking that the N elements of a run together do so with at most probability p gives
//! `c = √(2·ln(2N/p)/3)`: 4.9 for N = 10⁶ and p = 10⁻⁹. Source: Higham & Mary, *A New Approach to Probabilistic
//! Rounding Error Analysis*, SIAM J. Sci. Comput. 41(5), 2019.

use capture::{Case, Precision};
use oracle::{HalfFormat, Rounding, Storage};
use tensor_compare::{RoundingBudget, Slice};

use crate::Architecture;
use crate::plan::{Traits, required};
use crate::spec::{ActivationSpec, Judgement, OperationLaw, SpecError, SpecSet};

/// `c` of a run, from the specs' false-alarm probability and the number of elements that are held to a budget. The
/// number is rounded up to a power of ten, so that `c` does not change with every case left out.
///
/// # Errors
/// If the specs cannot be applied to the architecture, or name no probability.
pub fn confidence(specs: &SpecSet, architecture: &Architecture, cases: &[&Case]) -> Result<f64, SpecError> {
    let traits = Traits { preallocated_cache: false, tokenizer: false };
    let mut elements: u64 = 1;
    for case in cases {
        for item in required(specs, architecture, case, traits, Precision::F32)? {
            if matches!(specs.of(&item).judgement(), Some(Judgement::Budget(_))) {
                elements = elements.saturating_add(item.shape.elements() as u64);
            }
        }
    }
    let decades = elements.checked_ilog10().unwrap_or(0) + u32::from(!is_power_of_ten(elements));
    let probability = specs.judging.false_alarm.probability;
    let confidence = (2.0 * (2.0 * 10f64.powi(decades.cast_signed()) / probability).ln() / 3.0).sqrt();
    // Three decimals: no library's last digit of a logarithm may change a record.
    Ok((confidence * 1000.0).ceil() / 1000.0)
}

fn is_power_of_ten(number: u64) -> bool {
    number.checked_ilog10().and_then(|decades| 10u64.checked_pow(decades)) == Some(number)
}

impl SpecSet {
    /// The rules by which the oracle bounds the errors of an activation, in an implementation of that precision; none
    /// where nothing is rounded.
    pub fn rounding(
        &self,
        activation: &ActivationSpec,
        confidence: f64,
        precision: Precision,
    ) -> Option<Rounding> {
        let law = self.law(activation)?;
        let rounds = || law.half.iter().flat_map(|half| half.rounds.iter().copied()).collect();
        let storage = half_format(precision).map(|format| Storage { format, rounds: rounds() });
        Some(Rounding { confidence, constants: self.judging.functions.constants, storage })
    }

    /// The rules of all activations in the order of the graph; what moves data rounds nothing.
    pub fn rules(&self, confidence: f64, precision: Precision) -> Vec<Rounding> {
        let nothing = || Rounding { confidence, constants: self.judging.functions.constants, storage: None };
        let of = |activation| self.rounding(activation, confidence, precision).unwrap_or_else(nothing);
        self.activations().map(|(_, _, activation)| of(activation)).collect()
    }

    /// The budget to hold an activation to; none where nothing is rounded.
    ///
    /// Systematic error is not looked for in half precision: the rounding error of a stored weight is the same in every
    /// row, that of a stored input in every column, and what is shared does not average out over elements.
    pub fn budget(
        &self,
        activation: &ActivationSpec,
        confidence: f64,
        precision: Precision,
    ) -> Option<RoundingBudget> {
        let law = self.law(activation)?;
        let slices = activation.budget.as_ref().map_or(&law.slices, |budget| &budget.slices);
        let slices = slices.iter().filter_map(|slice| activation.slice(slice));
        Some(RoundingBudget {
            unit: Precision::F32.unit(),
            confidence,
            allowance: self.judging.systematic.allowance,
            slices: if precision.is_half() { Vec::new() } else { slices.collect() },
            shared_rows: law.shared_rows,
        })
    }

    /// How results of the activation's operation are judged; none where nothing is rounded.
    pub fn law(&self, activation: &ActivationSpec) -> Option<&OperationLaw> {
        match activation.judgement() {
            Some(Judgement::Budget(op)) => self.operations.get(op.name()),
            _ => None,
        }
    }
}

/// The format that a precision stores in, if it is a half one.
pub(crate) fn half_format(precision: Precision) -> Option<HalfFormat> {
    match precision {
        Precision::F16 => Some(HalfFormat::F16),
        Precision::Bf16 => Some(HalfFormat::Bf16),
        Precision::F32 | Precision::F64 => None,
    }
}

impl ActivationSpec {
    pub(crate) fn slice(&self, name: &str) -> Option<Slice> {
        match name {
            "tensor" => Some(Slice::Tensor),
            "columns" => self.shape.len().checked_sub(2).map(Slice::Pair),
            "last" => self.shape.len().checked_sub(1).map(Slice::Axis),
            symbol => self.shape.iter().position(|dimension| dimension == symbol).map(Slice::Axis),
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
        let specs = SpecSet::bundled("gpt2").unwrap();
        for (_, _, activation) in specs.activations() {
            let rounded = activation.op.as_ref().is_some_and(|op| !op.moves());
            let budget = specs.budget(activation, 5.0, Precision::F32);
            assert_eq!(budget.is_some(), rounded, "{}", activation.name);
            let storage =
                |precision| specs.rounding(activation, 5.0, precision).and_then(|rule| rule.storage);
            assert!(storage(Precision::F32).is_none(), "{}", activation.name);
            assert_eq!(storage(Precision::Bf16).is_some(), rounded, "{}", activation.name);
        }
    }
}
