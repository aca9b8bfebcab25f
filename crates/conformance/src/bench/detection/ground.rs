//! What bugs are put into: a model, a case, and a correct run of it, judged from its own inputs.

use std::collections::BTreeMap;

use anyhow::Result;
use capture::{Capture, Case, Precision, Tensor};
use checkpoint_spec::{Required, Setting, SpecSet, Traits, confidence};
use graph::{ArrayChange, Change, Computation, Node, Operation};
use oracle::Rounding;

use crate::fault::Carrier;
use crate::model::Model;

/// Scores at least this large are more than `exp` of an f32 can hold.
const LARGE_SCORE: f32 = 128.0;

/// A case of a model, and what a correct implementation leaves of it.
pub(super) struct Ground<'a> {
    /// The law.
    pub specs: &'a SpecSet,
    /// The model.
    pub model: &'a oracle::Model,
    /// What runs it.
    pub carrier: &'a Carrier<'a>,
    /// What is looked at, in execution order.
    pub required: Vec<&'a Required>,
    /// A correct run.
    pub run: Capture,
    /// What is not as the graph has it, though no bug.
    given: BTreeMap<String, Computation>,
    rules: Vec<Rounding>,
}

/// The graph on a case.
pub(super) fn carrier<'a>(
    specs: &'a SpecSet,
    files: &'a Model,
    model: &'a oracle::Model,
    case: Case,
) -> Result<Carrier<'a>> {
    let setting = Setting {
        specs,
        architecture: &files.architecture,
        model: Some(model),
        traits: Traits { preallocated_cache: false, tokenizer: false },
        confidence: confidence(specs, &files.architecture, &[&case])?,
        subject: "graph@f32",
    };
    Carrier::new(setting, case)
}

impl<'a> Ground<'a> {
    /// A case as it comes.
    pub(super) fn new(carrier: &'a Carrier<'a>, model: &'a oracle::Model) -> Self {
        let Setting { specs, confidence, .. } = carrier.setting;
        Self {
            specs,
            model,
            carrier,
            required: carrier.plan.iter().collect(),
            run: carrier.run.clone(),
            given: BTreeMap::new(),
            rules: specs.rules(confidence, Precision::F32),
        }
    }

    /// The same with scores so large that a softmax must subtract their maximum. Only the softmax is looked at then: scores are
    /// what it is given.
    pub(super) fn saturated(&self) -> Result<Self> {
        let (graph, layers) = (&self.model.graph, self.model.architecture.layers);
        let mut given = BTreeMap::new();
        let enlarge = Change::Output(ArrayChange::Scale(self.enlargement()?.into()));
        for node in graph.order(layers)? {
            if let Some(op) = graph.operation(&node)
                && let Some(scores) = scores_of(op, &node, layers)
                && let Some(scored) = graph.find(&scores).and_then(|node| graph.operation(&node))
            {
                given.insert(scores, Computation::changed(scored, [&enlarge])?);
            }
        }
        let run = self.carrier.mutated(given.clone())?;
        let is_softmax = |required: &&Required| {
            let op = self.specs.of(required).op.as_ref();
            op.is_some_and(|op| matches!(op, Operation::Softmax { mask: Some(_), .. }))
        };
        let required = self.carrier.plan.iter().filter(is_softmax).collect();
        Ok(Self { required, run, given, rules: self.rules.clone(), ..*self })
    }

    /// The run with nodes, named, that are computed otherwise.
    pub(super) fn mutated(&self, nodes: BTreeMap<String, Computation>) -> Result<Capture> {
        self.carrier.mutated(self.given.clone().into_iter().chain(nodes).collect())
    }

    /// The rules by which the oracle bounds errors.
    pub(super) fn rules(&self) -> &[Rounding] {
        &self.rules
    }

    /// The power of two by which the largest scores everywhere become too large for `exp`.
    fn enlargement(&self) -> Result<f32> {
        let largest =
            |tensor: &Tensor| -> Result<f32> { Ok(tensor.view().to_f32()?.into_iter().fold(0.0, f32::max)) };
        let scores = self.carrier.required(|found| matches!(found.op, Some(Operation::Scores { .. })));
        let mut smallest = LARGE_SCORE;
        for required in scores {
            let found = largest(self.run.require(&required.name)?)?;
            smallest = if found > 0.0 { smallest.min(found) } else { smallest };
        }
        let mut factor = 1.0;
        while factor * smallest < LARGE_SCORE {
            factor *= 2.0;
        }
        Ok(factor)
    }
}

/// The scores that a masked softmax reads.
fn scores_of(op: &Operation, node: &Node, layers: usize) -> Option<String> {
    match op {
        Operation::Softmax { mask: Some(_), .. } => {
            Computation::of(op).inputs_in(node.layer, layers).into_iter().next()
        }
        _ => None,
    }
}
