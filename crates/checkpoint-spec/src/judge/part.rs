//! What the numbers of a dump mean.

use std::collections::{BTreeMap, BTreeSet};

use capture::{Case, Precision, TensorName};
use graph::{Computation, Node, Operation};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::checkpoint::{examined, is_warning};
use super::diagnosis::used;
use super::finding::Law;
use crate::assay::{CaseAssay, Part, PartAssay, PartObservation};
use crate::plan::Traits;
use crate::results::{
    Comparison, ComparisonVerdict, Divergence, Mode, Outcome, PART_SCHEMA, PartComparison, PartDiagnosis,
    PartResults, PlacedBug, Reach, Reason, RequirementResult, UnusedTensor, Verdict,
};
use crate::spec::{Kind, SpecError, SpecSet};
use crate::{Architecture, Measured, Required};

/// Diagnoses of one dump.
const MOST: usize = 4;
/// Products that a diagnosis may take, some tens of seconds on two cores: beyond, more has to be dumped.
const WORK: u64 = 400_000_000_000;

/// What is true of a dump beside its numbers.
#[derive(Clone, Debug)]
pub struct PartFacts {
    /// The model, as the user named it.
    pub model: String,
    /// Sizes and constants of the model.
    pub architecture: Architecture,
    /// The dump, as the user named it.
    pub dump: String,
    /// How its names were brought over.
    pub names: String,
    /// What the engine computes in, or stores its results in.
    pub precision: Precision,
    /// What the engine was given, with what it is for.
    pub case: (Case, String),
    /// Tensors that nothing was made of.
    pub unused: Vec<UnusedTensor>,
    /// Facts that change no verdict.
    pub notes: Vec<String>,
    /// How names were guessed, as a map to keep.
    pub map: Option<String>,
}

/// Whether what was observed of an activation is within its bounds.
pub fn holds(specs: &SpecSet, observed: &PartObservation) -> bool {
    let law = Law { specs, subject_weights: false };
    law.finding(&observed.observation).0 == ComparisonVerdict::Pass
}

/// Derives every verdict of a dump. Which bug it is says [`diagnose_part`], which needs the tensors again.
///
/// # Errors
/// If the specs do not fit the model.
pub fn judge_part(specs: &SpecSet, facts: &PartFacts, assay: &PartAssay) -> Result<PartResults, SpecError> {
    let law = Law { specs, subject_weights: false };
    let comparisons = comparisons(law, assay);
    let requirements = requirements(specs, facts, assay);
    let compared = comparisons.iter().filter(|c| c.comparison.outcome.elements() > 0).count() as u64;
    let in_pass = crate::plan::required(
        specs,
        &facts.architecture,
        &facts.case.0,
        Traits { preallocated_cache: false, tokenizer: false },
        Precision::F32,
    )?;
    let of_model = in_pass.iter().filter(|item| is_of_pass(specs, item)).count() as u64;
    let shown = assay.observations.iter().filter(|o| is_of_pass(specs, &o.observation.required)).count();
    let is_whole = shown as u64 == of_model && facts.unused.is_empty();
    let verdict = verdict(&comparisons, &requirements, is_whole);
    Ok(PartResults {
        schema: PART_SCHEMA.to_owned(),
        model: facts.model.clone(),
        architecture: facts.architecture.clone(),
        dump: facts.dump.clone(),
        precision: facts.precision,
        names: facts.names.clone(),
        case: super::summary(&facts.case),
        compared,
        dumped: comparisons.len() as u64,
        of_model,
        reach: reach(specs, &in_pass, assay),
        first_divergence: first(specs, &comparisons, assay),
        diagnoses: Vec::new(),
        layouts: Vec::new(),
        growth: Vec::new(),
        comparisons,
        requirements_checked: requirements.len() as u64,
        requirements: requirements.into_iter().filter(|r| !is_plain(r)).collect(),
        unused: facts.unused.clone(),
        notes: facts.notes.clone(),
        map: facts.map.clone(),
        verdict,
        exit_code: verdict.exit_code(),
    })
}

/// What a forward pass computes: nothing of the weights, and nothing that is generated after it.
fn is_of_pass(specs: &SpecSet, item: &Required) -> bool {
    item.name.step.is_some() && specs.of(item).op.is_some() && specs.of(item).kind != Kind::Byte
}

