//! A forward pass of which only a part was observed, as a dump of somebody's engine has it: whatever is there is judged,
//! through the smallest cut of the graph that it allows.
//!
//! One operation is held to its own budget. A cut of several within one block is held to the bound that is carried through its
//! operations, which is certain and wide (through a whole block it comes to a tenth of the values), and to the errors that replicas
//! make in the same cut, which are the measure wherever only a chain can judge. Through several blocks these alone bound it.

mod growth;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use capture::{FileError, Precision, Tensor, TensorName, TensorSource};
use graph::Computation;
use oracle::{Array, Bounded, Bounds, Computing, Cut, Exact, Observed, Operand, Replica, Rounding, Way};
use rayon::iter::{IntoParallelIterator, IntoParallelRefIterator, ParallelIterator};
use tensor_compare::{DType, Tolerance};

use super::chained::{allowed, replicas};
use super::isolated::Isolated;
use super::measure::{IntoOutcome, against_oracle, fetch, same_bits, unreadable};
use super::{AssayError, Assayer, CaseEvidence, ExaminedRequirement, ORACLE, Observation, Setting, oracle};
use crate::Measured;
use crate::budget::half_format;
use crate::plan::{Required, Traits, required};
use crate::results::{Mode, Outcome, Side};
use crate::spec::Check;
use crate::spec::{Judgement, Kind, Rule, SpecError};

/// Whose token ids are missing where nobody gave them.
pub const TOKENS: &str = "the token ids";

/// One activation that is there, from what it was judged, and through what.
#[derive(Clone, Debug, PartialEq)]
pub struct PartObservation {
    /// The numbers.
    pub observation: Observation,
    /// The part of the graph that they judge.
    pub cut: Cut,
}

/// All numbers of what is there.
#[derive(Clone, Debug, PartialEq)]
pub struct PartAssay {
    /// Comparisons in execution order.
    pub observations: Vec<PartObservation>,
    /// Requirements with a check of their own, of what is there.
    pub requirements: Vec<ExaminedRequirement>,
}

/// A part of a forward pass, ready to be judged.
pub struct Part<'a> {
    setting: &'a Setting<'a>,
    evidence: &'a CaseEvidence<'a>,
    /// Whether the case has the token ids that were given to the engine.
    tokens: bool,
    rules: Vec<Rounding>,
    there: Vec<Required>,
    usable: Usable<'a>,
    /// Errors of replicas, by the tensor that they end in.
    known: Mutex<BTreeMap<TensorName, Errors>>,
}

/// The worst errors of replicas: root mean square, and at one element.
type Errors = (f64, f64);

/// What is of its shape: from anything else nothing follows, and cuts go around it.
struct Usable<'a> {
    source: &'a dyn TensorSource,
    hidden: BTreeSet<TensorName>,
}

impl TensorSource for Usable<'_> {
    fn names(&self) -> BTreeSet<TensorName> {
        self.source.names().difference(&self.hidden).cloned().collect()
    }

    fn tensor(&self, name: &TensorName) -> Result<Option<Tensor>, FileError> {
        if self.hidden.contains(name) { Ok(None) } else { self.source.tensor(name) }
    }
}

/// Everything that may be there, in execution order: what specs, architecture and case know of, whoever the subject is.
///
/// # Errors
/// If the specs do not fit the model.
pub fn dumpable(setting: &Setting<'_>, evidence: &CaseEvidence<'_>) -> Result<Vec<Required>, SpecError> {
    let everything = Traits { preallocated_cache: true, tokenizer: true };
    required(setting.specs, setting.architecture, evidence.case, everything, Precision::F32)
}

impl<'a> Part<'a> {
    /// What of the evidence can be judged, where `tokens` says whether the token ids are those of the engine.
    ///
    /// # Errors
    /// If the specs do not fit the model.
    pub fn new(
        setting: &'a Setting<'a>,
        evidence: &'a CaseEvidence<'a>,
        tokens: bool,
    ) -> Result<Option<Self>, AssayError> {
        let Some(source) = evidence.subject else { return Ok(None) };
        let names = source.names();
        let (mut there, mut hidden) = (Vec::new(), BTreeSet::new());
        for mut item in dumpable(setting, evidence)? {
            if !names.contains(&item.name) {
                continue;
            }
            match source.tensor(&item.name) {
                Ok(Some(found)) if found.shape() == &item.shape => {
                    // What was computed at f64 is judged as it is.
                    if item.dtype.is_float() && found.dtype() == DType::F64 {
                        item.dtype = DType::F64;
                    }
                }
                _ => drop(hidden.insert(item.name.clone())),
            }
            there.push(item);
        }
        let rules = setting.specs.rules(setting.confidence, setting.precision());
        let usable = Usable { source, hidden };
        Ok(Some(Self { setting, evidence, tokens, rules, there, usable, known: Mutex::default() }))
    }

