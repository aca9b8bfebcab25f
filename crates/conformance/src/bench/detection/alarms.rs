//! False alarms: correct f32 implementations, many cases, and nobody may be accused.

use std::path::Path;

use anyhow::{Result, bail};
use capture::protocol::{Job, Magnitudes, Task};
use capture::{Capture, CaptureFile, Case, Precision, TensorSource};
use checkpoint_spec::{CaseTemplate, Length, Measured, Required, SpecSet, confidence};
use gpt2::Gpt2;
use rayon::prelude::*;
use serde::Serialize;

use super::arithmetic::Arithmetic;
use super::ground::{plan, produce, store};
use super::plain::Plain;
use super::rules::{Rule, Sight, Site};
use crate::implementation::Means;
use crate::model::{Model, ModelSource};
use crate::progress::Progress;

/// The models: narrow and odd, with an outlier channel, and as wide as GPT-2.
const SHAPES: [Shape; 3] = [
    Shape { model: "2,40,4,97,32", patterns: [(1, 9, 0), (2, 5, 0), (1, 6, 1)] },
    Shape { model: "2,128,4,500,64+outlier", patterns: [(1, 6, 0), (2, 3, 0), (1, 5, 1)] },
    Shape { model: "1,768,12,1000,64", patterns: [(1, 2, 0), (2, 1, 0), (1, 3, 1)] },
];
/// Threads with which the Rust GPT-2 computes.
const THREADS: [usize; 3] = [1, 2, 5];
/// Correct f32 implementations that are programs of their own: the references, and PyTorch's fused attention, which
/// leaves composites only.
const PEERS: [&str; 3] = ["torch", "torch-sdpa", "tinygrad"];
/// How many accusations are told in full.
const TOLD: usize = 20;

/// One model, and cases for it.
struct Shape {
    /// Layers, width, heads, vocabulary, context.
    model: &'static str,
    /// Batch, tokens and single-token steps at the end; taken in turn. Few, as tinygrad compiles each anew.
    patterns: [(usize, usize, usize); 3],
}

/// How often the rounding budget accused a correct implementation.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Alarms {
    /// Cases in all.
    pub cases: usize,
    /// The models.
    pub models: Vec<String>,
    /// By implementation, over all models.
    pub variants: Vec<Tally>,
    /// The first accusations.
    pub accusations: Vec<Accusation>,
}

/// What was counted of one implementation.
#[derive(Clone, Debug, Serialize)]
pub struct Tally {
    /// The implementation.
    pub variant: String,
    /// Tensors judged.
    pub comparisons: u64,
    /// The largest share of its budget that an element used.
    pub elements: Measured,
    /// The largest share of what systematic error may be.
    pub systematic: Measured,
    /// Tensors with elements out of their budget.
    pub element_alarms: u64,
    /// Tensors with a systematic error out of its bound.
    pub systematic_alarms: u64,
}

/// One correct tensor that was refused.
#[derive(Clone, Debug, Serialize)]
pub struct Accusation {
    /// The implementation.
    pub variant: String,
    /// The model.
    pub model: String,
    /// The case.
    pub case: String,
    /// The tensor.
    pub tensor: String,
    /// The share of its budget that the worst element used.
    pub elements: Measured,
    /// The share of what systematic error may be.
    pub systematic: Measured,
}

impl Alarms {
    /// All accusations.
    pub fn count(&self) -> u64 {
        self.variants.iter().map(|tally| tally.element_alarms + tally.systematic_alarms).sum()
    }

    fn merge(mut self, other: Self) -> Self {
        for tally in &other.variants {
            self.tally(&tally.variant).merge(tally);
        }
        self.accusations.extend(other.accusations);
        self.accusations.truncate(TOLD);
        self
    }

    /// The tally of that implementation, in the order in which they were first asked for.
    fn tally(&mut self, variant: &str) -> &mut Tally {
        let index = self.variants.iter().position(|tally| tally.variant == variant);
        let index = index.unwrap_or_else(|| {
            self.variants.push(Tally::new(variant));
            self.variants.len() - 1
        });
        &mut self.variants[index]
    }
}

