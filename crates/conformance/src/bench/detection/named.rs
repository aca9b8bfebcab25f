//! Which rule sees which of the bugs with names, and where.

use anyhow::Result;
use capture::{Capture, TensorName};
use checkpoint_spec::Measured;
use serde::Serialize;

use super::faults::{Fault, Injection};
use super::ground::Ground;
use super::rules::{Rule, Sight};

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

/// What the rules say of the Rust GPT-2 as it is.
pub(super) fn correct(ground: &Ground<'_>) -> Result<Correct> {
    let mut correct = Correct {
        elements: 0.0.into(),
        elements_at: String::new(),
        systematic: 0.0.into(),
        systematic_at: String::new(),
        refused: Vec::new(),
        refused_by_others: [0; Rule::OTHERS.len()],
    };
    for required in &ground.required {
        let Some(site) = ground.site(required)? else { continue };
        let sight = site.look(ground.correct(&required.name)?)?;
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

fn worse(figure: &mut Measured, place: &mut String, found: f64, name: &str) {
    if figure.or_worse(found.into()) != *figure {
        *figure = found.into();
        name.clone_into(place);
    }
}

/// What the rules say of a fault.
pub(super) fn examine(ground: &Ground<'_>, fault: &Fault) -> Result<Row> {
    let faulty = inject(ground, fault)?;
    let (mut first, mut used, mut changed) = (None, Measured(0.0), false);
    let mut others = [false; Rule::OTHERS.len()];
    for required in &ground.required {
        let name = &required.name;
        let (actual, correct) = (faulty.require(name)?, ground.correct(name)?);
        if actual == correct {
            continue;
        }
        let Some(site) = ground.site(required)? else { continue };
        changed = true;
        let (sight, as_it_was) = (site.look(actual)?, site.look(correct)?);
        // Who refuses the correct result too has seen nothing.
        let newly = |rule: Rule| sight.refused[rule.index()] && !as_it_was.refused[rule.index()];
        others.iter_mut().zip(Rule::OTHERS).for_each(|(seen, rule)| *seen |= newly(rule));
        used = used.or_worse(sight.elements.into()).or_worse(sight.systematic_used().into());
        if first.is_none() && sight.seen_by_budget() {
            first = Some(seen_at(site.checkpoint, name, &sight));
        }
    }
    Ok(Row {
        bug: fault.bug.to_owned(),
        place: fault.place.clone(),
        checkpoint: fault.checkpoint.to_owned(),
        budget: match first {
            Some(first) => Budget::Seen(first),
            None if changed => Budget::Unseen(used),
            None => Budget::ChangesNothing,
        },
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

fn inject(ground: &Ground<'_>, fault: &Fault) -> Result<Capture> {
    match &fault.injection {
        Injection::Model(change) => {
            let mut model = ground.model.clone();
            change(&mut model);
            Ok(model.replay(&ground.case, &ground.inputs, &|_| true)?)
        }
        Injection::Outputs(compute) => {
            let mut capture = ground.correct.clone();
            capture.tensors.extend(compute(ground)?);
            Ok(capture)
        }
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
