//! All activations of a family, and what follows from their operations.

use crate::shape::{is_split_of, output_shape};
use crate::{
    Activation, Architecture, Circle, Computation, Family, FamilyError, InputTemplate, Node, Operation,
    RESULT, execution_order,
};

/// A family with its activations.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// How its models are read.
    pub family: Family,
    /// Its activations, checkpoint after checkpoint.
    pub activations: Vec<Activation>,
}

/// One step of a case: which, and its positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number, from 0.
    pub index: usize,
    /// Rows of the batch.
    pub batch: usize,
    /// Positions before it.
    pub past: usize,
    /// Positions in it.
    pub new: usize,
}

/// Why activations do not make a graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Inputs lead back to where they came from.
    #[error(transparent)]
    Circle(#[from] Circle),
    /// A shape does not follow.
    #[error("`{name}`: {problem}")]
    Shape {
        /// The activation.
        name: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// A size does not follow from the others.
    #[error(transparent)]
    Family(#[from] FamilyError),
}

impl Graph {
    /// The activation with that name and its layer, both filled in: `h.3.attn.q`.
    pub fn find(&self, name: &str) -> Option<Node> {
        self.activations.iter().enumerate().find_map(|(activation, found)| {
            let layer = layer_of(&found.name, name)?;
            Some(Node { activation, layer, name: name.to_owned() })
        })
    }

    /// The operation of a node.
    pub fn operation(&self, node: &Node) -> Option<&Operation> {
        self.activations[node.activation].op.as_ref()
    }

    /// Activations that have an operation, each after its inputs.
    ///
    /// # Errors
    /// If inputs go round in a circle.
    pub fn order(&self, layers: usize) -> Result<Vec<Node>, Circle> {
        let activations: Vec<&Activation> = self.activations.iter().collect();
        let op = |index: usize| self.activations[index].op.as_ref();
        let inputs = |index: usize| op(index).map(Operation::inputs).unwrap_or_default();
        execution_order(&activations, layers, |index| op(index).is_some(), inputs)
    }

    /// The names of the inputs of a node, in the order of [`Operation::inputs`].
    pub fn inputs(&self, node: &Node, layers: usize) -> Vec<String> {
        let inputs = self.operation(node).map(Operation::inputs).unwrap_or_default();
        inputs
            .into_iter()
            .map(|input| InputTemplate::parse(input).resolve(node.layer, layers).activation)
            .collect()
    }

    /// The shape that an activation has in a step.
    pub fn shape(&self, node: &Node, architecture: &Architecture, step: Step) -> Option<Vec<usize>> {
        self.activations[node.activation]
            .shape
            .iter()
            .map(|symbol| dimension(symbol, architecture, step))
            .collect()
    }

    /// Holds every declared shape to what its operation gives, and every name to what there is.
    ///
    /// # Errors
    /// With the first activation whose shape does not follow.
    pub fn check(&self, architecture: &Architecture) -> Result<(), GraphError> {
        let order = self.order(architecture.layers)?;
        order.iter().try_for_each(|node| match self.operation(node) {
            Some(op) => self.check_computation(architecture, node, &Computation::of(op)),
            None => Ok(()),
        })
    }

    /// Holds the declared shape of a node to what it gives when it is computed like that, and every name to what there is.
    ///
    /// # Errors
    /// With what does not follow.
    pub fn check_computation(
        &self,
        architecture: &Architecture,
        node: &Node,
        computation: &Computation,
    ) -> Result<(), GraphError> {
        let step = Step { index: 1, batch: 2, past: 3, new: 5 };
        let (op, weights) = (&computation.op, self.family.weights(architecture)?);
        let wrong = |problem: String| GraphError::Shape { name: node.name.clone(), problem };
        let constants = op.constants();
        if let Some(constant) = constants.iter().find(|name| !architecture.constants.contains_key(**name)) {
            return Err(wrong(format!("the model has no constant `{constant}`")));
        }
        let shape_of = |name: &String| {
            let input = self.find(name).ok_or_else(|| wrong(format!("there is no activation `{name}`")))?;
            self.shape(&input, architecture, step)
                .ok_or_else(|| wrong(format!("`{name}` has a symbol without a size in its shape")))
        };
        let inputs = computation.inputs_in(node.layer, architecture.layers);
        let inputs: Vec<_> = inputs.iter().map(shape_of).collect::<Result<_, _>>()?;
        let declared = shape_of(&node.name)?;
        if computation.hands_on.is_some() {
            let same = inputs.iter().all(|found| *found == declared);
            return if same {
                Ok(())
            } else {
                Err(wrong(format!("declared as {declared:?}, given {inputs:?}")))
            };
        }
        let shape_of_weight = |weight: &&str| {
            let name = crate::in_layer(weight, node.layer, architecture.layers);
            let shape = weights.get(&name).cloned();
            shape.ok_or_else(|| wrong(format!("the family has no weight `{name}`")))
        };
        let gives = |op: &Operation, inputs: &[Vec<usize>]| {
            let given: Vec<_> = op.weights().iter().map(shape_of_weight).collect::<Result<_, _>>()?;
            let found =
                output_shape(op, inputs, &given, [step.batch, step.past, step.new], &architecture.sizes)
                    .map_err(|problem| wrong(problem.to_string()))?;
            if is_split_of(&declared, &found) {
                return Ok(());
            }
            Err(wrong(format!("declared as {declared:?}, and `{}` gives {found:?}", op.name())))
        };
        let (own, mut others) = inputs.split_at(op.inputs().len());
        gives(op, own)?;
        let Some(then) = &computation.then else { return Ok(()) };
        let of_then = then.inputs().into_iter().map(|input| match (input, others.split_first()) {
            (RESULT, _) | (_, None) => declared.clone(),
            (_, Some((first, rest))) => {
                others = rest;
                first.clone()
            }
        });
        gives(then, &of_then.collect::<Vec<_>>())
    }
}

impl Step {
    /// Positions up to its end.
    pub fn end(self) -> usize {
        self.past + self.new
    }
}

fn dimension(symbol: &str, architecture: &Architecture, step: Step) -> Option<usize> {
    match symbol {
        "B" => Some(step.batch),
        "S" => Some(step.new),
        "P" => Some(step.past),
        "K" => Some(step.end()),
        _ => architecture.sizes.get(symbol).copied().or_else(|| symbol.parse().ok()),
    }
}

/// The layer that makes a template a name; none where it does not.
#[expect(clippy::option_option, reason = "a name may have no layer, or be no name of the template")]
fn layer_of(template: &str, name: &str) -> Option<Option<usize>> {
    match template.split_once("{l}") {
        None => (template == name).then_some(None),
        Some((before, after)) => {
            let middle = name.strip_prefix(before)?.strip_suffix(after)?;
            let layer: usize = middle.parse().ok()?;
            (layer.to_string() == middle).then_some(Some(layer))
        }
    }
}
