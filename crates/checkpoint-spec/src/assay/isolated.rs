//! One activation of one implementation, judged from what that implementation itself observed.

use capture::{Case, Precision, Tensor, TensorName, TensorSource};
use graph::Change;
use oracle::{Array, Bounded, Observed, Operand, Rounding};
use tensor_compare::{DType, RoundingBudget, TensorError};

use super::measure::{IntoOutcome, against_oracle, fetch, same_bits, unbounded, unreadable};
use super::{Setting, Source, oracle};
use crate::plan::{Required, direct_inputs};
use crate::results::{Outcome, Side};
use crate::spec::{Derivation, Judgement, Rule};

/// One implementation's activations of one case.
pub(super) struct Isolated<'a> {
    /// What holds for the run.
    pub(super) setting: &'a Setting<'a>,
    /// The case.
    pub(super) case: &'a Case,
    /// What it left.
    pub(super) source: Source<'a>,
    /// Whose it is.
    pub(super) side: &'a Side,
    /// What it computes in.
    pub(super) precision: Precision,
    /// The rules of all activations.
    pub(super) rules: &'a [Rounding],
}

impl Isolated<'_> {
    /// The numbers of an activation that has an operation, or follows from what is known.
    pub(super) fn judge(&self, required: &Required) -> Outcome {
        let judge = || {
            // A record's word alone allocates nothing: what is expected is computed beside a tensor of that very layout.
            let actual = fetch(self.source, self.side, required)?;
            match self.setting.specs.of(required).judgement() {
                Some(Judgement::Rule(Rule::Derived { from, .. })) => {
                    Ok(same_bits(&actual, &self.derived(*from, required)?, self.side))
                }
                Some(Judgement::Budget(_) | Judgement::Bits(_)) => self.by_own_inputs(required, &actual),
                Some(Judgement::Rule(Rule::Exact { .. } | Rule::Chained { .. })) | None => {
                    Err(unreadable("nothing judges it in isolation"))
                }
            }
        };
        judge().into_outcome()
    }

    /// The numbers of an activation against what a component with a bug makes of the same inputs.
    pub(super) fn judge_under(&self, required: &Required, change: &Change) -> Outcome {
        let judge = || {
            let actual = fetch(self.source, self.side, required)?;
            let expected = self.observed()?.under(&required.name, [change]).map_err(unreadable)?;
            self.held(required, &actual, expected)
        };
        judge().into_outcome()
    }

    fn by_own_inputs(&self, required: &Required, actual: &Tensor) -> Result<Outcome, Outcome> {
        let expected = self.observed()?.isolated(&required.name).map_err(unreadable)?;
        self.held(required, actual, expected)
    }

    fn observed(&self) -> Result<Observed<'_>, Outcome> {
        let model = self.setting.model.ok_or(Outcome::Missing { side: oracle() })?;
        let source = self.source.ok_or_else(|| Outcome::Missing { side: self.side.clone() })?;
        Ok(Observed { model, case: self.case, source, rules: self.rules })
    }

    /// What is there against what must be, within its bound.
    pub(super) fn held(
        &self,
        required: &Required,
        actual: &Tensor,
        expected: Operand<Bounded>,
    ) -> Result<Outcome, Outcome> {
        let activation = self.setting.specs.of(required);
        match expected {
            Operand::Tokens(ids) => {
                let expected = Tensor::from_i64(&ids.shape, &ids.values).map_err(unreadable)?;
                Ok(same_bits(actual, &expected, self.side))
            }
            Operand::Floats(Bounded { value, error: None, .. }) => {
                let expected = narrowed(&value, required.dtype).map_err(unreadable)?;
                Ok(same_bits(actual, &expected, self.side))
            }
            Operand::Floats(Bounded { value, error: Some(error), .. }) => {
                let budget = self.setting.specs.budget(activation, self.setting.confidence, self.precision);
                // What moves data has a bound only where its inputs were not observed.
                let budget = budget.unwrap_or_else(|| self.of_elements());
                let bound = bounds(&value.shape, &error).map_err(unreadable)?;
                let value = Tensor::from_f64(&value.shape, &value.values).map_err(unreadable)?;
                against_oracle(actual, &value, unbounded(), Some((&bound, &budget)), self.side)
            }
        }
    }

    fn of_elements(&self) -> RoundingBudget {
        RoundingBudget {
            unit: Precision::F32.unit(),
            confidence: self.setting.confidence,
            allowance: self.setting.specs.judging.systematic.allowance,
            slices: Vec::new(),
            shared_rows: false,
        }
    }

    /// The expected tensor of the required layout, or why it cannot be derived.
    pub(super) fn derived(&self, from: Derivation, required: &Required) -> Result<Tensor, Outcome> {
        let built = match from {
            Derivation::One | Derivation::Zero => {
                let byte = u8::from(from == Derivation::One);
                let bytes = vec![byte; required.shape.elements() * required.dtype.size()];
                Tensor::new(required.dtype, required.shape.clone(), bytes)
            }
            Derivation::WeightDigest => self.weight_digest(required)?,
            Derivation::ScheduledTokens => self.scheduled_tokens(required),
            Derivation::CacheSlots => self.cache_slots(required)?,
            Derivation::Greedy => self.greedy(required)?,
        };
        built.map_err(|error| unreadable(format!("expected values cannot be derived: {error}")))
    }

    fn weight_digest(&self, required: &Required) -> Result<Built, Outcome> {
        let model = self.setting.model.ok_or(Outcome::Missing { side: oracle() })?;
        let name = required.name.activation.trim_start_matches("weights.");
        let digest = model.weights.digest(name);
        let digest = digest.ok_or_else(|| unreadable(format!("the model has no weight `{name}`")))?;
        Ok(Tensor::from_u8(&[digest.len()], &digest))
    }

    fn scheduled_tokens(&self, required: &Required) -> Built {
        let case = self.case;
        let range = required.name.step.and_then(|step| case.steps().nth(step)).unwrap_or(0..case.tokens());
        let ids = case.token_ids.iter().flat_map(|row| row.get(range.clone()).unwrap_or_default());
        let bytes = ids.flat_map(|id| id.to_le_bytes()).collect();
        Tensor::new(required.dtype, required.shape.clone(), bytes)
    }

    /// `[2, B, C, H, Dh]`: keys, then values; each row's slots from 0, zeros after them.
    fn cache_slots(&self, required: &Required) -> Result<Built, Outcome> {
        let [_, batch, context, heads, head_dim] = *required.shape.dimensions() else {
            return Err(unreadable(format!(
                "a cache needs five dimensions, the spec gives {}",
                required.shape
            )));
        };
        let row_bytes = context * heads * head_dim * required.dtype.size();
        let mut bytes = Vec::new();
        for which in self.own_inputs(required) {
            let steps: Result<Vec<Tensor>, Outcome> = (0..=required.name.step.unwrap_or(0))
                .map(|step| self.own(&TensorName::of_step(step, which.activation.clone())))
                .collect();
            for mut row in concatenate(&steps?, batch) {
                row.resize(row_bytes.max(row.len()), 0);
                bytes.append(&mut row);
            }
        }
        Ok(Tensor::new(required.dtype, required.shape.clone(), bytes))
    }

    /// `[…, V]` → `[…]`, lowest index on ties; an index no token has where a row holds NaN.
    fn greedy(&self, required: &Required) -> Result<Built, Outcome> {
        let logits = self.own_inputs(required).into_iter().next();
        let logits = self.own(&logits.ok_or_else(|| unreadable("the spec gives no logits for it"))?)?;
        let rows =
            Array { shape: logits.shape().dimensions().to_vec(), values: logits.view().to_f64_lossy() };
        Ok(Tensor::from_i64(required.shape.dimensions(), &oracle::operation::Argmax.value(&rows)))
    }

    /// The direct inputs of this step.
    fn own_inputs(&self, required: &Required) -> Vec<TensorName> {
        let Setting { specs, architecture, .. } = *self.setting;
        let of_this_step = |name: &TensorName| name.step == required.name.step;
        direct_inputs(specs, architecture, self.case, required).into_iter().filter(of_this_step).collect()
    }

    /// Another activation of the same implementation: missing here is missing evidence.
    fn own(&self, name: &TensorName) -> Result<Tensor, Outcome> {
        own(self.source, self.side, name)
    }
}