fn comparisons(law: Law<'_>, assay: &PartAssay) -> Vec<PartComparison> {
    let mut unusable: BTreeSet<&TensorName> = BTreeSet::new();
    let mut comparisons = Vec::new();
    for PartObservation { observation, cut } in &assay.observations {
        let (verdict, reason) = law.finding(observation);
        let downstream = observation.inputs.iter().any(|input| unusable.contains(input));
        if matches!(reason, Some(Reason::NonFinite | Reason::Unreadable | Reason::Empty)) {
            unusable.insert(&observation.required.name);
        }
        let tokens = cut.from_tokens.then(|| law.specs.family.roles.tokens.clone());
        let on_the_way = cut.through.iter().filter(|name| **name != observation.required.name);
        let spec = &law.specs.specs[observation.required.spec];
        comparisons.push(PartComparison {
            checkpoint: format!("{} {}", spec.id, spec.name),
            comparison: Comparison {
                name: observation.required.name.activation.clone(),
                layer: observation.required.layer,
                step: observation.required.name.step,
                case: observation.case.clone(),
                mode: observation.mode,
                reference: observation.reference.clone(),
                outcome: observation.outcome.clone(),
                verdict,
                reason,
                chained_allowed: observation.chained_allowed,
                downstream: downstream && verdict != ComparisonVerdict::Pass,
            },
            from: tokens.into_iter().chain(cut.from.iter().map(ToString::to_string)).collect(),
            through: on_the_way.map(ToString::to_string).collect(),
        });
    }
    comparisons
}

fn requirements(specs: &SpecSet, facts: &PartFacts, assay: &PartAssay) -> Vec<RequirementResult> {
    let assays = [CaseAssay {
        case: facts.case.0.id.clone(),
        observations: Vec::new(),
        requirements: assay.requirements.clone(),
        unexpected: Vec::new(),
        quorum: Vec::new(),
        measured: Vec::new(),
    }];
    let of = |found: &crate::ExaminedRequirement| {
        let requirement = &specs.specs[found.spec].requirements[found.requirement];
        examined(found.spec, found.requirement, requirement, &assays)
    };
    // What a check looks at beside what is there, and does not find, says nothing of the engine.
    let known = assay.requirements.iter().map(of).filter(|result| {
        result.findings.iter().all(|found| !matches!(found.reason, Reason::Missing | Reason::Unreadable))
    });
    known.collect()
}

fn is_plain(requirement: &RequirementResult) -> bool {
    requirement.verdict == ComparisonVerdict::Pass && !is_warning(requirement)
}

fn verdict(comparisons: &[PartComparison], requirements: &[RequirementResult], is_whole: bool) -> Verdict {
    let any = |verdict: ComparisonVerdict| {
        comparisons.iter().any(|c| c.comparison.verdict == verdict && !c.comparison.downstream)
    };
    if any(ComparisonVerdict::Fail) || requirements.iter().any(|r| r.verdict == ComparisonVerdict::Fail) {
        Verdict::Fail
    } else if any(ComparisonVerdict::Error) {
        Verdict::Error
    } else if comparisons.is_empty()
        || any(ComparisonVerdict::Missing)
        || any(ComparisonVerdict::Incomplete)
        || comparisons.iter().any(|c| c.comparison.downstream)
    {
        Verdict::Incomplete
    } else if !is_whole || requirements.iter().any(is_warning) {
        Verdict::Conditional
    } else {
        Verdict::Pass
    }
}

fn first(specs: &SpecSet, comparisons: &[PartComparison], assay: &PartAssay) -> Option<Divergence> {
    let diverges = |(found, _): &(&PartComparison, &PartObservation)| {
        found.comparison.verdict == ComparisonVerdict::Fail && !found.comparison.downstream
    };
    let (found, observed) = comparisons.iter().zip(&assay.observations).find(diverges)?;
    Some(Divergence {
        checkpoint: specs.specs[observed.observation.required.spec].id.clone(),
        activation: found.comparison.name.clone(),
        case: found.comparison.case.clone(),
        step: found.comparison.step,
        mode: found.comparison.mode,
        reason: found.comparison.reason?,
    })
}

