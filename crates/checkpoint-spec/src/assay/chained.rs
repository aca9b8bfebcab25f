//! The oracle's chain: the graph at f64 from the token ids on. Voices are held to it, chained errors are measured against it,
//! and where nothing nearer can judge, the errors of replicas in it are the bound.

use std::collections::BTreeMap;

use capture::{Case, Precision, Tensor, TensorName, TensorSource};
use graph::{Node, Step};
use oracle::{
    ApplyError, Arithmetic, Array, Chain, Exact, HalfFormat, Model, Operand, Replica, Way, scheduled,
};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use tensor_compare::Tolerance;

use super::measure::{IntoOutcome, against_oracle, fetch, unbounded, unreadable};
use super::quorum::agreement;
use super::{CaseEvidence, Measurement, ORACLE, Observation, QuorumObservation, Setting, Source, oracle};
use crate::budget::half_format;
use crate::plan::Required;
use crate::results::{Mode, Outcome, Side};
use crate::spec::{Derivation, Judgement, Rule};
use crate::{Measured, SpecSet};

/// What a pass over the chain gives.
#[derive(Default)]
pub(super) struct Passed {
    /// The first voice against the graph, by tensor.
    pub(super) quorum: BTreeMap<TensorName, Outcome>,
    /// Chained errors by tensor and implementation.
    pub(super) measured: BTreeMap<(TensorName, usize), Outcome>,
    /// Tokens that differ from the chain's, of the subject, by tensor.
    flips: BTreeMap<TensorName, u64>,
    /// The tokens that the subject was fed while it generated, and the chain's logits for them.
    pub(super) generated: Option<Fed>,
}

/// Tokens that were fed, and the logits of the chain for them, at f64.
pub(super) type Fed = (Vec<i64>, Tensor);

/// One pass over the chain of a case.
pub(super) struct Pass<'a> {
    setting: &'a Setting<'a>,
    evidence: &'a CaseEvidence<'a>,
    model: &'a Model,
    required: BTreeMap<&'a TensorName, &'a Required>,
    measured: Vec<(String, Source<'a>)>,
    passed: Passed,
}

impl<'a> Pass<'a> {
    /// Runs the chain and compares everything with it on the way; nothing of it is kept.
    pub(super) fn run(
        setting: &'a Setting<'a>,
        evidence: &'a CaseEvidence<'a>,
        plan: &'a [Required],
        model: &'a Model,
    ) -> Result<Passed, ApplyError> {
        let required = plan.iter().map(|required| (&required.name, required)).collect();
        let measured = evidence.measured(setting);
        let mut pass = Pass { setting, evidence, model, required, measured, passed: Passed::default() };
        let (mut chain, mut last) = (Chain::new(model, Exact).map_err(circle)?, None);
        for (index, positions) in evidence.case.steps().enumerate() {
            let step =
                Step { index, batch: evidence.case.batch(), past: positions.start, new: positions.len() };
            chain.step(&scheduled(evidence.case, step), |node, value| {
                if node.name == model.graph.family.roles.last_logits {
                    last = Some(value.clone());
                }
                pass.see(index, node, value)
            })?;
        }
        if let (true, Some(Operand::Floats(last))) = (evidence.case.generate > 0, last) {
            pass.generation(&chain, &last)?;
        }
        Ok(pass.passed)
    }

    fn see(&mut self, step: usize, node: &Node, value: &Operand<Array>) -> Result<(), ApplyError> {
        let name = TensorName::of_step(step, node.name.clone());
        let Some(&required) = self.required.get(&name) else { return Ok(()) };
        let tensor = to_tensor(value).map_err(|error| inputs(&node.name, error))?;
        self.hold_voice(required, &tensor);
        match value {
            Operand::Floats(_) => self.measure(required, &tensor),
            Operand::Tokens(_) => {
                let flips = flips(self.evidence.subject, required, &tensor);
                self.passed.flips.insert(name, flips);
            }
        }
        Ok(())
    }

    /// Holds the first reference at f64 to the graph.
    fn hold_voice(&mut self, required: &Required, tensor: &Tensor) {
        if let Some(first) = self.evidence.references.first() {
            let side = Side::Reference(first.at(Precision::F64));
            let roundings = self.setting.specs.judging.quorum.roundings;
            let outcome = super::measure::fetch_f64(first.f64, &side, required)
                .map(|voice| agreement(&voice, tensor, roundings))
                .into_outcome();
            self.passed.quorum.insert(required.name.clone(), outcome);
        }
    }