    /// Who judges whom.
    pub fn setting(&self) -> &'a Setting<'a> {
        self.setting
    }

    /// What is there, in execution order.
    pub fn there(&self) -> &[Required] {
        &self.there
    }

    /// Judges all of it.
    pub fn assay(&self) -> PartAssay {
        let observations = self.there.par_iter().map(|required| self.observe(required)).collect();
        PartAssay { observations, requirements: self.requirements() }
    }

    /// Judges one activation, as it is.
    pub fn observe(&self, required: &Required) -> PartObservation {
        self.observe_under(required, &BTreeMap::new())
    }

    /// Judges it against what an engine with bugs makes of what it observed.
    pub fn observe_under(
        &self,
        required: &Required,
        changed: &BTreeMap<String, Computation>,
    ) -> PartObservation {
        let mut cut = Cut { through: vec![required.name.clone()], ..Cut::default() };
        let (mut mode, mut chained_allowed) = (Mode::Isolated, None);
        let outcome = match self.setting.specs.of(required).judgement() {
            Some(Judgement::Budget(_) | Judgement::Bits(_)) => match self.cut(required, changed) {
                Err(outcome) => outcome,
                Ok(found) => {
                    cut = found;
                    let (judged, by, allowed) = self.across(required, &cut, changed);
                    (mode, chained_allowed) = (by, allowed);
                    judged
                }
            },
            Some(Judgement::Rule(Rule::Exact { .. })) => {
                Outcome::Missing { side: Side::Reference("a reference with a tokenizer".to_owned()) }
            }
            Some(Judgement::Rule(Rule::Derived { .. })) => self.isolated().judge(required),
            Some(Judgement::Rule(Rule::Chained { .. })) => {
                mode = Mode::Chained;
                let found = super::chained::by_replicas(self.setting, self.evidence, required, None, None);
                chained_allowed = found.1;
                found.0
            }
            None => unreadable("nothing judges it"),
        };
        let observation = Observation {
            required: required.clone(),
            case: self.evidence.case.id.clone(),
            mode,
            reference: ORACLE.to_owned(),
            outcome,
            inputs: cut.from.iter().cloned().collect(),
            chained_allowed,
        };
        PartObservation { observation, cut }
    }

    fn cut(&self, required: &Required, changed: &BTreeMap<String, Computation>) -> Result<Cut, Outcome> {
        let cut = self.observed()?.cut(&required.name, changed).map_err(unreadable)?;
        if cut.from_tokens && !self.tokens {
            return Err(Outcome::Missing { side: Side::Reference(TOKENS.to_owned()) });
        }
        Ok(cut)
    }

