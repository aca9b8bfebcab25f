//! A dump, judged.

mod case;
mod names;

use std::cell::OnceCell;
use std::collections::BTreeSet;

use capture::dump::{Dump, DumpDtype};
use capture::{Case, Precision};
use checkpoint_spec::{
    CaseEvidence, Part, PartFacts, PartResults, Setting, Traits, confidence, diagnose_part, judge_part,
};

use crate::bring::{Brought, Named};
use crate::exit::Problem;
use crate::layouts;
use crate::map::Map;
use crate::model::Subject;
use crate::presets;
use case::Given;
use names::{Understood, understand};

/// How the dump's names are understood.
#[derive(Clone, Debug, Default)]
pub enum Names {
    /// By whichever names fit best: the model's own, those of a preset, or what can be guessed.
    #[default]
    Any,
    /// By a map, with what it is called.
    Map(String, Map),
}

/// Where the token ids come from.
#[derive(Clone, Debug, Default)]
pub enum Tokens {
    /// From the dump, if it has them.
    #[default]
    Dump,
    /// From the user: rows of ids.
    Ids(Vec<Vec<i64>>),
    /// From a text, by the model's tokenizer.
    Text(String),
}

/// How a dump is to be judged.
#[derive(Clone, Debug, Default)]
pub struct CheckOptions {
    /// How its names are understood.
    pub names: Names,
    /// Where its token ids come from.
    pub tokens: Tokens,
    /// What the engine stores its results in; what the dump's dtypes say where none is given.
    pub precision: Option<Precision>,
    /// Whether to measure the error of the whole run, too; where that is soon done, if nothing is said.
    pub chained: Option<bool>,
}

/// Products of a forward pass that is run nine times without a word, in a second or two.
const SOON: usize = 200_000_000;

/// Judges a dump under its model.
///
/// # Errors
/// If names, token ids or shapes of the dump make no forward pass of the model.
pub fn check(
    name: &str,
    dump: &Dump,
    subject: &Subject,
    options: &CheckOptions,
) -> Result<PartResults, Problem> {
    let (presets, guess) = (presets::all(), OnceCell::new());
    let mut understood = understand(dump, subject, options, &presets, &guess)?;
    let given = case::of(dump, &mut understood.named, subject, &options.tokens)?;
    let mut brought = Brought::over(dump, (&understood.named, &understood.spare), subject, &given.case);
    brought.unused.retain(|unused| !given.used.contains(&unused.name));
    let precision = options.precision.unwrap_or_else(|| precision_of(dump, &understood.named));
    let label = format!("dump@{precision}");
    let traits = Traits { preallocated_cache: false, tokenizer: false };
    let confidence = confidence(&subject.specs, subject.architecture(), &[&given.case]);
    let setting = Setting {
        specs: &subject.specs,
        architecture: subject.architecture(),
        model: Some(&subject.model),
        traits,
        confidence: confidence.map_err(Problem::internal)?,
        subject: &label,
    };
    let none = BTreeSet::new();
    let evidence = CaseEvidence {
        case: &given.case,
        subject: Some(&brought.capture),
        not_contiguous: &none,
        references: &[],
    };
    let part = Part::new(&setting, &evidence, given.known).map_err(Problem::internal)?;
    let part = part.ok_or_else(|| Problem::Internal("a dump is there".to_owned()))?;
    let facts = facts(name, dump, subject, (&understood, &given, &brought), precision);
    let mut results = judge_part(&subject.specs, &facts, &part.assay()).map_err(Problem::internal)?;
    results.layouts = layouts::recognise(subject, &setting, &evidence, given.known, dump, &brought, &results);
    results.diagnoses = diagnose_part(&part, &results);
    if options.chained.unwrap_or_else(|| is_small(subject, &given.case)) {
        results.growth = part.growth().map_err(Problem::internal)?;
    }
    Ok(results)
}

/// What is true of a dump beside its numbers.
fn facts(
    name: &str,
    dump: &Dump,
    subject: &Subject,
    (understood, given, brought): (&Understood<'_>, &Given, &Brought),
    precision: Precision,
) -> PartFacts {
    let mut notes = dump.notes.clone();
    notes.extend(given.notes.clone());
    notes.extend(shortened(brought.notes.clone()));
    notes.extend(notes_on_precision(dump, &understood.named, precision));
    PartFacts {
        model: subject.name.clone(),
        architecture: subject.architecture().clone(),
        dump: name.to_owned(),
        names: understood.how.clone(),
        precision,
        case: (given.case.clone(), "what was dumped".to_owned()),
        unused: brought.unused.clone(),
        notes,
        map: understood.guessed.clone(),
    }
}

/// Whether nine runs of it are soon done.
fn is_small(subject: &Subject, case: &Case) -> bool {
    let weights = subject.specs.family.weights(subject.architecture()).unwrap_or_default();
    let weights: usize = weights.values().map(|shape| shape.iter().product::<usize>()).sum();
    weights.saturating_mul(case.tokens()).saturating_mul(case.batch()) <= SOON
}

/// The coarsest format that activations were dumped in.
fn precision_of(dump: &Dump, named: &Named<'_>) -> Precision {
    let of = |dtype: DumpDtype| match dtype {
        DumpDtype::Bf16 => Some(Precision::Bf16),
        DumpDtype::F16 => Some(Precision::F16),
        DumpDtype::F32 => Some(Precision::F32),
        DumpDtype::F64 => Some(Precision::F64),
        _ => None,
    };
    let found = named.values().filter_map(|(tensor, _)| of(dump.tensors.get(*tensor)?.dtype));
    found.max_by(|a, b| a.unit().total_cmp(&b.unit())).unwrap_or(Precision::F32)
}

fn notes_on_precision(dump: &Dump, named: &Named<'_>, precision: Precision) -> Option<String> {
    let dtypes: BTreeSet<DumpDtype> = named
        .values()
        .filter_map(|(tensor, _)| Some(dump.tensors.get(*tensor)?.dtype))
        .filter(|dtype| dtype.is_float())
        .collect();
    if dtypes.len() > 1 {
        let names: Vec<&str> = dtypes.iter().map(|dtype| dtype.name()).collect();
        return Some(format!(
            "the dump has {}; all of it is judged as {precision} (--precision says otherwise)",
            names.join(" and ")
        ));
    }
    (precision == Precision::F64).then(|| "the dump is f64 and is held to the bounds of f32".to_owned())
}

/// One sentence for many of a kind.
fn shortened(mut notes: Vec<String>) -> Vec<String> {
    let more = notes.len().saturating_sub(1);
    notes.truncate(1);
    if let (Some(first), true) = (notes.first_mut(), more > 0) {
        first.push_str(&format!(" (and {more} more likewise)"));
    }
    notes
}