/// How much can be seen through what is there: every operation by the smallest group in which it is judged.
fn reach(specs: &SpecSet, in_pass: &[Required], assay: &PartAssay) -> Reach {
    let mut groups: BTreeMap<&TensorName, u64> = BTreeMap::new();
    for PartObservation { observation, cut } in &assay.observations {
        if observation.outcome.elements() > 0 {
            for name in &cut.through {
                let size = cut.through.len() as u64;
                groups.entry(name).and_modify(|known| *known = size.min(*known)).or_insert(size);
            }
        }
    }
    let mut reach = Reach::default();
    for item in in_pass.iter().filter(|item| is_of_pass(specs, item)) {
        match groups.get(&item.name) {
            None => reach.unseen += 1,
            Some(1) => reach.alone += 1,
            Some(&size) => {
                reach.together += 1;
                reach.largest = reach.largest.max(size);
            }
        }
    }
    reach
}

/// A bug, put in where it may be.
struct Candidate {
    id: String,
    what: String,
    at: String,
    changed: BTreeMap<String, Computation>,
}

/// What may have gone wrong where comparisons were refused: every bug that something in their cut may have is computed from
/// what was dumped. Of each kind of activation the first, in execution order.
pub fn diagnose_part(part: &Part<'_>, results: &PartResults) -> Vec<PartDiagnosis> {
    let mut kinds: BTreeSet<(usize, usize)> = BTreeSet::new();
    let mut diagnoses = Vec::new();
    for found in &results.comparisons {
        let Comparison { verdict, downstream, outcome, .. } = &found.comparison;
        let has_numbers = matches!(outcome, Outcome::Compared { .. });
        if *verdict != ComparisonVerdict::Fail || *downstream || !has_numbers || diagnoses.len() >= MOST {
            continue;
        }
        let name = found.comparison.tensor_name();
        // What is right in another order of its axes has no bug beside.
        let is_turned = results.layouts.iter().any(|layout| {
            layout.by_values && (&layout.activation, layout.step) == (&name.activation, name.step)
        });
        if is_turned {
            continue;
        }
        let Some(required) = part.there().iter().find(|item| item.name == name) else { continue };
        if kinds.insert((required.spec, required.activation)) {
            diagnoses.extend(diagnose(part, required, found));
        }
    }
    diagnoses
}

fn diagnose(part: &Part<'_>, required: &Required, found: &PartComparison) -> Option<PartDiagnosis> {
    let setting = part.setting();
    let model = setting.model?;
    let here = |name: &String| TensorName::parse(name).filter(|name| name.step == required.name.step);
    let through = found.through.iter().filter_map(here).map(|name| name.activation);
    let nodes: Vec<Node> = through
        .chain([required.name.activation.clone()])
        .filter_map(|name| model.graph.find(&name))
        .collect();
    let candidates = candidates_of(setting.specs, model, &nodes);
    let diagnosis = |tried: usize, named: Vec<PlacedBug>, untried: Option<String>| PartDiagnosis {
        checkpoint: setting.specs.specs[required.spec].id.clone(),
        activation: found.comparison.name.clone(),
        step: found.comparison.step,
        tried: tried as u64,
        named,
        untried,
    };
    if candidates.is_empty() {
        return None;
    }
    let rows = results_rows(required);
    let weights = nodes.iter().filter_map(|node| model.graph.operation(node)).map(|op| size(op, model));
    let work = weights.sum::<u64>().saturating_mul(rows).saturating_mul(candidates.len() as u64);
    if work > WORK {
        let why = format!(
            "{} operations are judged together, and their {} known bugs would take long to try; dump what is between \
             them, or a shorter prompt",
            nodes.len(),
            candidates.len()
        );
        return Some(diagnosis(0, Vec::new(), Some(why)));
    }
    let mut tried = candidates.len();
    let try_all = |candidates: Vec<Candidate>| -> Vec<PlacedBug> {
        candidates.into_par_iter().filter_map(|candidate| gives(part, required, candidate)).collect()
    };
    let mut named = try_all(candidates);
    let layers: BTreeSet<Option<usize>> = nodes.iter().map(|node| node.layer).collect();
    if named.is_empty() && layers.len() > 1 && work.saturating_mul(layers.len() as u64) <= WORK {
        // Not in all layers at once: in one of them.
        for layer in layers {
            let of_layer: Vec<Node> = nodes.iter().filter(|node| node.layer == layer).cloned().collect();
            let candidates = candidates_of(setting.specs, model, &of_layer);
            tried += candidates.len();
            named.extend(try_all(candidates));
        }
    }
    named.sort_by(|a, b| a.used.0.total_cmp(&b.used.0));
    Some(diagnosis(tried, named, None))
}