    /// Measures the chained error of the subject and its peers, under the ceiling that people ask for.
    fn measure(&mut self, required: &Required, tensor: &Tensor) {
        for index in 0..self.measured.len() {
            self.measure_one(index, required, tensor);
        }
    }

    fn measure_one(&mut self, index: usize, required: &Required, tensor: &Tensor) {
        let tolerance = ceiling(self.setting, required);
        let (name, source) = &self.measured[index];
        let measure = || {
            let actual = fetch(*source, &Side::Reference(name.clone()), required)?;
            against_oracle(&actual, tensor, tolerance, None, &oracle())
        };
        self.passed.measured.insert((required.name.clone(), index), measure().into_outcome());
    }

    /// The graph's own generation, for the voices; and for everyone who is measured, the logits that the chain gives from
    /// that implementation's own tokens.
    fn generation(&mut self, chain: &Chain<'_, Exact>, last: &Array) -> Result<(), ApplyError> {
        let roles = &self.model.graph.family.roles;
        let (tokens_name, logits_name) =
            (TensorName::of_case(&*roles.generated), TensorName::of_case(&*roles.generated_logits));
        let (Some(&tokens), Some(&logits)) =
            (self.required.get(&tokens_name), self.required.get(&logits_name))
        else {
            return Ok(());
        };
        let generate = self.evidence.case.generate;
        let own = generate_from(chain.clone(), last, generate, None)?;
        let as_tensors = |generated: &Generated<Array>| {
            let of = |error: tensor_compare::TensorError| inputs(&roles.generated, error);
            let ids = Tensor::from_i64(tokens.shape.dimensions(), &generated.tokens).map_err(of)?;
            let logits = &generated.logits;
            Ok::<_, ApplyError>((ids, Tensor::from_f64(&logits.shape, &logits.values).map_err(of)?))
        };
        let (own_ids, own_logits) = as_tensors(&own)?;
        self.hold_voice(tokens, &own_ids);
        self.hold_voice(logits, &own_logits);
        for index in 0..self.measured.len() {
            let fed = fed(self.evidence.case, self.measured[index].1, &tokens_name);
            let generated = match &fed {
                Some(fed) if *fed != own.tokens => {
                    as_tensors(&generate_from(chain.clone(), last, generate, Some(fed))?)
                }
                _ => Ok((own_ids.clone(), own_logits.clone())),
            };
            let (ids, generated) = generated?;
            self.measure_one(index, logits, &generated);
            if index == 0 {
                self.passed.flips.insert(tokens_name.clone(), flips(self.evidence.subject, tokens, &ids));
                self.passed.generated = fed.map(|fed| (fed, generated));
            }
        }
        Ok(())
    }
}

impl Passed {
    /// The voice's comparisons in the order of the plan; those of what the graph gives.
    pub(super) fn quorum(
        &self,
        setting: &Setting<'_>,
        evidence: &CaseEvidence<'_>,
        plan: &[Required],
    ) -> Vec<QuorumObservation> {
        let Some(first) = evidence.references.first() else { return Vec::new() };
        let between = format!("{} against {ORACLE}", first.at(Precision::F64));
        let given = plan.iter().filter(|required| of_graph(setting, required));
        given
            .map(|required| QuorumObservation {
                name: required.name.clone(),
                between: between.clone(),
                outcome: outcome(self.quorum.get(&required.name)),
            })
            .collect()
    }

    /// Chained errors in the order of the plan.
    pub(super) fn measurements(
        &self,
        setting: &Setting<'_>,
        evidence: &CaseEvidence<'_>,
        plan: &[Required],
    ) -> Vec<Measurement> {
        let implementations = evidence.measured(setting).into_iter().map(|(name, _)| name).enumerate();
        let floats =
            || plan.iter().filter(|required| required.dtype.is_float() && of_graph(setting, required));
        let of = |(index, implementation): (usize, String)| {
            floats()
                .map(|required| Measurement {
                    implementation: implementation.clone(),
                    required: required.clone(),
                    mode: Mode::Chained,
                    outcome: outcome(self.measured.get(&(required.name.clone(), index))),
                })
                .collect::<Vec<_>>()
        };
        implementations.flat_map(of).collect()
    }

