//! Names that nobody knows, guessed: by what the values must be nearly, then by words and shapes. A guess says what it is not sure of.

mod groups;
mod words;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use capture::dump::{Dump, DumpTensor};
use capture::{Case, TensorName};
use graph::{Node, Step};
use oracle::{ApplyError, Array, Chain, Exact, Operand, scheduled};

use crate::axes::{Axes, Due, Ways};
use crate::bring::{due_shape, gathered};
use crate::layouts::candidates;
use crate::map::{Entry, Map};
use crate::model::Subject;
use groups::{Group, groups};

/// How far values may be from what they must be, relative to these, and be recognised: ports with a bug are, too.
const NEAR: f64 = 0.1;
/// How much further the next best must be.
const APART: f64 = 3.0;

/// A guess, and what of it is not sure.
#[derive(Clone, Debug)]
pub(crate) struct Guess {
    /// The map.
    pub(crate) map: Map,
    /// Tensors of which it is not sure, as the map names them.
    pub(crate) unsure: Vec<String>,
}

/// What a group of tensors may be.
struct Candidate {
    ours: String,
    axes: Option<String>,
    part: Option<[usize; 2]>,
    /// Relative distance of its values from what they must be.
    distance: f64,
    /// How many words of the names agree.
    words: usize,
    /// Its place in the order of execution.
    rank: usize,
}

impl Guess {
    /// The map as a file to keep, with what is not sure as a comment.
    pub(crate) fn to_toml(&self) -> String {
        let unsure: String = self.unsure.iter().map(|name| format!("# not sure: {name}\n")).collect();
        format!("{unsure}{}", self.map.to_toml())
    }
}

/// A map for the names of a dump, where the token ids are known and something is recognised.
pub(crate) fn names(dump: &Dump, subject: &Subject, case: &Case) -> Option<Guess> {
    let expected = expected(subject, case).ok()?;
    let layers = subject.architecture().layers;
    let mut found: Vec<(Group, Vec<Candidate>)> = groups(dump, layers)
        .into_iter()
        .map(|group| {
            let candidates = of_group(&group, dump, subject, case, &expected);
            (group, candidates)
        })
        .collect();
    // Whatever is nearest chooses first.
    let best = |candidates: &[Candidate]| candidates.iter().map(|c| c.distance).fold(f64::INFINITY, f64::min);
    found.sort_by(|(_, a), (_, b)| best(a).total_cmp(&best(b)));
    let (mut taken, mut entries, mut unsure) = (BTreeSet::new(), Vec::new(), Vec::new());
    for (group, candidates) in found {
        let Some((first, is_sure)) = chosen(candidates, &taken) else { continue };
        if !is_sure {
            unsure.push(group.template.clone());
        }
        taken.insert(first.ours.clone());
        entries.extend(written(&group, &first));
    }
    entries.sort_by(|a: &Entry, b: &Entry| a.theirs.cmp(&b.theirs));
    let about = "guessed by values, then by words and shapes".to_owned();
    (!entries.is_empty()).then(|| Guess { map: Map { about, entries, ..Map::default() }, unsure })
}

/// What a group is most likely, of what no other group is, and whether that is sure; none where nothing speaks for it.
fn chosen(mut candidates: Vec<Candidate>, taken: &BTreeSet<String>) -> Option<(Candidate, bool)> {
    let is_near = |candidate: &Candidate| candidate.distance <= NEAR;
    let nearest = candidates.iter().min_by(|a, b| a.distance.total_cmp(&b.distance));
    let is_double = nearest.is_some_and(|nearest| is_near(nearest) && taken.contains(&nearest.ours));
    candidates.retain(|candidate| !taken.contains(&candidate.ours));
    if is_double && !candidates.iter().any(is_near) {
        return None;
    }
    candidates.sort_by(|a, b| {
        let by_words = b.words.cmp(&a.words).then(a.rank.cmp(&b.rank));
        match (is_near(a), is_near(b)) {
            (true, true) if is_same(a.distance, b.distance) => by_words,
            (true, true) => a.distance.total_cmp(&b.distance),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => by_words.then(a.distance.total_cmp(&b.distance)),
        }
    });
    let mut candidates = candidates.into_iter();
    let first = candidates.next()?;
    let next = candidates.find(|other| !is_same(other.distance, first.distance));
    let is_apart = next.is_none_or(|next| next.distance > APART * first.distance);
    let is_sure = is_near(&first) && is_apart;
    (is_sure || first.words > 0).then_some((first, is_sure))
}

/// Distances of tensors that hold the same values.
fn is_same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 || (a < 1e-4 && b < 1e-4 && a <= 2.0 * b && b <= 2.0 * a)
}

