//! One operation of a graph, applied: its weights looked up, its inputs handed to it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use graph::{
    Computation, Constant, GeluForm, NamedScale, Node, Operation, RESULT, RopeScaling, ScoreScale, Step, Wave,
};

use crate::change::change;
use crate::operation::{
    Activation, CausalMask, LayerNorm, Layout, Linear, RmsNorm, Rope, RopeTable, Rows, Scaling, Scores,
    Softmax,
};
use crate::operation::{
    activation, heads, layer_norm, moved, rms_norm, rope_table, softmax, weighted_values,
};
use crate::{ApplyError, Arithmetic, Array, Model, Operand, Weight};

/// Computes a node of the model's graph in a step, as a computation says. `inputs` are in the order of
/// [`Computation::inputs`]; `past` is the node's own value of the step before.
///
/// # Errors
/// If the inputs do not fit, or the model lacks a weight.
pub(crate) fn apply<A: Arithmetic>(
    arithmetic: &A,
    model: &Model,
    (node, computation, step): (&Node, &Computation, Step),
    inputs: &[&Operand<A::Value>],
    past: Option<&Operand<A::Value>>,
) -> Result<Operand<A::Value>, ApplyError> {
    let given = Application { arithmetic, model, node, computation, step, inputs };
    given.check_shapes()?;
    if let (Some(_), &[handed]) = (&computation.hands_on, inputs) {
        return given.finish(handed.clone());
    }
    let changed = given.changed_inputs()?;
    let inputs: Vec<&Operand<A::Value>> =
        inputs.iter().enumerate().map(|(place, input)| changed.get(&place).unwrap_or(input)).collect();
    let application = Application { inputs: &inputs, ..given };
    let value = application.compute(past)?;
    match &computation.then {
        None => application.finish(value),
        Some(then) => application.finish(application.goes_through(then, value)?),
    }
}

struct Application<'a, A: Arithmetic> {
    arithmetic: &'a A,
    model: &'a Model,
    node: &'a Node,
    computation: &'a Computation,
    step: Step,
    inputs: &'a [&'a Operand<A::Value>],
}

