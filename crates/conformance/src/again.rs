//! What only computing shows: that the captures of a bundle are what the implementations compute, and that its verdict
//! holds for inputs that nobody could prepare for.

use std::collections::BTreeMap;

use anyhow::Result;
use capture::Case;
use checkpoint_spec::registry::known;
use checkpoint_spec::{Extent, Results, fresh};
use harness::cases::PlannedCase;
use harness::exit::{CONFORMING, INVALID_EVIDENCE, STALE, usage};
use harness::implementation::{ImplementationName, Means};
use harness::materials::{cpu, model_files, toolchain};
use harness::model::Model;
use harness::request::Request;
use harness::run::run;
use proof_bundle::{CaptureEntry, Evidence, list_captures};

use crate::screen;
use crate::source::ModelSource;

/// Captures that are named when they differ.
const FEW: usize = 5;

/// What to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// The same cases.
    Rerun,
    /// The same cases with token ids that follow from a seed.
    Challenge(u64),
}

/// What to compute, and with what: a bundle's word starts no program and opens no folder.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What to compute.
    pub how: Again,
    /// The model, where the bundle's is neither the bundled nor a synthetic one.
    pub model: Option<&'a ModelSource>,
    /// The subject, where the bundle's is a program.
    pub subject: Option<&'a ImplementationName>,
}

/// What came of it.
#[derive(Debug)]
pub struct Found {
    /// For people.
    pub lines: Vec<String>,
    /// 0 when it confirms the bundle, 2 when it contradicts it, 3 when the model here is another; else that of the run.
    pub exit_code: u8,
}

/// Runs subject and references here, and holds what comes out against a bundle that verifies.
///
/// # Errors
/// When the work could not be done.
pub fn again(asked: &Asked<'_>, means: &Means, results: &Results, evidence: &Evidence) -> Result<Found> {
    let progress = screen::progress(false);
    let model = model(asked, results)?.open(means, &progress)?;
    if model_files(&model)?.0 != evidence.materials.weights {
        let line = format!("stale         the weights of {} are not those of the bundle", model.name);
        return Ok(Found { lines: vec![report::plain(&line)], exit_code: STALE });
    }
    let request = request(asked, means, results, evidence, model)?;
    let outcome = run(&request, means, &progress)?;
    match asked.how {
        Again::Rerun => {
            let captures = list_captures(&outcome.results, &outcome.captures)?;
            Ok(compare(results, &outcome.results, evidence, &captures))
        }
        Again::Challenge(seed) => Ok(challenged(seed, results, &outcome.results)),
    }
}

fn model(asked: &Asked<'_>, results: &Results) -> Result<ModelSource> {
    if let Some(model) = asked.model {
        return Ok(model.clone());
    }
    if results.model == ModelSource::Bundled.to_string() {
        return Ok(ModelSource::Bundled);
    }
    match ModelSource::parse(&results.model) {
        Ok(source @ ModelSource::Synthetic(_)) => Ok(source),
        _ => {
            Err(usage(format!("the bundle is about the model `{}`; --model says where it is", results.model)))
        }
    }
}

fn request(
    asked: &Asked<'_>,
    means: &Means,
    results: &Results,
    evidence: &Evidence,
    model: Model,
) -> Result<Request> {
    if evidence.materials.subject_weights.is_some() {
        return Err(usage("the subject had weights of its own, which the bundle does not hold"));
    }
    let subject = match asked.subject {
        Some(subject) => subject.clone(),
        None if known(&results.subject.name).is_some() => {
            ImplementationName { name: results.subject.name.clone(), precision: results.subject.precision }
        }
        None => return Err(usage("the bundle's subject is a program; --subject command:PROGRAM says which")),
    };
    let references: Vec<String> = results.references.iter().map(|reference| reference.name.clone()).collect();
    if let Some(unknown) = references.iter().find(|name| known(name).is_none()) {
        return Err(usage(format!("no reference `{unknown}`")));
    }
    let vocabulary = model.size("V")?;
    let case = |case: &Case| match asked.how {
        Again::Rerun => case.clone(),
        Again::Challenge(seed) => fresh(case, vocabulary, seed),
    };
    let abouts = results.cases.iter().map(|summary| summary.about.clone());
    let cases = evidence.cases.iter().map(case).zip(abouts);
    Ok(Request {
        subject_model: None,
        subject,
        references,
        cases: cases.map(|(case, about)| PlannedCase { case, about }).collect(),
        do_not_fit: Vec::new(),
        selected: results.checkpoints.iter().map(|checkpoint| checkpoint.id.clone()).collect(),
        threads: means.threads,
        time_limit: means.time_limit,
        faults: Extent::None,
        fresh: true,
        options: results.options.clone(),
        keep: results.tensors.keep,
        model,
    })
}

/// On the same machine the captures must be the same bits; elsewhere another library may round otherwise, and the verdict
/// must be the same.
fn compare(recorded: &Results, computed: &Results, evidence: &Evidence, captures: &[CaptureEntry]) -> Found {
    let here: BTreeMap<&str, _> = captures.iter().map(|entry| (entry.path.as_str(), entry.sha256)).collect();
    let all = &evidence.captures.captures;
    let differ: Vec<String> = all
        .iter()
        .filter(|entry| here.get(entry.path.as_str()) != Some(&entry.sha256))
        .map(|entry| {
            let found =
                here.get(entry.path.as_str()).map_or_else(|| "nothing".to_owned(), ToString::to_string);
            format!("{}: SHA-256 {}, computed here: {found}", entry.path, entry.sha256)
        })
        .collect();
    let materials = &evidence.materials;
    let same_machine = materials.cpu == cpu() && materials.toolchain == toolchain();
    let mut lines = vec![format!(
        "rerun         {} of {} captures are the same bits; verdict here {:?}, recorded {:?}",
        all.len() - differ.len(),
        all.len(),
        computed.verdict,
        recorded.verdict
    )];
    let contradicted = recorded.exit_code != computed.exit_code || (same_machine && !differ.is_empty());
    if !differ.is_empty() {
        let kind = if same_machine { "invalid" } else { "note" };
        lines.extend(differ.iter().take(FEW).map(|entry| format!("{kind:13} {entry}")));
        if !same_machine {
            lines.push(format!(
                "note          the bundle was made on {}, this is {}",
                materials.cpu.model,
                cpu().model
            ));
        }
    }
    let lines = lines.iter().map(|line| report::plain(line)).collect();
    Found { lines, exit_code: if contradicted { INVALID_EVIDENCE } else { CONFORMING } }
}

fn challenged(seed: u64, recorded: &Results, computed: &Results) -> Found {
    let holds = recorded.exit_code == computed.exit_code;
    let line = format!(
        "challenge     seed {seed}: verdict on fresh inputs {:?}, recorded {:?}{}",
        computed.verdict,
        recorded.verdict,
        if holds { "" } else { ": it does not hold" }
    );
    let mut lines = vec![line];
    lines.extend(report::conclusion(computed));
    Found { lines, exit_code: if holds { CONFORMING } else { computed.exit_code.max(1) } }
}