type Built = Result<Tensor, TensorError>;

/// An activation from which others follow.
fn own(source: Option<&dyn TensorSource>, side: &Side, name: &TensorName) -> Result<Tensor, Outcome> {
    let missing = || Outcome::Missing { side: side.input(name) };
    source.ok_or_else(missing)?.tensor(name).map_err(unreadable)?.ok_or_else(missing)
}

/// Values that were moved, in the dtype that they had.
#[expect(clippy::cast_possible_truncation, reason = "moved data has the bits of the f32 that it was")]
fn narrowed(value: &Array, dtype: DType) -> Result<Tensor, TensorError> {
    match dtype {
        DType::F32 => {
            Tensor::from_f32(&value.shape, &value.values.iter().map(|&x| x as f32).collect::<Vec<f32>>())
        }
        _ => Tensor::from_f64(&value.shape, &value.values),
    }
}

/// Bounds in f32, which holds what is needed of them, or in f64 where f32 does not hold one.
#[expect(clippy::cast_possible_truncation, reason = "what f32 does not hold is kept in f64")]
fn bounds(shape: &[usize], error: &[f64]) -> Result<Tensor, TensorError> {
    if error.iter().all(|bound| (*bound as f32).is_finite()) {
        // Rounded up, so that no bound is smaller than it was derived.
        let up = |&bound: &f64| {
            let single = bound as f32;
            if f64::from(single) < bound { single.next_up() } else { single }
        };
        return Tensor::from_f32(shape, &error.iter().map(up).collect::<Vec<f32>>());
    }
    Tensor::from_f64(shape, error)
}

/// The bytes of each batch row, steps one after the other. Every tensor's first dimension is the batch.
fn concatenate(steps: &[Tensor], batch: usize) -> Vec<Vec<u8>> {
    let row = |tensor: &Tensor, row: usize| {
        let length = tensor.bytes().len().checked_div(batch).unwrap_or(0);
        tensor.bytes()[row * length..(row + 1) * length].to_vec()
    };
    (0..batch).map(|b| steps.iter().flat_map(|tensor| row(tensor, b)).collect()).collect()
}
