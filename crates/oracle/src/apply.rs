//! One operation of a graph, applied: its weights looked up, its inputs handed to it.

use std::borrow::Cow;

use graph::{GeluForm, Node, Operation, RopeScaling, ScoreScale, Step, Wave};

use crate::arithmetic::Arithmetic;
use crate::operation::{
    Activation, CausalMask, LayerNorm, Layout, Linear, RmsNorm, Rope, RopeTable, Rows, RowsError, Scaling,
    Scores, Softmax,
};
use crate::{Array, Model, Weight};

/// What an activation holds.
#[derive(Clone, Debug)]
pub enum Operand<V> {
    /// Floats.
    Floats(V),
    /// Token ids.
    Tokens(Array<i64>),
}

/// Why an activation cannot be computed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A token or a position has no row.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The model lacks something that the graph names.
    #[error("`{name}` needs {what}, which the model does not have")]
    Lacks {
        /// The activation.
        name: String,
        /// A weight, a constant or an input.
        what: String,
    },
    /// Inputs do not fit the operation.
    #[error("`{name}`: {problem}")]
    Inputs {
        /// The activation.
        name: String,
        /// What was found and what was expected.
        problem: String,
    },
}

/// Computes a node of the model's graph in a step. `inputs` are in the order of [`Operation::inputs`]; `past` is the
/// node's own value of the step before.
///
/// # Errors
/// If the inputs do not fit, or the model lacks a weight.
pub(crate) fn apply<A: Arithmetic>(
    arithmetic: &A,
    model: &Model,
    (node, step): (&Node, Step),
    inputs: &[&Operand<A::Value>],
    past: Option<&Operand<A::Value>>,
) -> Result<Operand<A::Value>, ApplyError> {
    let application = Application { arithmetic, model, node, step, inputs };
    application.check_shapes()?;
    application.compute(past)
}

struct Application<'a, A: Arithmetic> {
    arithmetic: &'a A,
    model: &'a Model,
    node: &'a Node,
    step: Step,
    inputs: &'a [&'a Operand<A::Value>],
}

