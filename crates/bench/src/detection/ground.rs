//! What bugs are put into: a model, a case, and a correct run of it, judged from its own inputs.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use capture::{Capture, Case, Precision, TensorName};
use checkpoint_spec::{Required, Setting, SpecSet, Traits, confidence, direct_inputs};
use graph::{ArrayChange, Change, Computation, Operation};
use oracle::Rounding;

use harness::fault::Carrier;
use harness::model::Model;

/// Scores at least this large are more than `exp` of an f32 can hold.
const LARGE_SCORE: f32 = 128.0;
/// By what scores are multiplied at most.
const MOST: f64 = 1e6;

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
    /// What the Rust GPT-2 left of the case, or, where that is not to be had, the carrier.
    pub observed: Capture,
    /// A run of the carrier, into which bugs are put.
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
    pub(super) fn new(carrier: &'a Carrier<'a>, model: &'a oracle::Model, observed: Capture) -> Self {
        let Setting { specs, confidence, .. } = carrier.setting;
        Self {
            specs,
            model,
            carrier,
            required: carrier.plan.iter().collect(),
            observed,
            run: carrier.run.clone(),
            given: BTreeMap::new(),
            rules: specs.rules(confidence, Precision::F32),
        }
    }

    /// The same with scores so large that a softmax must subtract their maximum. Only the softmax is looked at then: scores are
    /// what it is given.
    pub(super) fn saturated(&self) -> Result<Self> {
        let is_softmax = |required: &&Required| {
            let op = self.specs.of(required).op.as_ref();
            op.is_some_and(|op| matches!(op, Operation::Softmax { mask: Some(_), .. }))
        };
        let required: Vec<&Required> = self.carrier.plan.iter().filter(is_softmax).collect();
        let mut factor = 1.0;
        while factor < MOST {
            factor *= 2.0;
            let given = self.enlarged(&required, factor)?;
            let run = self.carrier.mutated(given.clone())?;
            if self.is_saturated(&required, &run)? {
                let (observed, rules) = (run.clone(), self.rules.clone());
                return Ok(Self { required, observed, run, given, rules, ..*self });
            }
        }
        bail!("scores do not become as large as {LARGE_SCORE}, whatever they are multiplied with")
    }

    /// The run with nodes, named, that are computed otherwise.
    pub(super) fn mutated(&self, nodes: BTreeMap<String, Computation>) -> Result<Capture> {
        self.carrier.mutated(self.given.clone().into_iter().chain(nodes).collect())
    }

    /// The rules by which the oracle bounds errors.
    pub(super) fn rules(&self) -> &[Rounding] {
        &self.rules
    }

    /// All scores times a factor.
    fn enlarged(&self, softmaxes: &[&Required], factor: f64) -> Result<BTreeMap<String, Computation>> {
        let graph = &self.model.graph;
        let enlarge = Change::Output(ArrayChange::Scale(factor));
        let mut given = BTreeMap::new();
        for required in softmaxes {
            let scores = self.scores_of(required)?.activation;
            let op = graph.find(&scores).and_then(|node| graph.operation(&node).cloned());
            let op = op.with_context(|| format!("nothing computes `{scores}`"))?;
            given.insert(scores, Computation::changed(&op, [&enlarge])?);
        }
        Ok(given)
    }

    /// Whether every softmax is given a large score that no mask hides.
    fn is_saturated(&self, softmaxes: &[&Required], run: &Capture) -> Result<bool> {
        for required in softmaxes {
            let scores = run.require(&self.scores_of(required)?)?.view().to_f32()?;
            let probs = run.require(&required.name)?.view().to_f32()?;
            if !scores.iter().zip(&probs).any(|(&score, &p)| score >= LARGE_SCORE && p > 0.0) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The first input of a softmax.
    fn scores_of(&self, required: &Required) -> Result<TensorName> {
        let Setting { architecture, .. } = self.carrier.setting;
        let inputs = direct_inputs(self.specs, architecture, &self.carrier.case, required);
        inputs.into_iter().next().with_context(|| format!("`{}` has no input", required.name))
    }
}
