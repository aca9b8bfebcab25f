//! `bench detection`: how often the gate accuses correct code, and how small a bug each rule still sees.
//!
//! False alarms are counted by the exit code of whole gates. Bugs are mutations of the graph, computed at f32; what follows is
//! computed from them, and everything is judged from its own inputs, by the functions and specs that judge a run. The peers' rules are what their documentation says; they are held
//! against the same f64 oracle.

mod alarms;
mod configurations;
mod corpus;
mod faults;
mod ground;
mod markdown;
mod named;
mod rules;
mod smallest;

use anyhow::{Context, Result};
use capture::Case;
use checkpoint_spec::SpecSet;
use gpt2::Gpt2;
use serde::Serialize;

use crate::peers::PeerTable;
use conformance::source::ModelSource;
use ground::Ground;
use harness::cases;
use harness::events::Progress;
use harness::implementation::Means;

pub use alarms::Gate;
pub use markdown::markdown;
pub use rules::Rule;

/// Version of the JSON form.
const SCHEMA: &str = "trialplate/detection/2";
/// The case in which bugs are looked for.
const CASE: &str = "paragraph";

/// What the bench is to do.
#[derive(Clone, Debug)]
pub struct Request {
    /// Models in which bugs are looked for.
    pub models: Vec<ModelSource>,
    /// What the names of gates must have in them.
    pub only: String,
    /// What is measured.
    pub parts: Vec<Part>,
}

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Gates over correct implementations.
    Gates,
    /// Bugs, judged from own inputs.
    Bugs,
    /// The declared faults before the rules of other harnesses.
    Faults,
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of this form.
    pub schema: &'static str,
    /// The rules, in the order in which every row has them.
    pub rules: [Rule; Rule::ALL.len()],
    /// What gates said of correct implementations.
    pub gates: Vec<Gate>,
    /// How small a bug is seen, by model.
    pub models: Vec<Detection>,
    /// Who sees which declared fault, on the bundled model.
    pub faults: Option<PeerTable>,
}

/// What is seen on one model.
#[derive(Clone, Debug, Serialize)]
pub struct Detection {
    /// The model.
    pub model: String,
    /// The case.
    pub case: String,
    /// Its tokens.
    pub tokens: usize,
    /// `c`.
    pub confidence: f64,
    /// The correct implementation, on the case and with large scores.
    pub correct: [named::Correct; 2],
    /// The smallest bugs.
    pub smallest: Vec<smallest::Row>,
    /// The bugs with names.
    pub named: Vec<named::Row>,
}

/// Measures everything that is asked for.
pub fn run(request: &Request, means: &Means, progress: &Progress) -> Result<Report> {
    let specs = SpecSet::bundled("gpt2")?;
    let works = means.place.works();
    std::fs::create_dir_all(&works)?;
    let work = tempfile::Builder::new().prefix("bench-").tempdir_in(works)?;
    let wants = |part| request.parts.contains(&part);
    let models = if wants(Part::Bugs) { detections(&specs, request, means, progress)? } else { Vec::new() };
    let gates = if wants(Part::Gates) {
        alarms::gates(&request.only, means, progress, work.path())?
    } else {
        Vec::new()
    };
    let faults = || corpus::table(&specs, means, progress, work.path());
    let faults = wants(Part::Faults).then(faults).transpose()?;
    Ok(Report { schema: SCHEMA, rules: Rule::ALL, gates, models, faults })
}

impl Report {
    /// Whether a correct implementation was accused anywhere.
    pub fn accuses_correct_code(&self) -> bool {
        let accused = |model: &Detection| {
            model.correct.iter().any(|correct| !correct.refused.is_empty())
                || model.named.iter().any(|row| !row.accused.is_empty())
        };
        self.gates.iter().any(|gate| gate.exit_code != 0) || self.models.iter().any(accused)
    }
}

fn detections(
    specs: &SpecSet,
    request: &Request,
    means: &Means,
    progress: &Progress,
) -> Result<Vec<Detection>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(means.threads).build()?;
    pool.install(|| request.models.iter().map(|source| detect(specs, source, means, progress)).collect())
}

fn detect(specs: &SpecSet, source: &ModelSource, means: &Means, progress: &Progress) -> Result<Detection> {
    let files = source.open(means, progress)?;
    let model = files.oracle(specs)?;
    let (planned, _) = cases::plan(&files, &[CASE.to_owned()], 0)?;
    let planned = planned.into_iter().next().context("a case that was asked for is planned")?;
    let case = Case { generate: 0, ..planned.case };
    let carrier = ground::carrier(specs, &files, &model, case)?;
    let observed = Gpt2::load(&files.directory)?.run(&carrier.case)?;
    let ordinary = Ground::new(&carrier, &model, observed);
    let saturated = ordinary.saturated()?;
    let layer = model.architecture.layers / 2;
    let faults = faults::ordinary(&ordinary, layer)?;
    let part = progress.part(files.name.clone(), faults.len() + 2);
    part.say("the smallest bugs");
    let smallest = smallest::table(&ordinary)?;
    part.step();
    let mut named = Vec::new();
    for fault in &faults {
        means.interrupt.check()?;
        part.say(&fault.bug);
        named.push(named::examine(&ordinary, fault)?);
        part.step();
    }
    for fault in faults::saturated(&saturated, layer)? {
        named.push(named::examine(&saturated, &fault)?);
    }
    part.finish("judged");
    Ok(Detection {
        model: files.name.clone(),
        case: carrier.case.id.clone(),
        tokens: carrier.case.tokens(),
        confidence: carrier.setting.confidence,
        correct: [named::correct(&ordinary)?, named::correct(&saturated)?],
        smallest,
        named,
    })
}
