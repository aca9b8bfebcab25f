//! Which rule sees which of the bugs with names, and where: each is put into a correct run, what follows is computed from it
//! by correct components, and everything is judged from its own inputs.

use anyhow::Result;
use capture::{Capture, TensorName};
use checkpoint_spec::{Measured, Required};
use rayon::prelude::*;
use serde::Serialize;

use super::faults::Fault;
use super::ground::Ground;
use super::rules::{Rule, Sight, Site};

/// What became of one bug at one place.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What is wrong.
    pub bug: String,
    /// Where.
    pub place: String,
    /// Id of the checkpoint at which it sits.
    pub checkpoint: String,
    /// What the rounding budget made of it.
    pub budget: Budget,
    /// What is refused beyond the checkpoint where it sits: right code, accused for what it was given.
    pub accused: Vec<String>,
    /// Whether any activation shows it to the spec's ceiling and to the peers, in the order of [`Rule::OTHERS`].
    pub others: [bool; Rule::OTHERS.len()],
}

/// What the rounding budget made of a bug.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// It is refused.
    Seen(First),
    /// Results change, and stay within the budget: the largest share of it that is used.
    Unseen(Measured),
    /// No result changes: on this model it is no bug.
    ChangesNothing,
}

/// The first activation, in execution order, that the rounding budget refuses.
#[derive(Clone, Debug, Serialize)]
pub struct First {
    /// Id of its checkpoint.
    pub checkpoint: String,
    /// The activation.
    pub activation: String,
    /// The largest share of its budget that an element uses.
    pub elements: Measured,
    /// The largest share of what systematic error may be.
    pub systematic: Measured,
}

/// What the budget says of the correct implementation.
#[derive(Clone, Debug, Serialize)]
pub struct Correct {
    /// The largest share of a budget that an element uses.
    pub elements: Measured,
    /// Where.
    pub elements_at: String,
    /// The largest share of what systematic error may be.
    pub systematic: Measured,
    /// Where.
    pub systematic_at: String,
    /// Activations that are refused.
    pub refused: Vec<String>,
    /// Activations refused by the spec's ceiling and by the peers, in the order of [`Rule::OTHERS`].
    pub refused_by_others: [u64; Rule::OTHERS.len()],
}

/// What the rules say of what was observed.
pub(super) fn correct(ground: &Ground<'_>) -> Result<Correct> {
    let mut correct = Correct {
        elements: 0.0.into(),
        elements_at: String::new(),
        systematic: 0.0.into(),
        systematic_at: String::new(),
        refused: Vec::new(),
        refused_by_others: [0; Rule::OTHERS.len()],
    };
    let sights = seen(ground, &ground.observed, |_| true)?;
    for (required, _, sight) in &sights {
        let name = required.name.to_string();
        if sight.seen_by_budget() {
            correct.refused.push(name.clone());
        }
        worse(&mut correct.elements, &mut correct.elements_at, sight.elements, &name);
        worse(&mut correct.systematic, &mut correct.systematic_at, sight.systematic_used(), &name);
        for (count, rule) in correct.refused_by_others.iter_mut().zip(Rule::OTHERS) {
            *count += u64::from(sight.refused[rule.index()]);
        }
    }
    Ok(correct)
}

/// What the rules say of all activations of a run that are wanted and rounded, in execution order.
fn seen<'a>(
    ground: &'a Ground<'_>,
    run: &Capture,
    wanted: impl Fn(&TensorName) -> bool + Sync,
) -> Result<Vec<(&'a Required, &'a str, Sight)>> {
    let look = |&required: &&'a Required| {
        let site = Site::open(ground, required, run)?;
        let sight =
            |site: Site<'a>| Ok((required, site.checkpoint, site.look(run.require(&required.name)?)?));
        site.map(sight).transpose()
    };
    let wanted = ground.required.par_iter().filter(|required| wanted(&required.name));
    let looked: Vec<Result<Option<_>>> = wanted.map(look).collect();
    looked.into_iter().filter_map(Result::transpose).collect()
}

fn worse(figure: &mut Measured, place: &mut String, found: f64, name: &str) {
    if figure.or_worse(found.into()) != *figure {
        *figure = found.into();
        name.clone_into(place);
    }
}

/// What the rules say of a fault.
pub(super) fn examine(ground: &Ground<'_>, fault: &Fault) -> Result<Row> {
    let faulty = ground.mutated(fault.nodes.clone())?;
    let changed = |name: &TensorName| faulty.tensors.get(name) != ground.run.tensors.get(name);
    let sights = seen(ground, &faulty, changed)?;
    let (mut first, mut used, mut accused) = (None, Measured(0.0), Vec::new());
    let mut others = [false; Rule::OTHERS.len()];
    for (required, checkpoint, sight) in &sights {
        let name = &required.name;
        if *checkpoint == fault.checkpoint.as_str() {
            used = used.or_worse(sight.elements.into()).or_worse(sight.systematic_used().into());
            let Some(site) = Site::open(ground, required, &ground.run)? else { continue };
            let as_it_was = site.look(ground.run.require(name)?)?;
            // Who refuses the correct result too has seen nothing.
            let newly = |rule: Rule| sight.refused[rule.index()] && !as_it_was.refused[rule.index()];
            others.iter_mut().zip(Rule::OTHERS).for_each(|(seen, rule)| *seen |= newly(rule));
        } else if sight.seen_by_budget() {
            accused.push(name.to_string());
        }
        if first.is_none() && sight.seen_by_budget() {
            first = Some(seen_at(checkpoint, name, sight));
        }
    }
    Ok(Row {
        bug: fault.bug.clone(),
        place: fault.place.clone(),
        checkpoint: fault.checkpoint.clone(),
        budget: match first {
            Some(first) => Budget::Seen(first),
            None if sights.is_empty() => Budget::ChangesNothing,
            None => Budget::Unseen(used),
        },
        accused,
        others,
    })
}

fn seen_at(checkpoint: &str, name: &TensorName, sight: &Sight) -> First {
    First {
        checkpoint: checkpoint.to_owned(),
        activation: name.activation.clone(),
        elements: sight.elements.into(),
        systematic: sight.systematic_used().into(),
    }
}

impl Row {
    /// Whether it is a bug on this model and case.
    pub(super) fn changes_something(&self) -> bool {
        !matches!(self.budget, Budget::ChangesNothing)
    }

    /// Whether the rounding budget sees it, first at the checkpoint where it sits.
    pub(super) fn is_seen_where_it_sits(&self) -> bool {
        matches!(&self.budget, Budget::Seen(first) if first.checkpoint == self.checkpoint)
    }
}
