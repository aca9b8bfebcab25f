//! The carrier: the graph at f32 on one case of the run, a correct implementation into which mutations are put.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use capture::{Capture, Case, Identity, Precision, Tensor, TensorName};
use checkpoint_spec::{
    ActivationSpec, FaultSpec, Judgement, Kind, Required, Rule, Setting, derived, required,
};
use graph::{Computation, Step};
use oracle::{Array, Chain, Computed, Model, Operand, Replica, Way, scheduled};

use crate::cases::prompt_ids;

/// How the carrier computes.
const PLAIN: Replica = Replica { way: Way::PLAIN, half: None };

/// The graph with what it makes of a case.
pub struct Carrier<'a> {
    /// The law, and the model that it runs.
    pub setting: Setting<'a>,
    /// The case, fed tokens that are known where it generates.
    pub case: Case,
    /// What a capture of it must hold, in execution order.
    pub plan: Vec<Required>,
    /// What it leaves without a fault.
    pub run: Capture,
    /// All that it computed for that.
    computed: Run,
}

/// What each step computed.
type Run = Vec<Computed<Array<f32>>>;

impl<'a> Carrier<'a> {
    /// Who it is.
    pub fn identity() -> Identity {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Identity { name: "graph".to_owned(), version, precision: Precision::F32, device: "cpu".to_owned() }
    }

    /// Runs the case without a fault. Where it generates and no tokens are known to feed it, those are its own.
    pub fn new(setting: Setting<'a>, case: Case) -> Result<Self> {
        let Setting { specs, architecture, traits, .. } = setting;
        let model = setting.model.context("the model is not at hand")?;
        let forced = match &case.forced {
            None if case.generate > 0 => Some(own_tokens(model, &case)?),
            known => known.clone(),
        };
        let case = Case { forced, ..case };
        let plan = required(specs, architecture, &case, traits, Precision::F32)?;
        let (run, computed) = (Capture::default(), Run::new());
        let mut carrier = Self { setting, case, plan, run, computed };
        carrier.computed = carrier.compute(carrier.model()?, &BTreeMap::new())?;
        carrier.run = carrier.capture(&carrier.setting, &carrier.computed)?;
        Ok(carrier)
    }

    /// What it leaves with a fault in it.
    pub fn with(&self, fault: &FaultSpec) -> Result<Capture> {
        let Setting { specs, architecture, .. } = self.setting;
        let mutated = specs.mutated(&fault.places, &self.model()?.graph, architecture);
        self.mutated(mutated.map_err(|problem| anyhow!(problem))?)
    }

    /// What it leaves when nodes, named, are computed otherwise.
    pub fn mutated(&self, mut nodes: BTreeMap<String, Computation>) -> Result<Capture> {
        let model = self.model()?;
        let Some(stored) = stored(model, &mut nodes)? else {
            return self.capture(&self.setting, &self.compute(model, &nodes)?);
        };
        let setting = Setting { model: Some(&stored), ..self.setting };
        self.capture(&setting, &self.compute(&stored, &nodes)?)
    }

    /// Required tensors of activations of a kind.
    pub fn required(&self, is_wanted: impl Fn(&ActivationSpec) -> bool) -> Vec<&Required> {
        self.plan.iter().filter(|required| is_wanted(self.setting.specs.of(required))).collect()
    }

    /// The tensors that a capture has otherwise.
    pub fn changed(&self, capture: &Capture) -> BTreeSet<TensorName> {
        let names = capture.tensors.keys().chain(self.run.tensors.keys());
        names.filter(|name| capture.tensors.get(*name) != self.run.tensors.get(*name)).cloned().collect()
    }

    fn model(&self) -> Result<&'a Model> {
        self.setting.model.context("the model is not at hand")
    }

    /// Runs the case and what is generated after it. Only what mutations reach is computed again.
    fn compute(&self, model: &Model, nodes: &BTreeMap<String, Computation>) -> Result<Run> {
        let case = with_generation(&self.case)?;
        let mut chain = Chain::mutated(model, PLAIN, nodes)?;
        let mut run = Run::new();
        for (index, positions) in case.steps().enumerate() {
            let step = Step { index, batch: case.batch(), past: positions.start, new: positions.len() };
            let mut computed = Computed::new();
            chain.step_beside(&scheduled(&case, step), &self.computed, |node, value| {
                computed.insert(node.name.clone(), value.clone());
                Ok::<(), oracle::ApplyError>(())
            })?;
            run.push(computed);
        }
        Ok(run)
    }

    /// Everything that the plan requires, of what was computed.
    fn capture(&self, setting: &Setting<'_>, run: &Run) -> Result<Capture> {
        let mut capture = Capture::default();
        for required in &self.plan {
            let tensor = self.tensor(setting, run, &capture, required)?;
            capture.tensors.insert(required.name.clone(), tensor);
        }
        Ok(capture)
    }

    fn tensor(
        &self,
        setting: &Setting<'_>,
        run: &Run,
        capture: &Capture,
        required: &Required,
    ) -> Result<Tensor> {
        let (name, known) = (&required.name, self.run.tensors.get(&required.name));
        match setting.specs.of(required).judgement() {
            Some(Judgement::Budget(_) | Judgement::Bits(_)) => {
                let step = name.step.with_context(|| format!("`{name}` belongs to no step"))?;
                let value = of_step(run, step, &name.activation)?;
                let before = self.computed.get(step).and_then(|step| step.get(&name.activation));
                match known.filter(|_| before.is_some_and(|before| Arc::ptr_eq(before, value))) {
                    Some(known) => Ok(known.clone()),
                    None => to_tensor(value),
                }
            }
            Some(Judgement::Rule(Rule::Derived { .. })) => {
                // Digests are long in coming, and follow from the model alone.
                let of_model = setting.specs.of(required).kind == Kind::Byte;
                let is_own = setting.model.zip(self.setting.model).is_some_and(|(a, b)| std::ptr::eq(a, b));
                match known.filter(|_| of_model && is_own) {
                    Some(known) => Ok(known.clone()),
                    None => {
                        derived(setting, &self.case, capture, required).map_err(|problem| anyhow!(problem))
                    }
                }
            }
            Some(Judgement::Rule(Rule::Chained { .. })) => self.generated_logits(run, required),
            Some(Judgement::Rule(Rule::Exact { .. })) => {
                prompt_ids(&self.case).with_context(|| format!("the case has no `{name}`"))
            }
            None => Err(anyhow!("nothing says what `{name}` is")),
        }
    }

    /// `[B, N, V]`: the last logits of the prompt's last step and of those that follow it.
    fn generated_logits(&self, run: &Run, required: &Required) -> Result<Tensor> {
        let last = &self.setting.specs.family.roles.last_logits;
        let first = self.case.schedule.len() - 1;
        let mut steps = Vec::new();
        for step in first..first + self.case.generate {
            match &**of_step(run, step, last)? {
                Operand::Floats(logits) => steps.push(logits),
                Operand::Tokens(_) => return Err(anyhow!("`{last}` holds tokens")),
            }
        }
        let width = steps.first().map_or(0, |logits| logits.width());
        let rows = (0..self.case.batch()).flat_map(|row| steps.iter().map(move |step| (row, step)));
        let values: Vec<f32> =
            rows.flat_map(|(row, step)| step.values[row * width..][..width].iter().copied()).collect();
        Ok(Tensor::from_f32(required.shape.dimensions(), &values)?)
    }
}