impl Tally {
    fn new(variant: &str) -> Self {
        Self {
            variant: variant.to_owned(),
            comparisons: 0,
            elements: 0.0.into(),
            systematic: 0.0.into(),
            element_alarms: 0,
            systematic_alarms: 0,
        }
    }

    fn count(&mut self, sight: &Sight) {
        self.comparisons += 1;
        self.elements = self.elements.or_worse(sight.elements.into());
        self.systematic = self.systematic.or_worse(sight.systematic_used().into());
        self.element_alarms += u64::from(sight.refused[Rule::Elements.index()]);
        self.systematic_alarms += u64::from(sight.refused[Rule::Systematic.index()]);
    }

    fn merge(&mut self, other: &Self) {
        self.comparisons += other.comparisons;
        self.elements = self.elements.or_worse(other.elements);
        self.systematic = self.systematic.or_worse(other.systematic);
        self.element_alarms += other.element_alarms;
        self.systematic_alarms += other.systematic_alarms;
    }
}

/// Runs everyone on that many cases, divided among the shapes.
pub(super) fn count(
    specs: &SpecSet,
    cases: usize,
    means: &Means,
    progress: &Progress,
    work: &Path,
) -> Result<Alarms> {
    let mut alarms = Alarms {
        cases,
        models: SHAPES.iter().map(|shape| format!("synthetic:{}", shape.model)).collect(),
        ..Alarms::default()
    };
    for (index, shape) in SHAPES.iter().enumerate() {
        let of_shape = (cases + SHAPES.len() - 1 - index) / SHAPES.len();
        let folder = work.join(format!("shape-{index}"));
        std::fs::create_dir_all(&folder)?;
        let model = ModelSource::Synthetic(shape.model.to_owned()).open(means, progress)?;
        let cases = (0..of_shape).map(|seed| shape.case(&model, seed)).collect::<Result<Vec<_>>>()?;
        if cases.is_empty() {
            continue;
        }
        let court = Court::convene(specs, &model, cases, &folder, means, progress)?;
        alarms = alarms.merge(court.hear_all(means, progress)?);
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(alarms)
}

/// One shape: its cases, their inputs, and where the workers' captures are.
struct Court<'a> {
    specs: &'a SpecSet,
    model: &'a Model,
    weights: Gpt2,
    confidence: f64,
    folder: &'a Path,
    cases: Vec<Case>,
    inputs: Vec<Capture>,
}

impl<'a> Court<'a> {
    fn convene(
        specs: &'a SpecSet,
        model: &'a Model,
        cases: Vec<Case>,
        folder: &'a Path,
        means: &Means,
        progress: &Progress,
    ) -> Result<Self> {
        let confidence = confidence(specs, &model.architecture, &cases.iter().collect::<Vec<_>>())?;
        let weights = Gpt2::load(&model.directory)?;
        let inputs = cases.iter().map(|case| Ok(weights.run(case)?)).collect::<Result<Vec<_>>>()?;
        for (case, inputs) in cases.iter().zip(&inputs) {
            store(folder, &case.id, inputs)?;
        }
        let court = Self { specs, model, weights, confidence, folder, cases, inputs };
        let (oracle, peers) = rayon::join(
            || court.have_replayed("torch", Precision::F64, means, progress),
            || PEERS.iter().try_for_each(|peer| court.have_replayed(peer, Precision::F32, means, progress)),
        );
        oracle.and(peers)?;
        Ok(court)
    }

    fn have_replayed(
        &self,
        name: &str,
        precision: Precision,
        means: &Means,
        progress: &Progress,
    ) -> Result<()> {
        let of_f32 = || Magnitudes { confidence: self.confidence, storage: None };
        let magnitudes = (precision == Precision::F64).then(of_f32);
        let job = |case: &Case| Job {
            case: case.clone(),
            task: Task::Replay {
                inputs: self.folder.join(format!("{}.inputs.safetensors", case.id)),
                magnitudes: magnitudes.clone(),
            },
            output: self.replayed(name, precision, case),
        };
        let jobs: Vec<Job> = self.cases.iter().map(job).collect();
        produce(name, precision, &self.model.directory, &jobs, means, progress)
    }