impl<A: Arithmetic> Application<'_, A> {
    /// Every shape is known from the graph, so that no operation is given what it cannot take.
    fn check_shapes(&self) -> Result<(), ApplyError> {
        let (graph, architecture) = (&self.model.graph, &self.model.architecture);
        let names = self.computation.inputs_in(self.node.layer, architecture.layers);
        if names.len() != self.inputs.len() {
            return Err(self.lacks(&format!("{} inputs", names.len())));
        }
        for (name, input) in names.iter().zip(self.inputs) {
            let input_node = graph.find(name).ok_or_else(|| self.lacks(&format!("`{name}`")))?;
            let expected = graph
                .shape(&input_node, architecture, self.step)
                .ok_or_else(|| self.lacks(&format!("a shape of `{name}`")))?;
            let found = input.shape::<A>();
            if found != expected {
                return Err(self.problem(format!("`{name}` has the shape {found:?}, expected {expected:?}")));
            }
        }
        Ok(())
    }

    fn compute(&self, past: Option<&Operand<A::Value>>) -> Result<Operand<A::Value>, ApplyError> {
        let a = self.arithmetic;
        let wrong = self.computation.wrong.as_deref();
        let value = match &self.computation.op {
            Operation::Rows { table, positions, .. } => {
                let (table, table_values) = self.weight("table", table)?;
                let positions = positions.as_ref().map(|name| self.weight("positions", name)).transpose()?;
                let op = Rows {
                    table: Weight { values: &table_values, ..table },
                    positions: positions
                        .as_ref()
                        .map(|(weight, values)| (Weight { values, ..*weight }, self.step.past)),
                };
                a.rows(&if wrong.is_some() { op.restarted() } else { op }, self.tokens()?)?
            }
            Operation::LayerNorm { epsilon, weight, bias, .. } => {
                let epsilon = self.constant(epsilon)?;
                let weight = weight.as_ref().map(|name| self.weight("weight", name)).transpose()?;
                let bias = bias.as_ref().map(|name| self.weight("bias", name)).transpose()?;
                let (weight, bias) = (
                    weight.as_ref().map(|(_, values)| &**values),
                    bias.as_ref().map(|(_, values)| &**values),
                );
                let (op, x) = (LayerNorm { epsilon, weight, bias }, self.floats(0)?);
                match wrong {
                    None => a.layer_norm(&op, x),
                    Some(way) => layer_norm::wrong(a, way, &op, x).ok_or_else(|| self.no_way(way))?,
                }
            }
            Operation::Linear { weight, bias, layout, part, .. } => {
                let (weight, values) = self.whole_weight(weight)?;
                let bias = bias.as_ref().map(|name| self.whole_weight(name)).transpose()?;
                let op = Linear {
                    weight: Weight { values: &values, ..weight },
                    bias: bias.as_ref().map(|(_, values)| &**values),
                    layout: match layout {
                        graph::Layout::InOut => Layout::InOut,
                        graph::Layout::OutIn => Layout::OutIn,
                    },
                    part: part.map(|part| (part.index, part.count)),
                };
                self.linear(&op)?
            }
            Operation::Cache { .. } => {
                let past = past.map(|past| self.as_floats(past)).transpose()?;
                let mut cache = a.append(past, self.floats(0)?);
                if let Some(way) = wrong {
                    moved::wrong_append(way, &mut cache, self.step.past);
                }
                cache
            }
            Operation::RmsNorm { epsilon, weight, .. } => {
                let epsilon = self.constant(epsilon)?;
                let weight = weight.as_ref().map(|name| self.weight("weight", name)).transpose()?;
                let weight = weight.as_ref().map(|(_, values)| &**values);
                let (op, x) = (RmsNorm { epsilon, weight }, self.floats(0)?);
                match wrong {
                    None => a.rms_norm(&op, x),
                    Some(way) => rms_norm::wrong(a, way, &op, x).ok_or_else(|| self.no_way(way))?,
                }
            }
            Operation::RopeTable { of, width, theta, scaling } => {
                let table = RopeTable {
                    sine: *of == Wave::Sin,
                    width: self.size(width)?,
                    theta: self.constant(theta)?,
                    scaling: self.scaling(scaling.as_ref())?,
                };
                a.rope_table(&table, wrong.map_or(self.step, |way| rope_table::wrong_step(way, self.step)))
            }
            Operation::Rope { pairs, .. } => {
                let rope = Rope { interleaved: *pairs == graph::Pairs::Interleaved };
                a.rope(rope, self.floats(0)?, self.floats(1)?, self.floats(2)?)
            }
            Operation::Scores { scale, .. } => {
                let (q, k) = (self.floats(0)?, self.floats(1)?);
                let op = Scores { scale: scale_of(*scale, A::dimensions(q), self.node.layer) };
                match wrong {
                    None => a.scores(&op, q, k),
                    Some("heads-tiled") => a.scores(&op, q, &heads::tiled(k, A::dimensions(q).get(2))),
                    Some(_) => a.scores(&op.in_bf16(), q, k),
                }
            }
            Operation::Mask { window } => {
                let window = window.as_ref().map(|window| self.whole_constant(window)).transpose()?;
                let one_more = usize::from(wrong == Some("window-one-more"));
                let mut mask = a.mask(&CausalMask { window: window.map(|keys| keys + one_more) }, self.step);
                if let Some(way) = wrong.filter(|_| one_more == 0) {
                    moved::wrong_mask(way, &mut mask);
                }
                mask
            }
            Operation::Softmax { mask, temperature, .. } => {
                let mask = mask.as_ref().map(|_| self.floats(1)).transpose()?;
                let (op, x) = (Softmax { temperature: temperature.unwrap_or(1.0) }, self.floats(0)?);
                match wrong {
                    None => a.softmax(&op, x, mask),
                    Some(way) => softmax::wrong(a, way, &op, (x, mask)).ok_or_else(|| self.no_way(way))?,
                }
            }
            Operation::WeightedValues { .. } => {
                let (probs, values) = (self.floats(0)?, self.floats(1)?);
                let heads = A::dimensions(probs).get(1);
                if wrong == Some("heads-tiled") {
                    return Ok(Operand::Floats(
                        a.result(a.weighted_values(probs, &heads::tiled(values, heads))),
                    ));
                }
                let mut context = a.weighted_values(probs, values);
                if wrong.is_some() {
                    weighted_values::merged_backwards(&mut context, heads.copied().unwrap_or(1));
                }
                context
            }
            Operation::Gelu { form, .. } => {
                let form = match (wrong, form) {
                    (Some(_), _) => Activation::Relu,
                    (None, GeluForm::Tanh) => Activation::GeluTanh,
                    (None, GeluForm::Erf) => Activation::GeluErf,
                };
                a.activation(form, self.floats(0)?)
            }
            Operation::Silu { .. } => {
                a.activation(wrong.map_or(Activation::Silu, activation::for_silu), self.floats(0)?)
            }
            Operation::Relu { .. } => a.activation(Activation::Relu, self.floats(0)?),
            Operation::Mul { .. } => a.mul(self.floats(0)?, self.floats(1)?),
            Operation::Add { .. } => a.add(self.floats(0)?, self.floats(1)?),
            Operation::Last { .. } if wrong.is_some() => {
                let mut first = self.floats(0)?.clone();
                moved::first(&mut first);
                first
            }
            Operation::Last { .. } => a.last(self.floats(0)?),
            Operation::Argmax { .. } => {
                let mut ids = a.argmax(self.floats(0)?);
                if let Some(way) = wrong {
                    moved::wrong_argmax(way, &mut ids, self.floats(0)?);
                }
                return Ok(Operand::Tokens(Array { shape: vec![ids.len()], values: ids }));
            }
        };
        Ok(Operand::Floats(a.result(value)))
    }

    /// What another operation makes of the result; its other inputs stand behind those of the operation itself.
    fn goes_through(
        &self,
        then: &Operation,
        value: Operand<A::Value>,
    ) -> Result<Operand<A::Value>, ApplyError> {
        let value = self.shaped(value)?;
        let mut others = self.inputs.iter().skip(self.computation.op.inputs().len());
        let inputs: Option<Vec<&Operand<A::Value>>> = then
            .inputs()
            .into_iter()
            .map(|input| if input == RESULT { Some(&value) } else { others.next().copied() })
            .collect();
        let inputs = inputs.ok_or_else(|| self.lacks("an input"))?;
        let computation = Computation::of(then);
        Application { computation: &computation, inputs: &inputs, ..*self }.compute(None)
    }

    fn shaped(&self, value: Operand<A::Value>) -> Result<Operand<A::Value>, ApplyError> {
        let Operand::Floats(mut value) = value else { return Ok(value) };
        let shape = self.model.graph.shape(self.node, &self.model.architecture, self.step);
        *A::shape(&mut value) = shape.ok_or_else(|| self.lacks("a size of its shape"))?;
        Ok(Operand::Floats(value))
    }

    /// The result in the shape that the graph gives it, with what is changed of it.
    fn finish(&self, value: Operand<A::Value>) -> Result<Operand<A::Value>, ApplyError> {
        let mut value = match self.shaped(value)? {
            Operand::Floats(value) => value,
            tokens @ Operand::Tokens(_) => return Ok(tokens),
        };
        for output in &self.computation.outputs {
            change(&mut value, output).map_err(|problem| self.problem(problem))?;
        }
        Ok(Operand::Floats(value))
    }

    /// The inputs that are changed before they are computed with, by place.
    fn changed_inputs(&self) -> Result<BTreeMap<usize, Operand<A::Value>>, ApplyError> {
        let mut changed: BTreeMap<usize, Operand<A::Value>> = BTreeMap::new();
        for (place, of_input) in &self.computation.inputs {
            let before = changed.get(place).or(self.inputs.get(*place).copied());
            let mut value = self.as_floats(before.ok_or_else(|| self.lacks("an input"))?)?.clone();
            change(&mut value, of_input).map_err(|problem| self.problem(problem))?;
            changed.insert(*place, Operand::Floats(value));
        }
        Ok(changed)
    }

    /// The product, with what is changed of the part's own matrix and bias.
    fn linear(&self, op: &Linear<'_>) -> Result<A::Value, ApplyError> {
        let (x, wrong) = (self.floats(0)?, self.computation.wrong.is_some());
        if !wrong && self.computation.weights.is_empty() {
            return Ok(self.arithmetic.linear(op, x));
        }
        let (mut matrix, mut bias) = op.alone(wrong);
        self.change_weight("weight", &mut matrix)?;
        bias.as_mut().map_or(Ok(()), |bias| self.change_weight("bias", bias))?;
        let weight = Weight { shape: &matrix.shape, values: &matrix.values };
        let bias = bias.as_ref().map(|bias| bias.values.as_slice());
        Ok(self.arithmetic.linear(&Linear { weight, bias, layout: Layout::InOut, part: None }, x))
    }

    /// A weight with what is changed of it, by the field of the operation that names it.
    fn weight(&self, field: &str, name: &str) -> Result<(Weight<'_>, Cow<'_, [f32]>), ApplyError> {
        let (weight, values) = self.whole_weight(name)?;
        if self.computation.weights.iter().all(|(of, _)| of != field) {
            return Ok((weight, values));
        }
        let mut changed = Array::new(weight.shape, values.into_owned());
        self.change_weight(field, &mut changed)?;
        Ok((weight, Cow::Owned(changed.values)))
    }

    fn change_weight(&self, field: &str, weight: &mut Array<f32>) -> Result<(), ApplyError> {
        let here = self.computation.weights.iter().filter(|(of, _)| of == field);
        here.into_iter()
            .try_for_each(|(_, of_weight)| change(weight, of_weight))
            .map_err(|problem| self.problem(problem))
    }

    fn whole_weight(&self, name: &str) -> Result<(Weight<'_>, Cow<'_, [f32]>), ApplyError> {
        let weight = self
            .model
            .weight(name, self.node.layer)
            .ok_or_else(|| self.lacks(&format!("the weight `{name}`")))?;
        Ok((weight, self.arithmetic.stored(weight.values)))
    }

    fn constant(&self, constant: &Constant) -> Result<f64, ApplyError> {
        match constant {
            Constant::Number(number) => Ok(*number),
            Constant::Named(name) => {
                let found = self.model.architecture.constants.get(name).copied();
                found.ok_or_else(|| self.lacks(&format!("the constant `{name}`")))
            }
        }
    }

    /// A constant that counts something.
    fn whole_constant(&self, named: &Constant) -> Result<usize, ApplyError> {
        let constant = self.constant(named)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "held to be a whole number of positions"
        )]
        let whole = constant as usize;
        let is_whole = constant.fract() == 0.0 && (1.0..=9e15).contains(&constant);
        if is_whole { Ok(whole) } else { Err(self.lacks(&format!("a whole number above 0 as {named:?}"))) }
    }

    fn size(&self, symbol: &str) -> Result<usize, ApplyError> {
        let size = self.model.architecture.sizes.get(symbol).copied();
        size.ok_or_else(|| self.lacks(&format!("the size `{symbol}`")))
    }

    fn scaling(&self, scaling: Option<&RopeScaling>) -> Result<Scaling, ApplyError> {
        Ok(match scaling {
            None => Scaling::None,
            Some(RopeScaling::Linear { factor }) => Scaling::Linear { factor: self.constant(factor)? },
            Some(RopeScaling::Llama3 { factor, low, high, positions }) => Scaling::Llama3 {
                factor: self.constant(factor)?,
                low: self.constant(low)?,
                high: self.constant(high)?,
                positions: self.constant(positions)?,
            },
        })
    }

    fn floats(&self, index: usize) -> Result<&A::Value, ApplyError> {
        self.inputs.get(index).ok_or_else(|| self.lacks("an input")).and_then(|input| self.as_floats(input))
    }

    fn as_floats<'b>(&self, operand: &'b Operand<A::Value>) -> Result<&'b A::Value, ApplyError> {
        match operand {
            Operand::Floats(value) => Ok(value),
            Operand::Tokens(_) => Err(self.lacks("floats in place of tokens")),
        }
    }

    fn tokens(&self) -> Result<&Array<i64>, ApplyError> {
        match self.inputs.first() {
            Some(Operand::Tokens(ids)) => Ok(ids),
            _ => Err(self.lacks("tokens in place of floats")),
        }
    }

    fn lacks(&self, what: &str) -> ApplyError {
        ApplyError::Lacks { name: self.node.name.clone(), what: what.to_owned() }
    }

    fn no_way(&self, way: &str) -> ApplyError {
        self.lacks(&format!("what the wrong way `{way}` is for"))
    }

    fn problem(&self, problem: String) -> ApplyError {
        ApplyError::Inputs { name: self.node.name.clone(), problem }
    }
}

/// The scale of the scores of queries `[B, S, H, Dh]` in a layer; 1/√Dh unless the graph says otherwise.
#[expect(clippy::cast_precision_loss, reason = "widths and layers are far below 2⁵³")]
fn scale_of(scale: Option<ScoreScale>, queries: &[usize], layer: Option<usize>) -> f64 {
    let layer = layer.unwrap_or(0) as f64 + 1.0;
    let head = queries.last().copied().unwrap_or(1) as f64;
    let width = queries.iter().rev().take(2).product::<usize>() as f64;
    match scale {
        None | Some(ScoreScale::Named(NamedScale::RootOfHeadWidth)) => 1.0 / head.sqrt(),
        Some(ScoreScale::Named(NamedScale::HeadWidth)) => 1.0 / head,
        Some(ScoreScale::Named(NamedScale::RootOfWidth)) => 1.0 / width.sqrt(),
        Some(ScoreScale::Named(NamedScale::None)) => 1.0,
        Some(ScoreScale::Named(NamedScale::RootOfHeadWidthAndLayer)) => 1.0 / head.sqrt() / layer,
        Some(ScoreScale::Named(NamedScale::Layer)) => 1.0 / layer,
        Some(ScoreScale::Factor(factor)) => factor,
    }
}
