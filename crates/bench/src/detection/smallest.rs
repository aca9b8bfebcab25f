//! The smallest bug that each rule sees: a bug is made smaller by half until the rule no longer sees it.

use anyhow::Result;
use capture::Tensor;
use checkpoint_spec::Required;
use graph::{ArrayChange, Change, ElementChange, Operation, SliceChange, WeightChange, Which, WhichElement};
use oracle::{Observed, Operand};
use rayon::prelude::*;
use serde::Serialize;

use super::ground::Ground;
use super::rules::{PerRule, Rule, Site};

/// The factor that is halved.
const FIRST: f64 = 0.1;
/// Halvings after which nothing is left of a bug in f32.
const HALVINGS: usize = 30;
/// The activations of each checkpoint that are tried.
const ACTIVATIONS: [&str; 14] = [
    "embd",
    "h.{l}.ln_1",
    "h.{l}.attn.q",
    "h.{l}.attn.v",
    "h.{l}.attn.scores",
    "h.{l}.attn.probs",
    "h.{l}.attn.context",
    "h.{l}.attn.out",
    "h.{l}.mlp.fc",
    "h.{l}.mlp.act",
    "h.{l}.mlp.out",
    "h.{l}.out",
    "logits",
    "probs.t1",
];

/// What is done to a result, `f` being the factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bug {
    /// Everything is multiplied by `1 + f`.
    Scale,
    /// One column, or one head of scores and probabilities, is multiplied by `1 + f`.
    Column,
    /// `f` times the root mean square of all elements is added to each.
    Offset,
    /// One element of median size is multiplied by `1 + f`.
    Element,
    /// One weight of median size is multiplied by `1 + f`.
    Weight,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Scale, Self::Column, Self::Offset, Self::Element, Self::Weight];
}

/// The smallest factor at which a rule sees a bug.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Smallest {
    /// It, and every larger one that was tried.
    Factor(f64),
    /// Not even the largest.
    Unseen,
    /// The rule refuses the correct result already, so that it says nothing of the bug.
    RefusesCorrect,
}

/// One activation and one bug.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Id of the checkpoint.
    pub checkpoint: String,
    /// The activation, `{l}` standing for the layers tried.
    pub activation: String,
    /// The bug.
    pub bug: Bug,
    /// For each rule, where it is worst among the layers tried.
    pub smallest: PerRule<Smallest>,
}

/// For each of the main activations, bug by bug: in the first, a middle and the last layer.
pub(super) fn table(ground: &Ground<'_>) -> Result<Vec<Row>> {
    let layers = ground.model.architecture.layers;
    let tried = [0, layers / 2, layers - 1];
    let is_tried = |required: &&&Required| {
        required.name.step == Some(0) && required.layer.is_none_or(|layer| tried.contains(&layer))
    };
    let rows: Result<Vec<Vec<Row>>> = ACTIVATIONS
        .par_iter()
        .map(|template| {
            let sites: Vec<Site<'_>> = ground
                .required
                .iter()
                .filter(is_tried)
                .filter(|required| ground.specs.of(required).name == *template)
                .filter_map(|required| Site::open(ground, required, &ground.observed).transpose())
                .collect::<Result<_>>()?;
            Bug::ALL.iter().filter_map(|&bug| row(ground, &sites, bug).transpose()).collect()
        })
        .collect();
    Ok(rows?.into_iter().flatten().collect())
}

/// None where the bug cannot be: a weight where there is none.
fn row(ground: &Ground<'_>, sites: &[Site<'_>], bug: Bug) -> Result<Option<Row>> {
    let mut row: Option<Row> = None;
    for site in sites {
        let Some(direction) = direction(ground, site, bug)? else { return Ok(None) };
        let found = search(ground, site, &direction)?;
        match &mut row {
            Some(row) => {
                row.smallest.iter_mut().zip(found).for_each(|(worst, found)| *worst = worst.or_worse(found));
            }
            None => {
                row = Some(Row {
                    checkpoint: site.checkpoint.to_owned(),
                    activation: site.activation.name.clone(),
                    bug,
                    smallest: found,
                });
            }
        }
    }
    Ok(row)
}

fn search(ground: &Ground<'_>, site: &Site<'_>, direction: &[f64]) -> Result<PerRule<Smallest>> {
    let correct = ground.observed.require(&site.required.name)?.view().to_f32()?;
    let look = |factor: f64| -> Result<PerRule<bool>> {
        let ill: Vec<f32> =
            correct.iter().zip(direction).map(|(&y, d)| (f64::from(y) + factor * d) as f32).collect();
        Ok(site.look(&Tensor::from_f32(site.required.shape.dimensions(), &ill)?)?.refused)
    };
    let refuses_correct = look(0.0)?;
    let found = smallest_seen(look)?;
    Ok(std::array::from_fn(|rule| match (refuses_correct[rule], found[rule]) {
        (true, _) => Smallest::RefusesCorrect,
        (false, Some(factor)) => Smallest::Factor(factor),
        (false, None) => Smallest::Unseen,
    }))
}