    /// Counts the subject's tokens that are not the chain's: ties, where they are the argmax of its own logits.
    pub(super) fn count_ties(&self, observations: &mut [Observation]) {
        for observation in observations {
            if let Outcome::Compared { statistics, .. } = &mut observation.outcome
                && let Some(&flips) = self.flips.get(&observation.required.name)
                && statistics.violations == 0
            {
                statistics.ties = flips;
            }
        }
    }
}

fn outcome(found: Option<&Outcome>) -> Outcome {
    found.cloned().unwrap_or_else(|| Outcome::Missing { side: oracle() })
}

/// Whether the graph gives a tensor: from an operation, or as what is generated.
pub(super) fn of_graph(setting: &Setting<'_>, required: &Required) -> bool {
    let activation = setting.specs.of(required);
    match activation.judgement() {
        Some(Judgement::Budget(_) | Judgement::Bits(_)) => true,
        Some(Judgement::Rule(Rule::Chained { .. })) => true,
        Some(Judgement::Rule(Rule::Derived { from, .. })) => *from == Derivation::Greedy,
        Some(Judgement::Rule(Rule::Exact { .. })) | None => false,
    }
}

/// Judges what nothing nearer can judge: logits of generated positions, from the implementation's own tokens, by the errors
/// that replicas make in the same chain. `known` is what replicas said before, of the same tokens or of others; `exact` what
/// the chain gave. The bound on the root mean square error comes second.
pub(super) fn by_replicas(
    setting: &Setting<'_>,
    evidence: &CaseEvidence<'_>,
    required: &Required,
    known: Option<&Replicas>,
    exact: Option<&Fed>,
) -> (Outcome, Option<Measured>) {
    let mut allowed = None;
    let mut judge = || {
        let model = setting.model.ok_or(Outcome::Missing { side: oracle() })?;
        let actual = fetch(evidence.subject, &Side::Subject, required)?;
        let generated = TensorName::of_case(&*model.graph.family.roles.generated);
        let fed = fed(evidence.case, evidence.subject, &generated);
        let anew = match known {
            Some(known) if known.fed == fed => None,
            _ => Some(Replicas::of(setting, model, evidence.case, fed, exact).map_err(unreadable)?),
        };
        let bound = anew.as_ref().or(known).ok_or_else(|| unreadable("no replica was run"))?;
        allowed = Some(Measured(bound.rms));
        let tolerance = Tolerance::new(bound.largest, 0.0).map_err(unreadable)?;
        against_oracle(&actual, &bound.exact, tolerance, None, &oracle())
    };
    let outcome = judge().into_outcome();
    (outcome, allowed)
}

/// What replicas say of the logits of a case's generated positions.
#[derive(Clone, Debug)]
pub(super) struct Replicas {
    /// The tokens that they were fed; none for their own.
    fed: Option<Vec<i64>>,
    exact: Tensor,
    /// What the root mean square error may be.
    rms: f64,
    /// What the error of the worst element may be.
    largest: f64,
}