    fn observed(&self) -> Result<Observed<'_>, Outcome> {
        let model = self.setting.model.ok_or(Outcome::Missing { side: oracle() })?;
        Ok(Observed { model, case: self.evidence.case, source: &self.usable, rules: &self.rules })
    }

    fn isolated(&self) -> Isolated<'_> {
        Isolated {
            setting: self.setting,
            case: self.evidence.case,
            source: Some(&self.usable),
            side: &Side::Subject,
            precision: self.setting.precision(),
            rules: &self.rules,
        }
    }

    fn by_derived_bound(
        &self,
        required: &Required,
        cut: &Cut,
        changed: &BTreeMap<String, Computation>,
    ) -> Result<Outcome, Outcome> {
        let actual = fetch(self.evidence.subject, &Side::Subject, required)?;
        let expected = self.observed()?.across(cut, &Bounding(&self.rules), changed).map_err(unreadable)?;
        self.isolated().held(required, &actual, expected)
    }

    /// What a cut gives, held to the nearest bounds that there are.
    fn across(
        &self,
        required: &Required,
        cut: &Cut,
        changed: &BTreeMap<String, Computation>,
    ) -> (Outcome, Mode, Option<Measured>) {
        let is_token = !required.dtype.is_float();
        if is_token && cut.through.len() > 1 {
            return (self.token(required, changed).into_outcome(), Mode::Isolated, None);
        }
        if blocks(cut, self) <= 1 {
            let derived = self.by_derived_bound(required, cut, changed).into_outcome();
            if cut.through.len() <= 1 || is_out(&derived) {
                return (derived, Mode::Isolated, None);
            }
        }
        let mut allowed = None;
        let judged = self.by_replicas(required, cut, changed, &mut allowed).into_outcome();
        (judged, Mode::Chained, allowed)
    }

    fn by_replicas(
        &self,
        required: &Required,
        cut: &Cut,
        changed: &BTreeMap<String, Computation>,
        may_be: &mut Option<Measured>,
    ) -> Result<Outcome, Outcome> {
        let actual = fetch(self.evidence.subject, &Side::Subject, required)?;
        let exact = self.exact(cut, changed)?;
        let (rms, largest) = self.allowed(&required.name, &exact)?;
        *may_be = Some(Measured(rms));
        let expected = Tensor::from_f64(&exact.shape, &exact.values).map_err(unreadable)?;
        let tolerance = Tolerance::new(largest, 0.0).map_err(unreadable)?;
        against_oracle(&actual, &expected, tolerance, None, &oracle())
    }

    fn exact(&self, cut: &Cut, changed: &BTreeMap<String, Computation>) -> Result<Array, Outcome> {
        match self.observed()?.across(cut, &Exactly, changed).map_err(unreadable)? {
            Operand::Floats(exact) => Ok(exact),
            Operand::Tokens(_) => Err(unreadable("tokens in place of floats")),
        }
    }

    /// A token whose logits were not observed: another than the oracle's is a tie where the oracle's gap between the two is
    /// within what both logits may be off.
    fn token(
        &self,
        required: &Required,
        changed: &BTreeMap<String, Computation>,
    ) -> Result<Outcome, Outcome> {
        let actual = fetch(self.evidence.subject, &Side::Subject, required)?;
        let roles = &self.setting.specs.family.roles;
        let logits = TensorName { step: required.name.step, activation: roles.last_logits.clone() };
        let names = self.usable.names();
        let exact = if names.contains(&logits) {
            let known = self.usable.tensor(&logits).map_err(unreadable)?;
            let known = known.ok_or_else(|| unreadable("the logits are gone"))?;
            Array { shape: known.shape().dimensions().to_vec(), values: known.view().to_f64_lossy() }
        } else {
            self.exact(&self.observed()?.cut(&logits, changed).map_err(unreadable)?, changed)?
        };
        let (_, largest) = self.allowed(&logits, &exact)?;
        let tokens = actual.view().to_i64().map_err(unreadable)?;
        let mut expected = oracle::operation::Argmax.value(&exact);
        let mut ties = 0;
        for ((row, expected), found) in exact.values.chunks(exact.width()).zip(&mut expected).zip(&tokens) {
            let at = |id: i64| usize::try_from(id).ok().and_then(|id| row.get(id)).copied();
            let (Some(best), Some(theirs)) = (at(*expected), at(*found)) else { continue };
            if *expected != *found && best - theirs <= 2.0 * largest {
                *expected = *found;
                ties += 1;
            }
        }
        let expected = Tensor::from_i64(actual.shape().dimensions(), &expected).map_err(unreadable)?;
        let mut outcome = same_bits(&actual, &expected, &Side::Subject);
        if let Outcome::Compared { statistics, .. } = &mut outcome {
            statistics.ties = ties;
        }
        Ok(outcome)
    }

    /// What an output may be off: as root mean square, and at the worst element. Errors of a softmax that is nearly all zeros sit in
    /// few elements, so the largest of the replicas' counts beside what follows from their root mean square.
    fn allowed(&self, name: &TensorName, exact: &Array) -> Result<Errors, Outcome> {
        let (worst, at_one) = self.errors_of_replicas(name)?;
        let unit = self.setting.precision().unit();
        let (rms, largest) = allowed(self.setting.specs, worst, &exact.values, unit);
        let of_values = exact.values.iter().map(|x| x.abs()).filter(|x| x.is_finite()).fold(0.0, f64::max);
        let kappa = self.setting.specs.judging.chained.kappa;
        Ok((rms, largest.max(kappa * at_one + unit * of_values)))
    }

    /// The worst errors of the replicas, in the right computation, whatever the output is held against.
    fn errors_of_replicas(&self, name: &TensorName) -> Result<Errors, Outcome> {
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(name) {
            return Ok(*known);
        }
        let (observed, right) = (self.observed()?, BTreeMap::new());
        let cut = observed.cut(name, &right).map_err(unreadable)?;
        let exact = self.exact(&cut, &right)?;
        let half = half_format(self.setting.precision());
        let ways: Vec<Way> = replicas(self.setting.specs).collect();
        let error = |way: Way| {
            let replica = observed.across(&cut, &Replicating(Replica { way, half }), &right);
            let Operand::Floats(found) = replica.map_err(unreadable)? else {
                return Err(unreadable("tokens in place of floats"));
            };
            let found: Vec<f64> = found.values.into_iter().map(f64::from).collect();
            Ok(growth::errors(&exact.values, &found))
        };
        let errors: Result<Vec<Errors>, Outcome> = ways.into_par_iter().map(error).collect();
        // A replica that is not finite raises no bound.
        let larger = |a: f64, b: f64| if b > a { b } else { a };
        let worst = errors?.into_iter().fold((0.0, 0.0), |a, b| (larger(a.0, b.0), larger(a.1, b.1)));
        lock().insert(name.clone(), worst);
        Ok(worst)
    }

    /// Only what is there is asked about, and a file says nothing of how memory was laid out.
    fn requirements(&self) -> Vec<ExaminedRequirement> {
        let assayer = Assayer {
            setting: self.setting,
            evidence: self.evidence,
            rules: &self.rules,
            replicas: None,
            exact: None,
            beside: None,
        };
        let floats: Vec<Required> = self
            .there
            .iter()
            .filter(|item| self.setting.specs.of(item).kind == Kind::Float && item.dtype == DType::F32)
            .filter(|item| !self.usable.hidden.contains(&item.name))
            .cloned()
            .collect();
        let mut examined = assayer.examine_requirements(&floats);
        examined.retain(|found| {
            let check = self.setting.specs.specs[found.spec].requirements[found.requirement].check;
            found.required > 0 && check != Check::Contiguous && !check.looks_elsewhere()
        });
        examined
    }
}

