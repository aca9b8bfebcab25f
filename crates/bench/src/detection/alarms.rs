//! False alarms: whole gates over correct implementations, counted by their exit code.

use std::path::Path;

use anyhow::{Context, Result};
use capture::Precision;
use checkpoint_spec::{Extent, LawNumbers, Measured, Mode, Verdict};
use gpt2::synthetic;
use serde::Serialize;

use super::configurations::{CONFIGURATIONS, Configuration};
use conformance::source::{self, ModelSource};
use harness::events::Progress;
use harness::implementation::{ImplementationName, Means};
use harness::model::Model;
use harness::request::Request;
use harness::run::{self, Outcome};

/// One gate over one correct implementation.
#[derive(Clone, Debug, Serialize)]
pub struct Gate {
    /// What is awkward about the model.
    pub configuration: String,
    /// The implementation.
    pub subject: String,
    /// What the command would have ended with.
    pub exit_code: u8,
    /// The largest share of its budget that an element used.
    pub elements: Measured,
    /// The largest share of what systematic error may be.
    pub systematic: Measured,
    /// The largest share of a classic ceiling that a chained error took.
    pub ceiling: Measured,
    /// Comparisons that were made.
    pub comparisons: u64,
    /// What was said, where the exit code is not 0.
    pub said: Vec<String>,
}

/// Runs all gates whose configuration or subject has `only` in its name.
pub(super) fn gates(only: &str, means: &Means, progress: &Progress, work: &Path) -> Result<Vec<Gate>> {
    let mut gates = Vec::new();
    for configuration in &CONFIGURATIONS {
        let wanted = |subject: &str| format!("{} {subject}", configuration.name).contains(only);
        for subject in configuration.subjects().iter().filter(|subject| wanted(subject)) {
            means.interrupt.check()?;
            let model = open(configuration, means, progress, work)?;
            let found = gate(configuration, subject, model, means);
            let found = found.with_context(|| format!("{}, {subject}", configuration.name))?;
            progress.note(&format!(
                "{:34} {subject:8} exit {} elements {:.2}",
                configuration.name, found.exit_code, found.elements.0
            ));
            gates.push(found);
        }
    }
    Ok(gates)
}

fn open(configuration: &Configuration, means: &Means, progress: &Progress, work: &Path) -> Result<Model> {
    let Some(sizes) = configuration.sizes else { return ModelSource::Bundled.open(means, progress) };
    let Some((stored, alter)) = configuration.weights else {
        return ModelSource::Synthetic(sizes.to_owned()).open(means, progress);
    };
    let folder = work.join(configuration.name.replace(' ', "-"));
    if !folder.is_dir() {
        synthetic::write_altered(&folder, &sizes.parse()?, stored, &alter)?;
    }
    source::open(configuration.name.to_owned(), &folder)
}

/// What `cargo xtask checkpoint all --subject SUBJECT` does.
fn gate(configuration: &Configuration, subject: &str, model: Model, means: &Means) -> Result<Gate> {
    let extent = if configuration.faults { Extent::Fast } else { Extent::None };
    let cases: Vec<String> = configuration.cases.iter().map(|case| (*case).to_owned()).collect();
    let subject = ImplementationName { name: subject.to_owned(), precision: Precision::F32 };
    let request = Request::plain(subject.clone(), model, &cases, means, extent)?;
    let outcome = run::run(&request, means, &Progress::unheard())?;
    let exit_code = report::exit_code(&outcome.results, false);
    let (elements, systematic, ceiling) = used(&outcome, &subject.to_string());
    let comparisons = outcome.assays.iter().map(|assay| assay.observations.len() as u64).sum();
    Ok(Gate {
        configuration: configuration.name.to_owned(),
        subject: subject.name,
        exit_code,
        elements,
        systematic,
        ceiling,
        comparisons,
        said: if exit_code == 0 { Vec::new() } else { said(&outcome) },
    })
}

/// The largest shares, of elements, of systematic error and of the classic ceilings.
fn used(outcome: &Outcome, subject: &str) -> (Measured, Measured, Measured) {
    let (mut elements, mut systematic, mut ceiling) = (Measured(0.0), Measured(0.0), Measured(0.0));
    for assay in &outcome.assays {
        let budgets =
            assay.observations.iter().filter_map(|found| found.outcome.statistics()?.budget.as_ref());
        for budget in budgets {
            elements = elements.or_worse(budget.used);
            systematic = budget.systematic.iter().fold(systematic, |worst, found| worst.or_worse(found.used));
        }
        let chained = assay.measured.iter();
        for found in chained.filter(|found| found.implementation == subject && found.mode == Mode::Chained) {
            ceiling = found.outcome.statistics().map_or(ceiling, |numbers| ceiling.or_worse(numbers.used));
        }
    }
    (elements, systematic, ceiling)
}

/// What a refusal says for itself.
fn said(outcome: &Outcome) -> Vec<String> {
    let results = &outcome.results;
    let mut said: Vec<String> = report::conclusion(results).to_vec();
    said.extend(results.incidents.iter().map(|incident| format!("{incident:?}")));
    said.extend(results.first_divergence.iter().map(|first| format!("{first:?}")));
    let said_of =
        |what: &str, verdict: Verdict| (verdict.exit_code() != 0).then(|| format!("{what} {verdict:?}"));
    said.extend(said_of("quorum", results.quorum.verdict));
    said.extend(said_of("determinism", results.determinism.verdict));
    said.extend(said_of("laws", results.laws.verdict));
    let law_problem = |numbers: &LawNumbers| {
        let problem = numbers.problem.as_ref()?;
        Some(format!("{:?} of {}: {problem}", numbers.law, numbers.implementation))
    };
    said.extend(results.laws.numbers.iter().filter_map(law_problem));
    said.extend(results.faults.departures().map(|fault| format!("fault {} {:?}", fault.id, fault.word)));
    for checkpoint in results.checkpoints.iter().filter(|checkpoint| checkpoint.verdict.exit_code() != 0) {
        said.push(format!("checkpoint {} {:?}", checkpoint.id, checkpoint.verdict));
    }
    said
}