impl<A: Arithmetic> Application<'_, A> {
    fn op(&self) -> Result<&Operation, ApplyError> {
        self.model.graph.operation(self.node).ok_or_else(|| self.lacks("an operation"))
    }

    /// Every shape is known from the graph, so that no operation is given what it cannot take.
    fn check_shapes(&self) -> Result<(), ApplyError> {
        let (graph, architecture) = (&self.model.graph, &self.model.architecture);
        let names = graph.inputs(self.node, architecture.layers);
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
                let problem = format!("`{name}` has the shape {found:?}, expected {expected:?}");
                return Err(ApplyError::Inputs { name: self.node.name.clone(), problem });
            }
        }
        Ok(())
    }

    fn compute(&self, past: Option<&Operand<A::Value>>) -> Result<Operand<A::Value>, ApplyError> {
        let a = self.arithmetic;
        let value = match self.op()? {
            Operation::Rows { table, positions, .. } => {
                let (table, table_values) = self.weight(table)?;
                let positions = positions.as_ref().map(|name| self.weight(name)).transpose()?;
                let op = Rows {
                    table: Weight { values: &table_values, ..table },
                    positions: positions
                        .as_ref()
                        .map(|(weight, values)| (Weight { values, ..*weight }, self.step.past)),
                };
                a.rows(&op, self.tokens()?)?
            }
            Operation::LayerNorm { epsilon, weight, bias, .. } => {
                let epsilon = self.constant(epsilon)?;
                let weight = weight.as_ref().map(|name| self.weight(name)).transpose()?;
                let bias = bias.as_ref().map(|name| self.weight(name)).transpose()?;
                let (weight, bias) = (
                    weight.as_ref().map(|(_, values)| &**values),
                    bias.as_ref().map(|(_, values)| &**values),
                );
                a.layer_norm(&LayerNorm { epsilon, weight, bias }, self.floats(0)?)
            }
            Operation::Linear { weight, bias, layout, part, .. } => {
                let (weight, values) = self.weight(weight)?;
                let bias = bias.as_ref().map(|name| self.weight(name)).transpose()?;
                let op = Linear {
                    weight: Weight { values: &values, ..weight },
                    bias: bias.as_ref().map(|(_, values)| &**values),
                    layout: match layout {
                        graph::Layout::InOut => Layout::InOut,
                        graph::Layout::OutIn => Layout::OutIn,
                    },
                    part: part.map(|part| (part.index, part.count)),
                };
                a.linear(&op, self.floats(0)?)
            }
            Operation::Cache { .. } => {
                let past = past.map(|past| self.as_floats(past)).transpose()?;
                a.append(past, self.floats(0)?)
            }
            Operation::RmsNorm { epsilon, weight, .. } => {
                let epsilon = self.constant(epsilon)?;
                let weight = weight.as_ref().map(|name| self.weight(name)).transpose()?;
                let weight = weight.as_ref().map(|(_, values)| &**values);
                a.rms_norm(&RmsNorm { epsilon, weight }, self.floats(0)?)
            }
            Operation::RopeTable { of, width, theta, scaling } => {
                let table = RopeTable {
                    sine: *of == Wave::Sin,
                    width: self.size(width)?,
                    theta: self.constant(theta)?,
                    scaling: self.scaling(scaling.as_ref())?,
                };
                a.rope_table(&table, self.step)
            }
            Operation::Rope { pairs, .. } => {
                let rope = Rope { interleaved: *pairs == graph::Pairs::Interleaved };
                a.rope(rope, self.floats(0)?, self.floats(1)?, self.floats(2)?)
            }
            Operation::Scores { scale, .. } => {
                let q = self.floats(0)?;
                a.scores(&Scores { scale: self.score_scale(*scale) }, q, self.floats(1)?)
            }
            Operation::Mask { window } => {
                let window = window.as_ref().map(|name| self.whole_constant(name)).transpose()?;
                a.mask(&CausalMask { window }, self.step)
            }
            Operation::Softmax { mask, temperature, .. } => {
                let mask = mask.as_ref().map(|_| self.floats(1)).transpose()?;
                a.softmax(&Softmax { temperature: temperature.unwrap_or(1.0) }, self.floats(0)?, mask)
            }
            Operation::WeightedValues { .. } => a.weighted_values(self.floats(0)?, self.floats(1)?),
            Operation::Gelu { form: GeluForm::Tanh, .. } => {
                a.activation(Activation::GeluTanh, self.floats(0)?)
            }
            Operation::Gelu { form: GeluForm::Erf, .. } => a.activation(Activation::GeluErf, self.floats(0)?),
            Operation::Silu { .. } => a.activation(Activation::Silu, self.floats(0)?),
            Operation::Relu { .. } => a.activation(Activation::Relu, self.floats(0)?),
            Operation::Mul { .. } => a.mul(self.floats(0)?, self.floats(1)?),
            Operation::Add { .. } => a.add(self.floats(0)?, self.floats(1)?),
            Operation::Last { .. } => a.last(self.floats(0)?),
            Operation::Argmax { .. } => {
                let ids = a.argmax(self.floats(0)?);
                return Ok(Operand::Tokens(Array { shape: vec![ids.len()], values: ids }));
            }
        };
        let mut value = a.result(value);
        let shape = self.model.graph.shape(self.node, &self.model.architecture, self.step);
        *A::shape(&mut value) = shape.ok_or_else(|| self.lacks("a size of its shape"))?;
        Ok(Operand::Floats(value))
    }

    fn weight(&self, name: &str) -> Result<(Weight<'_>, Cow<'_, [f32]>), ApplyError> {
        let weight = self
            .model
            .weight(name, self.node.layer)
            .ok_or_else(|| self.lacks(&format!("the weight `{name}`")))?;
        Ok((weight, self.arithmetic.stored(weight.values)))
    }

    fn constant(&self, name: &str) -> Result<f64, ApplyError> {
        let constant = self.model.architecture.constants.get(name).copied();
        constant.ok_or_else(|| self.lacks(&format!("the constant `{name}`")))
    }

    /// A constant that counts something.
    fn whole_constant(&self, name: &str) -> Result<usize, ApplyError> {
        let constant = self.constant(name)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "held to be a whole number of positions"
        )]
        let whole = constant as usize;
        let is_whole = constant.fract() == 0.0 && (1.0..=9e15).contains(&constant);
        if is_whole { Ok(whole) } else { Err(self.lacks(&format!("a whole number above 0 as `{name}`"))) }
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

    #[expect(clippy::cast_precision_loss, reason = "widths of heads and layers are far below 2⁵³")]
    fn score_scale(&self, scale: ScoreScale) -> f64 {
        let width = self.inputs.first().and_then(|q| q.shape::<A>().last().copied()).unwrap_or(1) as f64;
        let layer = self.node.layer.unwrap_or(0) as f64 + 1.0;
        match scale {
            ScoreScale::Head => 1.0 / width.sqrt(),
            ScoreScale::One => 1.0,
            ScoreScale::HeadAndLayer => 1.0 / width.sqrt() / layer,
            ScoreScale::Layer => 1.0 / layer,
        }
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
}

impl<V: Clone> Operand<V> {
    /// The shape of what it holds.
    pub(crate) fn shape<A: Arithmetic<Value = V>>(&self) -> Vec<usize> {
        match self {
            Self::Floats(value) => A::dimensions(value).to_vec(),
            Self::Tokens(ids) => ids.shape.clone(),
        }
    }
}
