//! The rules that are held against each other: the judge's own, and the peers' as their documentation states them.

use anyhow::{Result, bail};
use capture::{Capture, DType, Precision, Tensor};
use checkpoint_spec::{ActivationSpec, Required};
use oracle::{Bounded, Observed, Operand};
use serde::Serialize;
use tensor_compare::{OraclePair, RoundingBudget, Systematic, Tolerance, compare_with_oracle};

use super::ground::Ground;
use crate::rules::all_close;

/// A rule that accepts or refuses a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The rounding budget's bound on each element.
    Elements,
    /// The rounding budget's bound on systematic error.
    Systematic,
    /// The classic ceiling of the spec.
    Ceiling,
    /// `numpy.allclose(actual, expected, rtol=1e-4, atol=1e-4)`.
    Allclose4,
    /// `numpy.allclose(actual, expected, rtol=1e-5, atol=1e-5)`.
    Allclose5,
    /// `torch.testing.assert_close` with its defaults for f32: rtol 1.3e-6, atol 1e-5.
    AssertClose,
}

/// For each rule, in the order of [`Rule::ALL`].
pub(super) type PerRule<T> = [T; Rule::ALL.len()];

impl Rule {
    /// All rules.
    pub const ALL: [Self; 6] = [
        Self::Elements,
        Self::Systematic,
        Self::Ceiling,
        Self::Allclose4,
        Self::Allclose5,
        Self::AssertClose,
    ];
    /// Those that are not the rounding budget's.
    pub const OTHERS: [Self; 4] = [Self::Ceiling, Self::Allclose4, Self::Allclose5, Self::AssertClose];

    /// Its place in [`Rule::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// Absolute and relative tolerance of a peer's rule.
    fn peer(self) -> Option<(f64, f64)> {
        match self {
            Self::Elements | Self::Systematic | Self::Ceiling => None,
            Self::Allclose4 => Some((1e-4, 1e-4)),
            Self::Allclose5 => Some((1e-5, 1e-5)),
            Self::AssertClose => Some((1e-5, 1.3e-6)),
        }
    }
}

/// One activation of a run, and all that judges it.
#[derive(Debug)]
pub(super) struct Site<'a> {
    /// Id of its checkpoint.
    pub checkpoint: &'a str,
    /// Its spec.
    pub activation: &'a ActivationSpec,
    /// Where it is.
    pub required: &'a Required,
    oracle: Tensor,
    /// What it would be without any error.
    pub expected: Vec<f64>,
    bound: Tensor,
    budget: RoundingBudget,
    tolerance: Option<Tolerance>,
}

/// What the rules say of one tensor.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    /// Which of them refuse it.
    pub refused: PerRule<bool>,
    /// The largest share of its budget that an element uses.
    pub elements: f64,
    /// The systematic error that uses most of what it may be.
    pub systematic: Option<Systematic>,
}

impl<'a> Site<'a> {
    /// What is expected from the run's own inputs; none for what has no rounding budget: moved data, masks, tokens.
    pub(super) fn open(
        ground: &'a Ground<'_>,
        required: &'a Required,
        run: &Capture,
    ) -> Result<Option<Self>> {
        let (specs, model, carrier) = (ground.specs, ground.model, ground.carrier);
        let confidence = carrier.setting.confidence;
        let activation = specs.of(required);
        let Some(budget) = specs.budget(activation, confidence, Precision::F32) else { return Ok(None) };
        let observed = Observed { model, case: &carrier.case, source: run, rules: ground.rules() };
        let Operand::Floats(Bounded { value, error: Some(error), .. }) = observed.isolated(&required.name)?
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            checkpoint: &specs.specs[required.spec].id,
            activation,
            required,
            oracle: Tensor::from_f64(&value.shape, &value.values)?,
            expected: value.values,
            bound: Tensor::from_f64(&value.shape, &error)?,
            budget,
            tolerance: activation.ceiling.as_ref().map(|ceiling| ceiling.tolerance),
        }))
    }

    /// What the rules say of a result: the judge's are asked by the very function that the judge's numbers come from.
    pub(super) fn look(&self, actual: &Tensor) -> Result<Sight> {
        let pair = OraclePair::new(actual.view(), DType::F32, self.oracle.view(), Some(self.bound.view()))?;
        let tolerance = self.tolerance.map_or_else(|| Tolerance::new(f64::MAX, 0.0), Ok)?;
        let found = compare_with_oracle(pair, tolerance, Some(&self.budget))?;
        let Some(budget) = found.budget else { bail!("{}: no budget was applied", self.required.name) };
        let values = actual.view().to_f64_lossy();
        let within = |rule: Rule| match rule.peer() {
            Some((atol, rtol)) => all_close(&values, &self.expected, atol, rtol),
            None => match rule {
                Rule::Elements => budget.violations == 0,
                Rule::Systematic => budget.systematic.iter().all(|found| found.used <= 1.0),
                _ => found.statistics.satisfied(),
            },
        };
        let refused = Rule::ALL.map(|rule| !within(rule));
        let worst = |a: Systematic, b: Systematic| if b.used <= a.used { a } else { b };
        Ok(Sight { refused, elements: budget.used, systematic: budget.systematic.into_iter().reduce(worst) })
    }
}

impl Sight {
    /// Whether the rounding budget refuses it, on either count.
    pub(super) fn seen_by_budget(&self) -> bool {
        self.refused[Rule::Elements.index()] || self.refused[Rule::Systematic.index()]
    }

    /// The share of what systematic error may be; 0 where none was looked for.
    pub(super) fn systematic_used(&self) -> f64 {
        self.systematic.map_or(0.0, |found| found.used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_are_those_of_the_documentation() {
        let tolerances = Rule::OTHERS.map(Rule::peer);
        assert_eq!(tolerances, [None, Some((1e-4, 1e-4)), Some((1e-5, 1e-5)), Some((1e-5, 1.3e-6))]);
        assert!(Rule::ALL.iter().enumerate().all(|(index, rule)| rule.index() == index));
    }
}