    fn replayed(&self, name: &str, precision: Precision, case: &Case) -> std::path::PathBuf {
        self.folder.join(format!("{}.{name}-{precision}.safetensors", case.id))
    }

    fn hear_all(&self, means: &Means, progress: &Progress) -> Result<Alarms> {
        let part = progress.part(self.model.name.clone(), self.cases.len());
        let pools = THREADS
            .map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().map(|p| (threads, p)))
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?;
        let plain = Plain::new(&self.weights);
        let heard = self.cases.par_iter().zip(&self.inputs).map(|(case, inputs)| {
            means.interrupt.check()?;
            let hearing = Hearing {
                court: self,
                case,
                inputs,
                required: plan(self.specs, &self.model.architecture, case)?,
            };
            let alarms = hearing.hear(&plain, &pools)?;
            part.step();
            Ok(alarms)
        });
        let alarms =
            heard.collect::<Result<Vec<Alarms>>>()?.into_iter().fold(Alarms::default(), Alarms::merge);
        part.finish("judged");
        Ok(alarms)
    }
}

/// One case before the court.
struct Hearing<'a> {
    court: &'a Court<'a>,
    case: &'a Case,
    inputs: &'a Capture,
    required: Vec<Required>,
}

impl Hearing<'_> {
    fn hear(&self, plain: &Plain<'_>, pools: &[(usize, rayon::ThreadPool)]) -> Result<Alarms> {
        let Court { specs, confidence, weights, .. } = self.court;
        let oracle = CaptureFile::open(&self.court.replayed("torch", Precision::F64, self.case))?;
        let open = |required| Site::open(specs, required, &oracle, *confidence).transpose();
        let sites: Vec<Site<'_>> = self.required.iter().filter_map(open).collect::<Result<_>>()?;
        let mut alarms = Alarms::default();
        for arithmetic in Arithmetic::all() {
            let capture = plain.replay(specs, self.case, &self.required, self.inputs, arithmetic)?;
            self.judge(&sites, &format!("plain: {arithmetic}"), &capture, &mut alarms)?;
        }
        for (threads, pool) in pools {
            let capture = pool.install(|| weights.replay(self.case, self.inputs, &|_| true))?;
            self.judge(&sites, &format!("rust, threads: {threads}"), &capture, &mut alarms)?;
        }
        for peer in PEERS {
            let capture = CaptureFile::open(&self.court.replayed(peer, Precision::F32, self.case))?;
            self.judge(&sites, &format!("{peer}@f32"), &capture, &mut alarms)?;
        }
        Ok(alarms)
    }

    fn judge(
        &self,
        sites: &[Site<'_>],
        variant: &str,
        capture: &dyn TensorSource,
        alarms: &mut Alarms,
    ) -> Result<()> {
        let mut tally = Tally::new(variant);
        for site in sites {
            let Some(actual) = capture.tensor(&site.required.name)? else { continue };
            let sight = site.look(&actual)?;
            tally.count(&sight);
            if sight.seen_by_budget() && alarms.accusations.len() < TOLD {
                alarms.accusations.push(Accusation {
                    variant: variant.to_owned(),
                    model: self.court.model.name.clone(),
                    case: self.case.id.clone(),
                    tensor: site.required.name.to_string(),
                    elements: sight.elements.into(),
                    systematic: sight.systematic_used().into(),
                });
            }
        }
        if tally.comparisons == 0 {
            bail!("{variant} left nothing to judge in case `{}`", self.case.id);
        }
        alarms.tally(variant).merge(&tally);
        Ok(())
    }
}

impl Shape {
    /// A case of seeded token ids.
    fn case(&self, model: &Model, seed: usize) -> Result<Case> {
        let (batch, tokens, decode) = self.patterns[seed % self.patterns.len()];
        let template = CaseTemplate {
            id: format!("seed-{seed}"),
            about: String::new(),
            texts: vec![String::new(); batch],
            length: Length::Tokens(tokens),
            prefill: None,
            decode,
            generate: 0,
        };
        Ok(template.instantiate(None, model.size("V"), model.size("C"), seed as u64)?)
    }
}