fn results_rows(required: &Required) -> u64 {
    required.shape.dimensions().iter().take(2).product::<usize>() as u64
}

fn size(op: &Operation, model: &oracle::Model) -> u64 {
    let of = |name: &&str| {
        let name = graph::in_layer(name, Some(0), model.architecture.layers);
        model.weights.get(&name).map_or(0, |weight| weight.values.len() as u64)
    };
    match op {
        Operation::Rows { .. } => 0,
        _ => op.weights().iter().map(of).sum(),
    }
}

/// What each activation of a cut may have suffered, in all its layers and, where there are several, in each; and the faults of
/// the family that have several places.
fn candidates_of(specs: &SpecSet, model: &oracle::Model, nodes: &[Node]) -> Vec<Candidate> {
    let mut by_activation: BTreeMap<usize, Vec<&Node>> = BTreeMap::new();
    for node in nodes {
        by_activation.entry(node.activation).or_default().push(node);
    }
    let mut candidates = Vec::new();
    for (activation, nodes) in by_activation {
        let name = &model.graph.activations[activation].name;
        let Some((_, _, spec)) = specs.activations().find(|(_, _, known)| known.name == *name) else {
            continue;
        };
        let Some(op) = &spec.op else { continue };
        for change in specs.changes_at(spec) {
            let Ok(computation) = Computation::changed(op, [change.change]) else { continue };
            let mut put_in = |nodes: &[&Node], at: &str| {
                let changed = nodes.iter().map(|node| (node.name.clone(), computation.clone())).collect();
                let (id, what) = (change.id.to_owned(), change.what.to_owned());
                candidates.push(Candidate { id, what, at: at.to_owned(), changed });
            };
            match nodes.as_slice() {
                [one] => put_in(&[one], &one.name),
                several => put_in(several, name),
            }
        }
    }
    candidates.extend(faults(specs, model, nodes));
    candidates
}

/// Faults with several places, as far as they are in the cut.
fn faults(specs: &SpecSet, model: &oracle::Model, nodes: &[Node]) -> Vec<Candidate> {
    if nodes.len() < 2 {
        return Vec::new();
    }
    let inside: BTreeSet<&String> = nodes.iter().map(|node| &node.name).collect();
    let several = specs
        .faults()
        .filter(|(_, fault)| fault.places.iter().map(|place| place.at.len()).sum::<usize>() > 1);
    let candidate = |(_, fault): (&str, &crate::FaultSpec)| {
        let mut changed = specs.mutated(&fault.places, &model.graph, &model.architecture).ok()?;
        changed.retain(|name, _| inside.contains(name));
        let at = changed.keys().next()?.clone();
        (changed.len() > 1).then(|| Candidate {
            id: fault.id.clone(),
            what: fault.what.clone(),
            at: format!("{at} and {} more", changed.len() - 1),
            changed,
        })
    };
    several.filter_map(candidate).collect()
}

fn gives(part: &Part<'_>, required: &Required, candidate: Candidate) -> Option<PlacedBug> {
    let observed = part.observe_under(required, &candidate.changed);
    let Outcome::Compared { statistics, .. } = &observed.observation.outcome else { return None };
    if !holds(part.setting().specs, &observed) {
        return None;
    }
    let share = match observed.observation.mode {
        Mode::Isolated => used(statistics),
        Mode::Chained => statistics.used.or_worse(
            observed
                .observation
                .chained_allowed
                .map_or(Measured(0.0), |allowed| Measured(statistics.rmse.0 / allowed.0)),
        ),
    };
    let Candidate { id, what, at, .. } = candidate;
    Some(PlacedBug { id, what, at, used: share })
}