/// Halves the factor until nobody sees the bug any more; for each rule the last factor before it first did not.
fn smallest_seen<const N: usize>(mut sees: impl FnMut(f64) -> Result<[bool; N]>) -> Result<[Option<f64>; N]> {
    let (mut smallest, mut looking, mut factor) = ([None; N], [true; N], FIRST);
    for _ in 0..=HALVINGS {
        let seen = sees(factor)?;
        for rule in 0..N {
            looking[rule] &= seen[rule];
            if looking[rule] {
                smallest[rule] = Some(factor);
            }
        }
        if !looking.contains(&true) {
            break;
        }
        factor /= 2.0;
    }
    Ok(smallest)
}

impl Smallest {
    /// The one that says less for the rule.
    pub fn or_worse(self, other: Self) -> Self {
        match (self, other) {
            (Self::Factor(a), Self::Factor(b)) => Self::Factor(a.max(b)),
            (Self::RefusesCorrect, _) | (_, Self::RefusesCorrect) => Self::RefusesCorrect,
            _ => Self::Unseen,
        }
    }

    /// Of two rules that are asked together: either sees it.
    pub fn or_better(self, other: Self) -> Self {
        match (self, other) {
            (Self::Factor(a), Self::Factor(b)) => Self::Factor(a.min(b)),
            (Self::RefusesCorrect, _) | (_, Self::RefusesCorrect) => Self::RefusesCorrect,
            (Self::Factor(seen), _) | (_, Self::Factor(seen)) => Self::Factor(seen),
            _ => Self::Unseen,
        }
    }
}

impl Row {
    /// What the rounding budget sees, on either count.
    pub fn budget(&self) -> Smallest {
        self.smallest[Rule::Elements.index()].or_better(self.smallest[Rule::Systematic.index()])
    }
}

/// What a bug of factor 1 adds to each element; each of them adds in proportion to its factor.
fn direction(ground: &Ground<'_>, site: &Site<'_>, bug: Bug) -> Result<Option<Vec<f64>>> {
    let Some(change) = change(site, bug) else { return Ok(None) };
    let (model, case) = (ground.model, &ground.carrier.case);
    let observed = Observed { model, case, source: &ground.observed, rules: ground.rules() };
    Ok(match observed.under(&site.required.name, [&change])? {
        Operand::Floats(found) => {
            Some(found.value.values.iter().zip(&site.expected).map(|(ill, right)| ill - right).collect())
        }
        Operand::Tokens(_) => None,
    })
}

/// The bug as a change of the activation; none where it cannot be, as a weight where there is no matrix.
fn change(site: &Site<'_>, bug: Bug) -> Option<Change> {
    let twice = ArrayChange::Scale(2.0);
    let one = |at, change| ArrayChange::Element(Box::new(ElementChange { at, change }));
    Some(match bug {
        Bug::Scale => Change::Output(twice),
        Bug::Column => Change::Output(in_column(&site.activation.shape, twice)),
        Bug::Offset => Change::Output(ArrayChange::Offset(1.0)),
        Bug::Element => Change::Output(one(WhichElement::Median, twice)),
        Bug::Weight => {
            let Some(Operation::Linear { .. }) = site.activation.op else { return None };
            let change = slice(1, Which::Middle, one(WhichElement::Median, twice));
            Change::Weight(WeightChange { of: "weight".to_owned(), change, stored: false })
        }
    })
}

/// A change of the column in the middle, of heads side by side, or of the head in the middle.
fn in_column(shape: &[String], change: ArrayChange) -> ArrayChange {
    let axis = |symbol: &str| shape.iter().rev().zip(1..).find(|(found, _)| *found == symbol);
    match (axis("H"), axis("Dh")) {
        (Some(_), Some(_)) => slice(-2, Which::Middle, slice(-1, Which::First, change)),
        (Some((_, back)), None) => slice(-back, Which::Middle, change),
        _ => slice(-1, Which::Middle, change),
    }
}

fn slice(axis: i32, at: Which, change: ArrayChange) -> ArrayChange {
    ArrayChange::Slice(Box::new(SliceChange { axis, at, change }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_is_halved_until_the_bug_is_no_longer_seen() {
        let mut tried = Vec::new();
        let found = smallest_seen(|factor| {
            tried.push(factor);
            Ok([factor >= 0.02, factor >= 0.2, factor >= 0.1, (0.03..0.06).contains(&factor)])
        });
        assert_eq!(found.unwrap(), [Some(0.025), None, Some(0.1), None]);
        assert_eq!(tried, [0.1, 0.05, 0.025, 0.0125]);
    }

    #[test]
    fn what_is_always_seen_ends_the_search() {
        let found = smallest_seen(|_| Ok([true])).unwrap();
        assert!(found[0].is_some_and(|factor| factor < 1e-9));
    }

    #[test]
    fn worse_and_better() {
        use Smallest::{Factor, RefusesCorrect, Unseen};
        assert_eq!(Factor(0.1).or_worse(Factor(0.2)), Factor(0.2));
        assert_eq!(Factor(0.1).or_worse(Unseen), Unseen);
        assert_eq!(Unseen.or_worse(RefusesCorrect), RefusesCorrect);
        assert_eq!(Factor(0.1).or_better(Factor(0.2)), Factor(0.1));
        assert_eq!(Unseen.or_better(Factor(0.2)), Factor(0.2));
        assert_eq!(Factor(0.1).or_better(RefusesCorrect), RefusesCorrect);
    }
}