fn of_step<'r>(run: &'r Run, step: usize, name: &str) -> Result<&'r Arc<Operand<Array<f32>>>> {
    run.get(step).and_then(|step| step.get(name)).with_context(|| format!("step {step} gives no `{name}`"))
}

fn to_tensor(value: &Operand<Array<f32>>) -> Result<Tensor> {
    Ok(match value {
        Operand::Floats(array) => Tensor::from_f32(&array.shape, &array.values)?,
        Operand::Tokens(ids) => Tensor::from_i64(&ids.shape, &ids.values)?,
    })
}

/// The model with the weights that are changed in the file, if any are; whatever else computes with them is mutated, too.
fn stored(model: &Model, nodes: &mut BTreeMap<String, Computation>) -> Result<Option<Model>> {
    let layers = model.architecture.layers;
    let (mut changed, mut names) = (None, BTreeSet::new());
    for (name, computation) in nodes.iter() {
        let node = model.graph.find(name).with_context(|| format!("there is no `{name}`"))?;
        names.extend(computation.stored_in(node.layer, layers).map(|(weight, _)| weight));
        let before = changed.as_ref().unwrap_or(model);
        let after = before.with_stored(&node, computation).map_err(|problem| anyhow!(problem))?;
        changed = after.or(changed);
    }
    for node in model.graph.order(layers)? {
        let Some(op) = model.graph.operation(&node) else { continue };
        let is_one = |weight: &&str| names.contains(&graph::in_layer(weight, node.layer, layers));
        if op.weights().iter().any(is_one) {
            nodes.entry(node.name).or_insert_with(|| Computation::of(op));
        }
    }
    Ok(changed)
}

/// The tokens that the graph generates, row by row.
fn own_tokens(model: &Model, case: &Case) -> Result<Vec<Vec<i64>>> {
    let (mut chain, mut rows) = (Chain::new(model, PLAIN)?, vec![Vec::new(); case.batch()]);
    let mut last = None;
    for (index, positions) in case.steps().enumerate() {
        let step = Step { index, batch: case.batch(), past: positions.start, new: positions.len() };
        last = Some(tokens_after(&mut chain, &scheduled(case, step))?);
    }
    for _ in 0..case.generate {
        let ids = last.context("the graph gives no token")?;
        rows.iter_mut().zip(&ids.values).for_each(|(row, &id)| row.push(id));
        let fed = Array { shape: vec![rows.len(), 1], values: ids.values };
        let is_done = rows.first().is_none_or(|row| row.len() >= case.generate);
        last = if is_done { None } else { Some(tokens_after(&mut chain, &fed)?) };
    }
    Ok(rows)
}

/// Makes a step, of which the next tokens are wanted.
fn tokens_after(chain: &mut Chain<'_, Replica>, ids: &Array<i64>) -> Result<Array<i64>> {
    let (token, mut found) = (&chain.model().graph.family.roles.token, None);
    chain.step(ids, |node, value| {
        if let (true, Operand::Tokens(ids)) = (node.name == *token, value) {
            found = Some(ids.clone());
        }
        Ok::<(), oracle::ApplyError>(())
    })?;
    found.with_context(|| format!("the graph gives no `{token}`"))
}

/// The case with the tokens that it is fed while it generates, as further steps of one token.
fn with_generation(case: &Case) -> Result<Case> {
    let mut extended = Case { generate: 0, forced: None, ..case.clone() };
    let fed = case.generate.saturating_sub(1);
    if fed > 0 {
        let forced = case.forced.as_ref().context("generation is fed tokens that are known")?;
        for (row, forced) in extended.token_ids.iter_mut().zip(forced) {
            row.extend_from_slice(&forced[..fed]);
        }
        extended.schedule.extend(std::iter::repeat_n(1, fed));
    }
    Ok(extended)
}

#[cfg(test)]
mod tests;
