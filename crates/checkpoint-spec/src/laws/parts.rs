//! The parts of activations that a law compares, cut out of captures.

use std::ops::Range;

use capture::{Case, DType, Precision, Shape, Tensor, TensorName};

use super::plan::Agreement;
use crate::Architecture;
use crate::plan::{Required, Traits, required};
use crate::results::LawBound;
use crate::spec::{ActivationSpec, Derivation, Judgement, Rule, SpecError, SpecSet, Steps};

/// One part of one activation, on both sides.
pub(super) struct Part<'a> {
    pub(super) activation: &'a ActivationSpec,
    pub(super) actual: Side<'a>,
    pub(super) expected: Side<'a>,
    /// The axis of positions, and the position of its first index.
    pub(super) positions: Option<(usize, usize)>,
}

/// One side of a part.
pub(super) struct Side<'a> {
    pub(super) case: &'a Case,
    pub(super) name: TensorName,
    pub(super) dtype: DType,
    pub(super) shape: Shape,
    /// What of each axis is looked at.
    pub(super) ranges: Vec<Range<usize>>,
}

/// The parts that one agreement consists of, in execution order.
pub(super) fn parts<'a>(
    specs: &'a SpecSet,
    architecture: &Architecture,
    agreement: &'a Agreement,
    (bound, precision): (LawBound, Precision),
) -> Result<Vec<Part<'a>>, SpecError> {
    let bare = Traits { preallocated_cache: false, tokenizer: false };
    let plan = |case| required(specs, architecture, case, bare, precision);
    let expected = plan(&agreement.expected)?;
    let steps: Vec<Range<usize>> = agreement.actual.steps().collect();
    let mut parts = Vec::new();
    for actual in plan(&agreement.actual)? {
        let activation = specs.of(&actual);
        // Which of two nearly equal logits is larger may depend on the order; the logits themselves are compared.
        let is_token_by_order = bound == LawBound::Replicas && is_chosen(activation);
        let step = actual.name.step.map(|step| steps[step].clone());
        let window = Window::of(agreement, activation, step).filter(|_| !is_token_by_order);
        let of_base = TensorName { step: actual.name.step.map(|_| 0), ..actual.name.clone() };
        let expected = expected.iter().find(|expected| expected.name == of_base);
        if let (Some(window), Some(expected)) = (window, expected) {
            let axis = activation.shape.iter().position(|symbol| symbol == "S");
            let Agreement { actual: case, expected: base, actual_rows, expected_rows, .. } = agreement;
            parts.push(Part {
                activation,
                positions: axis.map(|axis| (axis, window.past)),
                actual: window.side(case, actual, activation, actual_rows, window.past),
                expected: window.side(base, expected.clone(), activation, expected_rows, 0),
            });
        }
    }
    Ok(parts)
}

/// Whether it is a token that is chosen by its logit.
fn is_chosen(activation: &ActivationSpec) -> bool {
    match activation.judgement() {
        Some(Judgement::Bits(op)) => matches!(op, graph::Operation::Argmax { .. }),
        Some(Judgement::Rule(Rule::Derived { from, .. })) => *from == Derivation::Greedy,
        _ => false,
    }
}

/// What of an activation is looked at.
struct Window {
    /// Positions of the whole case.
    queries: Range<usize>,
    /// Where the step begins.
    past: usize,
    keys: usize,
    generated: usize,
}

impl Window {
    /// None where nothing of the activation is looked at. Of what has no batch axis nothing is: weights are not
    /// computed.
    fn of(agreement: &Agreement, activation: &ActivationSpec, step: Option<Range<usize>>) -> Option<Self> {
        let has = |symbol: &str| activation.shape.iter().any(|found| found == symbol);
        let Some(step) = step else {
            let generated = agreement.actual.generate.min(agreement.expected.generate);
            let looked_at = has("B") && has("N") && generated > 0;
            return looked_at.then_some(Self { queries: 0..0, past: 0, keys: 0, generated });
        };
        let Range { start, end } = agreement.positions;
        let queries = start.max(step.start)..end.min(step.end);
        let tokens = agreement.expected.tokens();
        // What belongs to a step's last position can be looked at where that is the last of all.
        let of_the_end = step.end == tokens && end == tokens;
        let looked_at = has("B") && activation.steps == Steps::Every && (has("S") || has("K") || of_the_end);
        (looked_at && !queries.is_empty()).then(|| Self {
            past: step.start,
            keys: step.end.min(end),
            queries,
            generated: 0,
        })
    }

    /// One side, whose step begins at `past`.
    fn side<'a>(
        &self,
        case: &'a Case,
        required: Required,
        activation: &ActivationSpec,
        rows: &Range<usize>,
        past: usize,
    ) -> Side<'a> {
        let range = |(symbol, &size): (&String, &usize)| match symbol.as_str() {
            "B" => rows.clone(),
            "S" => self.queries.start - past..self.queries.end - past,
            "K" => 0..self.keys,
            "N" => 0..self.generated,
            _ => 0..size,
        };
        let ranges = activation.shape.iter().zip(required.shape.dimensions()).map(range).collect();
        Side { case, name: required.name, dtype: required.dtype, shape: required.shape, ranges }
    }
}

impl Side<'_> {
    /// The part of the tensor; `Err` with the layout found where it is not the one required.
    pub(super) fn cut(&self, tensor: &Tensor) -> Result<Tensor, String> {
        let dimensions = self.shape.dimensions();
        let found = || {
            format!("{:?} {} found, {:?} {} required", tensor.dtype(), tensor.shape(), self.dtype, self.shape)
        };
        if tensor.dtype() != self.dtype || *tensor.shape() != self.shape {
            return Err(found());
        }
        let size = tensor.dtype().size();
        let mut offsets = vec![0usize];
        for (range, dimension) in self.ranges.iter().zip(dimensions) {
            let inner = |offset: &usize| {
                let base = offset * dimension;
                range.clone().map(move |index| base + index)
            };
            offsets = offsets.iter().flat_map(inner).collect();
        }
        let bytes = offsets.iter().flat_map(|at| &tensor.bytes()[at * size..(at + 1) * size]);
        let bytes = bytes.copied().collect();
        let lengths: Vec<usize> = self.ranges.iter().map(Range::len).collect();
        let shape = Shape::new(lengths).map_err(|_| found())?;
        Tensor::new(self.dtype, shape, bytes).map_err(|_| found())
    }
}
