//! The cases of each law, and which parts of their captures must agree. From the architecture alone.

use std::ops::Range;

use capture::Case;

use crate::Architecture;
use crate::spec::LawId;

/// Rows of the case that laws are derived from.
const ROWS: usize = 2;
/// Tokens of each of its rows, where the context has room for them and what is generated.
const TOKENS: usize = 6;
/// Tokens generated after them.
const GENERATED: usize = 3;

/// What one law asks of an implementation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LawPlan {
    /// What must agree.
    pub(crate) agreements: Vec<Agreement>,
    /// A case that must be refused with an error that names the context limit.
    pub(crate) refused: Option<Case>,
}

/// A part of one case's capture that must be found in another's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// The case that is held to the law.
    pub(crate) actual: Case,
    /// The case, of one step, that says what must be found.
    pub(crate) expected: Case,
    /// The rows of the first that are looked at.
    pub(crate) actual_rows: Range<usize>,
    /// The rows of the second.
    pub(crate) expected_rows: Range<usize>,
    /// The positions that are looked at, as queries and as keys; empty where only what is generated is.
    pub(crate) positions: Range<usize>,
}

/// What a law asks of a model; nothing where the context has no room for it.
pub(crate) fn law_plan(law: LawId, architecture: &Architecture) -> LawPlan {
    let Some(base) = base(architecture) else { return LawPlan::default() };
    if law == LawId::PastTheLimit {
        return LawPlan { refused: Some(grown(&base, architecture, 1)), ..LawPlan::default() };
    }
    LawPlan { agreements: agreements(law, &base, architecture), refused: None }
}

fn agreements(law: LawId, base: &Case, architecture: &Architecture) -> Vec<Agreement> {
    let tokens = base.tokens();
    match law {
        LawId::PrefillIsDecodes => vec![whole(base, scheduled(base, "decodes", vec![1; tokens]))],
        LawId::PrefillSplits => {
            let split = |at: usize| scheduled(base, &format!("split-{at}"), vec![at, tokens - at]);
            (1..tokens).map(|at| whole(base, split(at))).collect()
        }
        LawId::RowsAreIndependent => (0..ROWS)
            .map(|row| {
                let other = changed(base, &format!("beside-row-{row}"), architecture, |at, _| at != row);
                Agreement { actual_rows: row..row + 1, expected_rows: row..row + 1, ..whole(base, other) }
            })
            .collect(),
        LawId::BatchIsSingles => (0..ROWS)
            .map(|row| {
                let token_ids = vec![base.token_ids[row].clone()];
                let single = Case { token_ids, ..named(base, &format!("row-{row}")) };
                Agreement { expected_rows: row..row + 1, ..whole(base, single) }
            })
            .collect(),
        LawId::Causality => (1..tokens)
            .map(|position| {
                let name = format!("changed-{position}");
                let other = changed(base, &name, architecture, |_, at| at == position);
                Agreement { positions: 0..position, ..whole(base, other) }
            })
            .collect(),
        LawId::GenerationTwice => {
            vec![whole(base, Case { generate: base.generate, ..named(base, "again") })]
        }
        LawId::GrowthToTheLimit => {
            vec![Agreement { positions: 0..0, ..whole(base, grown(base, architecture, 0)) }]
        }
        LawId::PastTheLimit => Vec::new(),
    }
}

fn whole(base: &Case, actual: Case) -> Agreement {
    Agreement {
        actual_rows: 0..actual.batch(),
        expected_rows: 0..actual.batch(),
        positions: 0..base.tokens(),
        expected: base.clone(),
        actual,
    }
}

/// Two rows of token ids that follow from nothing but the vocabulary, in one step. Ids of neighbours differ, so that a
/// token taken from another position or row is another token.
fn base(architecture: &Architecture) -> Option<Case> {
    let tokens = TOKENS.min((context(architecture) + 1).saturating_sub(GENERATED));
    let vocabulary = vocabulary(architecture);
    let id = |row: usize, position: usize| (row * 7919 + position * 613 + 11) % vocabulary;
    let row = |row| (0..tokens).map(|position| i64::try_from(id(row, position)).unwrap_or(0)).collect();
    (tokens >= 2 && vocabulary >= 2).then(|| Case {
        id: "law-base".to_owned(),
        token_ids: (0..ROWS).map(row).collect(),
        texts: None,
        schedule: vec![tokens],
        generate: GENERATED,
        forced: None,
    })
}

/// The case under another name, which generates nothing.
fn named(base: &Case, name: &str) -> Case {
    Case { id: format!("law-{name}"), generate: 0, ..base.clone() }
}

fn scheduled(base: &Case, name: &str, schedule: Vec<usize>) -> Case {
    Case { schedule, ..named(base, name) }
}

/// The next token of the vocabulary wherever `here` says so.
fn changed(
    base: &Case,
    name: &str,
    architecture: &Architecture,
    here: impl Fn(usize, usize) -> bool,
) -> Case {
    let vocabulary = i64::try_from(vocabulary(architecture)).unwrap_or(i64::MAX);
    let mut case = named(base, name);
    for (row, ids) in case.token_ids.iter_mut().enumerate() {
        let changed = ids.iter_mut().enumerate().filter(|(position, _)| here(row, *position));
        changed.for_each(|(_, id)| *id = (*id + 1) % vocabulary);
    }
    case
}

/// The first row alone, which generates until the context is full and `beyond` tokens more. The last generated token
/// is not fed back.
fn grown(base: &Case, architecture: &Architecture, beyond: usize) -> Case {
    let generate = context(architecture) + 1 - base.tokens() + beyond;
    let name = if beyond == 0 { "to-the-limit" } else { "past-the-limit" };
    Case { token_ids: vec![base.token_ids[0].clone()], generate, ..named(base, name) }
}

pub(crate) fn context(architecture: &Architecture) -> usize {
    architecture.sizes.get("C").copied().unwrap_or_default()
}

fn vocabulary(architecture: &Architecture) -> usize {
    architecture.sizes.get("V").copied().unwrap_or_default()
}