/// A fused tensor is three activations.
fn written(group: &Group, candidate: &Candidate) -> Vec<Entry> {
    let entry = |ours: &str, part: Option<[usize; 2]>| Entry {
        theirs: group.template.clone(),
        ours: ours.to_owned(),
        axes: candidate.axes.clone(),
        part,
        ..Entry::default()
    };
    match (candidate.part, candidate.ours.strip_suffix(".q")) {
        (Some([0, 3]), Some(attention)) => ["q", "k", "v"]
            .iter()
            .enumerate()
            .map(|(index, name)| entry(&format!("{attention}.{name}"), Some([index, 3])))
            .collect(),
        _ => vec![entry(&candidate.ours, candidate.part)],
    }
}

/// What the model gives in the first step.
fn expected(subject: &Subject, case: &Case) -> Result<BTreeMap<String, Array>, ApplyError> {
    let mut expected = BTreeMap::new();
    let mut chain = Chain::new(&subject.model, Exact)
        .map_err(|circle| ApplyError::Inputs { name: "the graph".to_owned(), problem: circle.to_string() })?;
    if let Some(positions) = case.steps().next() {
        let step = Step { index: 0, batch: case.batch(), past: positions.start, new: positions.len() };
        chain.step(&scheduled(case, step), |node: &Node, value| {
            if let Operand::Floats(value) = value {
                expected.insert(node.name.clone(), value.clone());
            }
            Ok::<(), ApplyError>(())
        })?;
    }
    Ok(expected)
}

fn of_group(
    group: &Group,
    dump: &Dump,
    subject: &Subject,
    case: &Case,
    expected: &BTreeMap<String, Array>,
) -> Vec<Candidate> {
    let Some(theirs) = dump.tensors.get(&group.first) else { return Vec::new() };
    let graph = &subject.model.graph;
    let mut found = Vec::new();
    for (rank, activation) in graph.activations.iter().enumerate() {
        if activation.op.is_none() || activation.is_layered() != group.layer.is_some() {
            continue;
        }
        let layer = group.layer.unwrap_or(0);
        let name = crate::template::filled(&activation.name, layer);
        let ours = TensorName::of_step(0, name.as_str());
        let (Some(due), Some(value)) = (due_shape(subject, case, &ours), expected.get(&name)) else {
            continue;
        };
        let words = words::in_common(&group.template, &activation.name);
        if let Some((axes, part, distance)) = fits(theirs, &due, value, subject, &activation.name) {
            found.push(Candidate { ours: activation.name.clone(), axes, part, distance, words, rank });
        }
    }
    found
}

type Fit = (Option<String>, Option<[usize; 2]>, f64);

/// The best layout of a tensor as an activation, if it has as many elements.
fn fits(theirs: &DumpTensor, due: &[Due], value: &Array, subject: &Subject, ours: &str) -> Option<Fit> {
    let elements = value.values.len();
    let sizes: Vec<usize> = due.iter().map(|(_, size)| *size).collect();
    let mut all: Vec<Fit> = Vec::new();
    if theirs.elements() == elements {
        for (axes, due) in candidates(due, theirs, subject) {
            let Ok(places) = axes.places(&due, &theirs.shape, &Ways::default()) else { continue };
            let is_plain = places.iter().enumerate().all(|(at, place)| at == *place);
            let written = (!is_plain).then(|| axes.to_string());
            all.extend(distance(theirs, &places, &sizes, value).map(|distance| (written, None, distance)));
        }
    } else if theirs.elements() == 3 * elements && ours.ends_with("attn.q") {
        for form in ["b s (p h d)", "b s (h p d)", "s (p h d)", "s (h p d)"] {
            let Ok(axes) = Axes::parse(form) else { continue };
            let ways = Ways { part: Some((0, 3)), ..Ways::default() };
            let Ok(places) = axes.places(due, &theirs.shape, &ways) else { continue };
            let found = distance(theirs, &places, &sizes, value);
            all.extend(found.map(|distance| (Some(form.to_owned()), Some([0, 3]), distance)));
        }
    }
    all.into_iter().reduce(|best, other| if other.2 < best.2 { other } else { best })
}

fn distance(theirs: &DumpTensor, places: &[usize], sizes: &[usize], value: &Array) -> Option<f64> {
    let found = gathered(theirs, places, sizes).ok()?.view().to_f64_lossy();
    let finite = || found.iter().zip(&value.values).filter(|(a, b)| a.is_finite() && b.is_finite());
    let apart: f64 = finite().map(|(a, b)| (a - b).powi(2)).sum();
    let size: f64 = finite().map(|(_, b)| b.powi(2)).sum();
    (size > 0.0).then(|| (apart / size).sqrt())
}