/// Whether something is out of a bound, or was not compared at all.
fn is_out(outcome: &Outcome) -> bool {
    outcome.statistics().is_none_or(|found| {
        let budget = found.budget.as_ref();
        found.violations > 0
            || budget.is_some_and(|budget| budget.violations > 0 || budget.systematic_violation().is_some())
    })
}

/// In how many blocks a cut computes something.
fn blocks(cut: &Cut, part: &Part<'_>) -> usize {
    let Some(model) = part.setting.model else { return 0 };
    let layer = |name: &TensorName| model.graph.find(&name.activation).and_then(|node| node.layer);
    cut.through.iter().filter_map(layer).collect::<BTreeSet<_>>().len()
}

/// With bounds.
struct Bounding<'a>(&'a [Rounding]);

impl<'a> Computing for Bounding<'a> {
    type Arithmetic = Bounds<'a>;

    fn of(&self, activation: usize) -> Bounds<'a> {
        Bounds(&self.0[activation])
    }

    fn given(&self, activation: usize, observed: Array) -> Bounded {
        self.0[activation].given(observed)
    }
}

/// At f64.
struct Exactly;

impl Computing for Exactly {
    type Arithmetic = Exact;

    fn of(&self, _: usize) -> Exact {
        Exact
    }

    fn given(&self, _: usize, observed: Array) -> Array {
        observed
    }
}

/// As a correct implementation.
struct Replicating(Replica);

impl Computing for Replicating {
    type Arithmetic = Replica;

    fn of(&self, _: usize) -> Replica {
        self.0
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a replica has what was observed at its own precision"
    )]
    fn given(&self, _: usize, observed: Array) -> Array<f32> {
        Array { shape: observed.shape, values: observed.values.into_iter().map(|x| x as f32).collect() }
    }
}
