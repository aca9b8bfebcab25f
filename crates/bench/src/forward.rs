//! The Rust GPT-2's plain forward pass beside PyTorch eager's: same weights file, same token ids, same threads, one
//! after the other in the same minutes, so that what else the machine does meets both alike.

mod partner;
mod report;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use gpt2::Gpt2;
use ndarray::{Array2, Array3};
use rayon::ThreadPool;
use serde::Serialize;

pub use partner::Versions;
pub use report::{json, markdown};

use super::machine::{self, Machine};
use harness::events::Progress;
use harness::exit::usage;
use harness::implementation::Means;
use harness::model::Model;
use harness::place::Place;
use partner::Partner;

/// Rounds before the ones that count.
const WARM_UP: usize = 3;
/// Threads of either side spin for a while when their work is done; nobody is measured beside them.
const SETTLE: Duration = Duration::from_millis(50);
/// The largest difference of logits, relative to the largest logit, at which both still do the same work. It decides
/// nothing about correctness, which is what checkpoints are for.
const SAME_WORK: f64 = 1e-3;

/// What is measured.
#[derive(Debug)]
pub struct Request {
    /// Both read its weights.
    pub model: Model,
    /// Length of the one prompt.
    pub tokens: usize,
    /// Measurements of each.
    pub repetitions: usize,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// Of the model.
    pub model: String,
    /// Length of the prompt.
    pub tokens: usize,
    /// Where and when.
    pub machine: Machine,
    /// Threads of others that ran or wanted to while neither side computed, on average; none where the system does
    /// not tell.
    pub others: Option<f64>,
    /// Who stood on the other side.
    pub versions: Versions,
    /// The Rust GPT-2's seconds, in order.
    pub rust: Vec<f64>,
    /// PyTorch's seconds, in order.
    pub torch: Vec<f64>,
    /// How far the logits are apart.
    pub logits: Distance,
}

/// How far the logits of both are apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distance {
    /// The largest absolute difference; NaN where one is not a number.
    pub max_abs: f64,
    /// The largest absolute logit of PyTorch.
    pub largest: f64,
}

/// The Rust side.
struct Subject {
    model: Gpt2,
    ids: Array2<i64>,
    threads: ThreadPool,
}

/// Whether there is a PyTorch to measure beside; told before a model is downloaded or made.
pub fn can_start(place: &Place) -> Result<()> {
    partner::python(place).map(drop)
}

/// Measures. `Err` is for what cannot be measured; no time is too long.
pub fn run(request: &Request, means: &Means, progress: &Progress) -> Result<Measurement> {
    let context = request.model.size("C")?;
    if !(1..=context).contains(&request.tokens) {
        let (name, tokens) = (&request.model.name, request.tokens);
        return Err(usage(format!("--tokens {tokens}: expected 1 to {context}, the context of {name}")));
    }
    let machine = Machine::now(means.threads);
    let part = progress.part("bench forward", WARM_UP + request.repetitions);
    part.say("PyTorch starts");
    let subject = Subject::open(request, means.threads)?;
    let mut partner = Partner::start(&request.model.directory, subject.ids.iter().copied(), means)?;
    let logits = distance(&subject.logits()?, &partner.logits()?);
    logits.expect_same_work()?;
    part.say("");
    let (mut rust, mut torch, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..WARM_UP + request.repetitions {
        // Whoever comes second may find the machine warmer; so each comes second as often.
        for ours in [round % 2 == 0, round % 2 == 1] {
            std::thread::sleep(SETTLE);
            others.extend(machine::others().map(f64::from));
            let seconds = if ours { subject.seconds()? } else { partner.seconds()? };
            if round >= WARM_UP {
                if ours { &mut rust } else { &mut torch }.push(seconds);
            }
        }
        means.interrupt.check()?;
        part.step();
    }
    part.finish("measured");
    let (model, tokens, versions) = (request.model.name.clone(), request.tokens, partner.versions);
    let others = (!others.is_empty()).then(|| others.iter().sum::<f64>() / others.len() as f64);
    Ok(Measurement { model, tokens, machine, others, versions, rust, torch, logits })
}

impl Subject {
    fn open(request: &Request, threads: usize) -> Result<Self> {
        let model = Gpt2::load(&request.model.directory)?;
        let vocabulary = model.config.vocabulary;
        // Any ids will do; the time does not depend on them.
        let ids = (0..request.tokens).map(|position| i64::try_from(position * 7919 % vocabulary));
        let ids = Array2::from_shape_vec((1, request.tokens), ids.collect::<Result<_, _>>()?)?;
        Ok(Self { model, ids, threads: rayon::ThreadPoolBuilder::new().num_threads(threads).build()? })
    }

    fn logits(&self) -> Result<Array3<f32>> {
        self.threads.install(|| self.model.logits(self.ids.view())).context("the Rust GPT-2's forward pass")
    }

    fn seconds(&self) -> Result<f64> {
        let start = Instant::now();
        let logits = self.logits()?;
        let seconds = start.elapsed().as_secs_f64();
        drop(logits);
        Ok(seconds)
    }
}

impl Distance {
    fn expect_same_work(&self) -> Result<()> {
        if self.max_abs <= SAME_WORK * self.largest {
            return Ok(());
        }
        bail!(
            "the logits of the Rust GPT-2 and of PyTorch differ by {:.3e} where the largest is {:.3e}: they do not do \
             the same work, so their times are not compared; `cargo xtask checkpoint all --model …` tells where they \
             part",
            self.max_abs,
            self.largest
        )
    }
}

/// Of two arrays of the same shape, which the partner has checked.
fn distance(ours: &Array3<f32>, theirs: &Array3<f32>) -> Distance {
    // Not f64::max, to which a NaN is nothing.
    let larger = |a: f64, b: f64| if a >= b || a.is_nan() { a } else { b };
    let difference = |(ours, theirs): (&f32, &f32)| (f64::from(*ours) - f64::from(*theirs)).abs();
    Distance {
        max_abs: ours.iter().zip(theirs).map(difference).fold(0.0, larger),
        largest: theirs.iter().map(|logit| f64::from(*logit).abs()).fold(0.0, larger),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_not_the_same_work() {
        let logits = |values: [f32; 3]| Array3::from_shape_vec((1, 1, 3), values.to_vec()).unwrap();
        let theirs = logits([1.0, -4.0, 2.0]);
        let near = distance(&logits([1.0, -4.002, 2.0]), &theirs);
        assert!(near.expect_same_work().is_ok(), "{near:?}");
        let ours =
            [[1.0, -4.01, 2.0], [f32::NAN, -4.0, 2.0], [1.0, f32::NAN, 9.0], [f32::INFINITY, -4.0, 2.0]];
        for ours in ours.map(logits) {
            assert!(distance(&ours, &theirs).expect_same_work().is_err(), "{ours}");
        }
        assert!(distance(&theirs, &logits([1.0, f32::INFINITY, 2.0])).max_abs.is_infinite());
        let nan = logits([1.0, f32::NAN, 2.0]);
        assert!(distance(&nan, &nan).expect_same_work().is_err());
    }
}
