//! What the oracle costs: its replay without and with error bounds, beside an f64 forward pass on the same prompt.

use std::fmt::Write;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::machine::Machine;
use crate::exit::usage;
use crate::implementation::{Means, module};
use crate::model::Model;
use crate::progress::Progress;

const MODULE: &str = "trialplate_reference.bench_budget";

/// What is measured.
#[derive(Debug)]
pub struct Request {
    /// The model.
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
    /// The seconds.
    pub seconds: Seconds,
}

/// The seconds of each repetition, by PyTorch at f64.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seconds {
    /// A chained run, every activation observed.
    pub forward: Vec<f64>,
    /// A replay of every activation.
    pub replay: Vec<f64>,
    /// The same with error bounds.
    pub magnitudes: Vec<f64>,
}

/// Measures. `Err` is for what cannot be measured; no time is too long.
pub fn run(request: &Request, means: &Means, progress: &Progress) -> Result<Measurement> {
    let (context, tokens) = (request.model.size("C"), request.tokens);
    if !(1..=context).contains(&tokens) {
        let name = &request.model.name;
        return Err(usage(format!("--tokens {tokens}: expected 1 to {context}, the context of {name}")));
    }
    let machine = Machine::now(means.threads);
    let part = progress.part(format!("bench budget, {}", request.model.name), 1);
    let numbers = [means.threads, tokens, request.repetitions].map(|number| number.to_string());
    // In the worker, whose interpreter has the rules compiled.
    let mut command = module(&means.place, MODULE)?;
    command.arg(&request.model.directory).args(numbers).stdin(Stdio::null());
    let output = command.output().context("the worker cannot be started")?;
    means.interrupt.check()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("the worker ended with {}; it said:\n{said}", output.status);
    }
    let seconds = serde_json::from_slice(&output.stdout).context("the worker answered what was not asked")?;
    part.finish("measured");
    Ok(Measurement { model: request.model.name.clone(), tokens, machine, seconds })
}

impl Seconds {
    /// Replay and bounds in forward passes: `[the replay, what the bounds come to in addition]`, best of each.
    pub fn forward_passes(&self) -> [f64; 2] {
        let best = |times: &[f64]| times.iter().copied().fold(f64::INFINITY, f64::min);
        let [forward, replay, magnitudes] =
            [&self.forward, &self.replay, &self.magnitudes].map(|times| best(times));
        [replay / forward, (magnitudes - replay) / forward]
    }
}

/// The measurements as a table.
pub fn markdown(measured: &[Measurement]) -> String {
    let mut text =
        String::from("| model | tokens | f64 forward pass | replay | its error bounds, in addition |\n");
    text += "|---|---|---|---|---|\n";
    for Measurement { model, tokens, seconds, .. } in measured {
        let forward = seconds.forward.iter().copied().fold(f64::INFINITY, f64::min) * 1e3;
        let [replay, bounds] = seconds.forward_passes();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {model} | {tokens} | {forward:.1} ms | {replay:.2} passes | {bounds:.2} passes |"
        );
    }
    text += "\nBest of each; a replay computes every activation from given inputs, and every composite once more.\n";
    if let Some(Measurement { machine, .. }) = measured.first() {
        let _ = writeln!(text, "{}.", machine.describe());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_those_of_the_best_times() {
        let seconds = Seconds { forward: vec![0.3, 0.2], replay: vec![0.5, 0.9], magnitudes: vec![1.0, 0.8] };
        let [replay, bounds] = seconds.forward_passes();
        assert!((replay - 2.5).abs() < 1e-12 && (bounds - 1.5).abs() < 1e-12, "{replay} {bounds}");
    }
}
