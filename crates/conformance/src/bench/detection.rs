//! `bench detection`: how small a bug each rule still sees, and how often the rounding budget accuses correct code.
//!
//! The rounding budget is asked through the functions and specs that judge a run; the peers' rules are what their
//! documentation says. Bugs are put in from outside: into weights and constants of the Rust GPT-2, or into what its
//! replay gave. Everything is held against the same f64 oracle.

mod alarms;
mod arithmetic;
mod corpus;
mod faults;
mod ground;
mod markdown;
mod named;
mod plain;
mod rules;
mod smallest;

use std::path::Path;

use anyhow::{Context, Result};
use capture::Case;
use checkpoint_spec::SpecSet;
use gpt2::Gpt2;
use serde::Serialize;

use crate::cases;
use crate::fault::PeerTable;
use crate::implementation::Means;
use crate::model::ModelSource;
use crate::progress::Progress;

pub use alarms::Alarms;
pub use markdown::markdown;
pub use rules::Rule;
pub(crate) use rules::all_close;

/// Version of the JSON form.
const SCHEMA: &str = "trialplate/detection/1";
/// The case in which bugs are looked for.
const CASE: &str = "paragraph";

/// What the bench is to do.
#[derive(Clone, Debug)]
pub struct Request {
    /// Models in which bugs are looked for.
    pub models: Vec<ModelSource>,
    /// Cases that correct implementations are judged on.
    pub cases: usize,
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of this form.
    pub schema: &'static str,
    /// The rules, in the order in which every row has them.
    pub rules: [Rule; Rule::ALL.len()],
    /// How small a bug is seen, by model.
    pub models: Vec<Detection>,
    /// How often correct code is accused.
    pub alarms: Alarms,
    /// Who sees which declared fault, on the bundled model.
    pub faults: PeerTable,
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

/// Measures everything.
pub fn run(request: &Request, means: &Means, progress: &Progress) -> Result<Report> {
    let specs = SpecSet::bundled("gpt2")?;
    let works = means.place.cache.join("work");
    std::fs::create_dir_all(&works)?;
    let work = tempfile::Builder::new().prefix("bench-").tempdir_in(works)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(means.threads).build()?;
    pool.install(|| {
        let alarms = alarms::count(&specs, request.cases, means, progress, work.path())?;
        let models = request
            .models
            .iter()
            .map(|source| detect(&specs, source, work.path(), means, progress))
            .collect::<Result<_>>()?;
        let faults = corpus::table(&specs, means, progress, work.path())?;
        Ok(Report { schema: SCHEMA, rules: Rule::ALL, models, alarms, faults })
    })
}

impl Report {
    /// Whether a correct implementation was accused anywhere.
    pub fn accuses_correct_code(&self) -> bool {
        let refused = self.models.iter().flat_map(|model| &model.correct);
        self.alarms.count() > 0 || refused.into_iter().any(|correct| !correct.refused.is_empty())
    }
}

fn detect(
    specs: &SpecSet,
    source: &ModelSource,
    work: &Path,
    means: &Means,
    progress: &Progress,
) -> Result<Detection> {
    let model = source.open(means, progress)?;
    let weights = Gpt2::load(&model.directory)?;
    let (planned, _) = cases::plan(&model, &[CASE.to_owned()], 0)?;
    let planned = planned.into_iter().next().context("a case that was asked for is planned")?;
    let case = Case { generate: 0, ..planned.case };
    let grounds = ground::prepare(specs, &model, &weights, &case, work, means, progress)?;
    let [ordinary, saturated] = &grounds;
    let layer = model.architecture.layers / 2;
    let faults = faults::ordinary(layer);
    let part = progress.part(model.name.clone(), faults.len() + 2);
    part.say("the smallest bugs");
    let smallest = smallest::table(ordinary)?;
    part.step();
    let mut named = Vec::new();
    for fault in &faults {
        means.interrupt.check()?;
        part.say(fault.bug);
        named.push(named::examine(ordinary, fault)?);
        part.step();
    }
    named.push(named::examine(saturated, &faults::saturated(layer))?);
    part.finish("judged");
    Ok(Detection {
        model: model.name.clone(),
        case: case.id.clone(),
        tokens: case.tokens(),
        confidence: ordinary.confidence,
        correct: [named::correct(ordinary)?, named::correct(saturated)?],
        smallest,
        named,
    })
}
