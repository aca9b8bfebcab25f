//! The rules that are held against each other: the judge's own, and the peers' as their documentation states them.

use anyhow::{Result, bail};
use capture::{Capture, DType, Precision, Tensor};
use checkpoint_spec::{ActivationSpec, Required};
use oracle::{Bounded, Observed, Operand};
use serde::Serialize;
use tensor_compare::{OraclePair, RoundingBudget, Systematic, Tolerance, compare_with_oracle};

use super::ground::Ground;

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

/// What `numpy.allclose` and `torch.testing.assert_close` document: `|a − e| <= atol + rtol·|e|` everywhere; equal
/// infinities are close, NaN is close to nothing.
pub(crate) fn all_close(actual: &[f64], expected: &[f64], atol: f64, rtol: f64) -> bool {
    #[expect(clippy::float_cmp, reason = "the same infinity is close to itself")]
    let close = |(&a, &e): (&f64, &f64)| a == e || (e.is_finite() && (a - e).abs() <= atol + rtol * e.abs());
    actual.len() == expected.len() && actual.iter().zip(expected).all(close)
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
    fn peers_rules_are_their_documented_formula() {
        let close = |a, e| all_close(&[a], &[e], 1e-5, 1e-4);
        assert!(close(1.0 + 1e-5 + 0.99e-4, 1.0) && !close(1.0 + 1e-5 + 1.01e-4, 1.0));
        assert!(close(0.99e-5, 0.0) && !close(1.01e-5, 0.0));
        // Relative to the expected value, not to the larger of the two.
        assert!(!close(1.0, 0.0) && !close(0.0, 1.0));
    }

    #[test]
    fn nan_is_close_to_nothing_and_an_infinity_to_itself_only() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        for (a, e, expected) in [
            (nan, nan, false),
            (nan, 0.0, false),
            (0.0, nan, false),
            (inf, inf, true),
            (-inf, inf, false),
            (1.0, inf, false),
            (inf, 1.0, false),
        ] {
            assert_eq!(all_close(&[a], &[e], 1e-4, 1e-4), expected, "{a} {e}");
        }
        assert!(!all_close(&[1.0], &[1.0, 2.0], 1e-4, 1e-4));
    }

    #[test]
    fn tolerances_are_those_of_the_documentation() {
        let tolerances = Rule::OTHERS.map(Rule::peer);
        assert_eq!(tolerances, [None, Some((1e-4, 1e-4)), Some((1e-5, 1e-5)), Some((1e-5, 1.3e-6))]);
        assert!(Rule::ALL.iter().enumerate().all(|(index, rule)| rule.index() == index));
    }
}