impl Replicas {
    /// Of tokens that the case itself prescribes, whoever is judged; none where it prescribes none.
    pub(super) fn of_forced(setting: &Setting<'_>, case: &Case) -> Result<Option<Self>, ApplyError> {
        match (setting.model, &case.forced) {
            (Some(model), Some(forced)) if case.generate > 0 => {
                Self::of(setting, model, case, Some(forced.concat()), None).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn of(
        setting: &Setting<'_>,
        model: &Model,
        case: &Case,
        fed: Option<Vec<i64>>,
        exact: Option<&Fed>,
    ) -> Result<Self, ApplyError> {
        let exact = match exact.filter(|(tokens, _)| Some(tokens) == fed.as_ref()) {
            Some((_, logits)) => {
                Array { shape: logits.shape().dimensions().to_vec(), values: logits.view().to_f64_lossy() }
            }
            None => logits(model, Exact, case, fed.as_deref())?,
        };
        let half = half_format(setting.precision());
        let ways: Vec<Way> = replicas(setting.specs).collect();
        let errors: Result<Vec<f64>, ApplyError> = ways
            .into_par_iter()
            .map(|way| {
                let replica = logits(model, Replica { way, half }, case, fed.as_deref())?;
                Ok(root_mean_square(&exact.values, &replica.values))
            })
            .collect();
        // A replica that is not finite raises no bound.
        let worst = errors?.into_iter().fold(0.0, |worst, rms| if rms > worst { rms } else { worst });
        let (rms, largest) = allowed(setting.specs, worst, &exact.values, setting.precision().unit());
        let exact = Tensor::from_f64(&exact.shape, &exact.values).map_err(|error| inputs("logits", error))?;
        Ok(Self { fed, exact, rms, largest })
    }
}

/// How far two correct implementations may be apart in each float activation of a case: twice what one may be off, which the
/// errors of replicas say.
pub(crate) fn replica_bounds(
    specs: &SpecSet,
    model: &Model,
    case: &Case,
    half: Option<HalfFormat>,
) -> Result<BTreeMap<TensorName, f64>, ApplyError> {
    let exact = floats(model, Exact, case, None)?;
    let tokens = exact.tokens.as_deref();
    let mut worst: BTreeMap<&TensorName, f64> = exact.floats.keys().map(|name| (name, 0.0)).collect();
    for way in replicas(specs) {
        let replica = floats(model, Replica { way, half }, case, tokens)?;
        for (name, worst) in &mut worst {
            let found = replica.floats.get(*name).map(Vec::as_slice).unwrap_or_default();
            *worst = worst.max(root_mean_square(&exact.floats[*name], found));
        }
    }
    let unit = half.map_or(oracle::UNIT, |format| oracle::UNIT * format.ratio());
    let bound = |(name, worst): (&TensorName, f64)| {
        let (_, largest) = allowed(specs, worst, &exact.floats[name], unit);
        (name.clone(), 2.0 * largest)
    };
    Ok(worst.into_iter().map(bound).collect())
}

/// All floats of a case, and the tokens that were generated.
struct Floats<T> {
    floats: BTreeMap<TensorName, Vec<T>>,
    tokens: Option<Vec<i64>>,
}

fn floats<A: Arithmetic<Value = Array<T>>, T: Copy>(
    model: &Model,
    arithmetic: A,
    case: &Case,
    fed: Option<&[i64]>,
) -> Result<Floats<T>, ApplyError> {
    let (mut chain, roles) = (Chain::new(model, arithmetic).map_err(circle)?, &model.graph.family.roles);
    let (mut floats, mut last) = (BTreeMap::new(), None);
    for (index, positions) in case.steps().enumerate() {
        let step = Step { index, batch: case.batch(), past: positions.start, new: positions.len() };
        chain.step(&scheduled(case, step), |node, value| {
            if let Operand::Floats(value) = value {
                floats.insert(TensorName::of_step(index, node.name.clone()), value.values.clone());
                last = (node.name == roles.last_logits).then(|| value.clone()).or_else(|| last.take());
            }
            Ok::<(), ApplyError>(())
        })?;
    }
    let mut tokens = None;
    if let (true, Some(last)) = (case.generate > 0, last) {
        let generated = generate_from(chain, &last, case.generate, fed)?;
        floats.insert(TensorName::of_case(&*roles.generated_logits), generated.logits.values);
        tokens = Some(generated.tokens);
    }
    Ok(Floats { floats, tokens })
}

/// As many replicas as the specs ask for; no loaded specs ask for more than there are.
pub(super) fn replicas(specs: &SpecSet) -> impl Iterator<Item = Way> {
    Way::REPLICAS.into_iter().take(specs.judging.chained.replicas)
}

/// What a chained run may be off, by the worst root mean square error of the replicas: as root mean square, and at the worst
/// element. One rounding of the largest value comes to it, which an exact replica cannot take away.
pub(super) fn allowed(specs: &SpecSet, worst: f64, exact: &[f64], unit: f64) -> (f64, f64) {
    let of_values = exact.iter().map(|x| x.abs()).filter(|x| x.is_finite()).fold(0.0, f64::max);
    let rms = specs.judging.chained.kappa * worst + unit * of_values;
    let terms = 2.0 * count(exact.len()) / specs.judging.false_alarm.probability;
    (rms, rms * (2.0 * terms.ln()).sqrt())
}

/// The logits of all generated positions, from tokens that are given or that follow.
fn logits<A: Arithmetic<Value = Array<T>>, T: Copy + Into<f64>>(
    model: &Model,
    arithmetic: A,
    case: &Case,
    fed: Option<&[i64]>,
) -> Result<Array, ApplyError> {
    let mut chain = Chain::new(model, arithmetic).map_err(circle)?;
    let mut last = None;
    for (index, positions) in case.steps().enumerate() {
        let step = Step { index, batch: case.batch(), past: positions.start, new: positions.len() };
        last = Some(chain.last_logits(&scheduled(case, step))?);
    }
    let last = last.ok_or_else(|| inputs("a chain", "a case has steps"))?;
    let generated = generate_from(chain, &last, case.generate, fed)?;
    let values = generated.logits.values.into_iter().map(Into::into).collect();
    Ok(Array { shape: generated.logits.shape, values })
}

/// Generated tokens, row by row, and the logits they were taken from.
struct Generated<V> {
    tokens: Vec<i64>,
    logits: V,
}

/// Greedy generation from the logits of the prompt's last position, `[B, V]`; fed the chain's own tokens, or those given,
/// `[B, N]` row by row.
fn generate_from<A: Arithmetic<Value = Array<T>>, T: Copy>(
    mut chain: Chain<'_, A>,
    last: &Array<T>,
    generate: usize,
    fed: Option<&[i64]>,
) -> Result<Generated<Array<T>>, ApplyError> {
    let mut steps: Vec<(Vec<i64>, Array<T>)> = vec![(chain.arithmetic().argmax(last), last.clone())];
    while steps.len() < generate {
        let at = steps.len() - 1;
        let own = &steps[at].0;
        let row = |row: usize| fed.and_then(|fed| fed.get(row * generate + at)).copied().unwrap_or(own[row]);
        let ids = Array { shape: vec![own.len(), 1], values: (0..own.len()).map(row).collect() };
        let next = chain.last_logits(&ids)?;
        steps.push((chain.arithmetic().argmax(&next), next));
    }
    let (batch, width) = (last.shape.first().copied().unwrap_or(0), last.width());
    let rows = || (0..batch).flat_map(|row| steps.iter().map(move |step| (row, step)));
    let values = rows().flat_map(|(row, (_, logits))| &logits.values[row * width..(row + 1) * width]);
    Ok(Generated {
        tokens: rows().map(|(row, (tokens, _))| tokens[row]).collect(),
        logits: Array { shape: vec![batch, generate, width], values: values.copied().collect() },
    })
}

/// The tokens that an implementation was fed while it generated: those that the case forces on it, or its own.
fn fed(case: &Case, source: Option<&dyn TensorSource>, name: &TensorName) -> Option<Vec<i64>> {
    if let Some(forced) = &case.forced {
        return Some(forced.concat());
    }
    source?.tensor(name).ok().flatten()?.view().to_i64().ok()
}

/// How many of the subject's tokens are not those that the chain takes from its own logits.
fn flips(subject: Source<'_>, required: &Required, expected: &Tensor) -> u64 {
    let found = subject.and_then(|source| source.tensor(&required.name).ok().flatten());
    let ids = |tensor: &Tensor| tensor.view().to_i64().unwrap_or_default();
    let found = found.map(|tensor| ids(&tensor)).unwrap_or_default();
    found.iter().zip(&ids(expected)).filter(|(found, expected)| found != expected).count() as u64
}

/// The ceiling that people ask for, or none.
fn ceiling(setting: &Setting<'_>, required: &Required) -> Tolerance {
    let ceiling = setting.specs.of(required).ceiling.as_ref().map(|ceiling| ceiling.tolerance);
    ceiling.filter(|_| !setting.precision().is_half()).unwrap_or_else(unbounded)
}

fn to_tensor(value: &Operand<Array>) -> Result<Tensor, tensor_compare::TensorError> {
    match value {
        Operand::Floats(array) => Tensor::from_f64(&array.shape, &array.values),
        Operand::Tokens(ids) => Tensor::from_i64(&ids.shape, &ids.values),
    }
}

pub(super) fn root_mean_square<T: Copy + Into<f64>>(exact: &[f64], found: &[T]) -> f64 {
    let squares: f64 = exact.iter().zip(found).map(|(exact, &found)| (found.into() - exact).powi(2)).sum();
    (squares / count(exact.len().max(1))).sqrt()
}

fn inputs(name: &str, problem: impl std::fmt::Display) -> ApplyError {
    ApplyError::Inputs { name: name.to_owned(), problem: problem.to_string() }
}

fn circle(circle: graph::Circle) -> ApplyError {
    inputs("the graph", circle)
}

#[expect(clippy::cast_precision_loss, reason = "counts of elements in memory are far below 2⁵³")]
fn count(elements: usize) -> f64 {
    elements as f64
}
