//! PyTorch's side: a Python process that is kept alive, computes on a word and says how long it took.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use ndarray::Array3;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use harness::implementation::{GLANCE, Means, Process, last_lines};
use harness::place::Place;

const MODULE: &str = "trialplate_reference.bench_forward";

/// What computes there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Of PyTorch.
    pub torch: String,
    /// Of Hugging Face's library, which holds the model.
    pub transformers: String,
    /// Threads in use.
    pub threads: usize,
    /// Instruction set in use.
    pub capability: String,
}

/// The process.
#[derive(Debug)]
pub(super) struct Partner {
    pub(super) versions: Versions,
    stdin: ChildStdin,
    answers: Receiver<String>,
    means: Means,
    log: PathBuf,
    // Last, so that its pipe is closed before it is ended.
    _process: Process,
}

impl Partner {
    /// Starts it; the model is loaded when it returns.
    pub(super) fn start(model: &Path, ids: impl Iterator<Item = i64>, means: &Means) -> Result<Self> {
        let mut command = python(&means.place)?;
        command.args(["-m", MODULE]).arg(model).arg(means.threads.to_string());
        Self::open(command, &ids.collect::<Vec<_>>(), means)
    }

    fn open(command: Command, ids: &[i64], means: &Means) -> Result<Self> {
        let logs = means.logs();
        std::fs::create_dir_all(&logs).with_context(|| logs.display().to_string())?;
        let log = logs.join("bench-forward.stderr");
        let stderr = File::create(&log).with_context(|| log.display().to_string())?;
        let mut process = Process::start(command, stderr)?;
        let (stdin, stdout) = process.pipes();
        let (sender, answers) = sync_channel(1);
        std::thread::spawn(move || {
            let lines = stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines());
            lines.map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut partner = Self {
            versions: Versions {
                torch: String::new(),
                transformers: String::new(),
                threads: 0,
                capability: String::new(),
            },
            stdin: stdin.context("PyTorch's process has no standard input")?,
            answers,
            means: means.clone(),
            log,
            _process: process,
        };
        partner.versions = partner.ask(&json!(ids).to_string())?;
        let (found, expected) = (partner.versions.threads, means.threads);
        if found != expected {
            bail!("PyTorch computes with {found} threads; expected {expected}, as the Rust GPT-2");
        }
        Ok(partner)
    }

    /// The logits `[1, S, V]` of the prompt.
    pub(super) fn logits(&mut self) -> Result<Array3<f32>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("logits");
        let shape: [usize; 3] = self.ask(&format!("logits {}", path.display()))?;
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let (values, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            bail!("PyTorch left {} bytes of logits, which are no whole f32 values", bytes.len());
        }
        let values = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
        Array3::from_shape_vec(shape, values).with_context(|| format!("PyTorch's logits {shape:?}"))
    }

    /// The seconds of one forward pass.
    pub(super) fn seconds(&mut self) -> Result<f64> {
        self.ask("go")
    }

    fn ask<T: DeserializeOwned>(&mut self, command: &str) -> Result<T> {
        // If it is gone, the answer that does not come says so, and why.
        let _ = writeln!(self.stdin, "{command}").and_then(|()| self.stdin.flush());
        let answer = self.answer()?;
        serde_json::from_str(&answer)
            .with_context(|| format!("PyTorch's process answered what was not asked: {answer:.200}"))
    }

    fn answer(&self) -> Result<String> {
        let deadline = Instant::now() + self.means.time_limit;
        loop {
            self.means.interrupt.check()?;
            match self.answers.recv_timeout(GLANCE) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(RecvTimeoutError::Timeout) => {
                    bail!("no answer from PyTorch for {} s; it was ended", self.means.time_limit.as_secs())
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.gone()),
            }
        }
    }

    fn gone(&self) -> anyhow::Error {
        let said = last_lines(&self.log);
        let advice = if said.contains("ModuleNotFoundError") || said.contains("ImportError") {
            "make the Python environment again with `cargo xtask setup --fresh`"
        } else {
            "`cargo xtask doctor` shows whether something is missing"
        };
        anyhow!("PyTorch's process ended; {advice}. It said:\n{said}")
    }
}

/// The interpreter of the environment, with the references on its path and nothing of the user's.
pub(super) fn python(place: &Place) -> Result<Command> {
    let environment = place.python_environment();
    let interpreter = environment.join("bin/python");
    if !interpreter.is_file() {
        bail!(
            "{}: no Python environment, expected one with PyTorch; make it with `cargo xtask setup`",
            environment.display()
        );
    }
    let reference = std::path::absolute(place.reference())?;
    if !reference.join("trialplate_reference/bench_forward.py").is_file() {
        bail!("{}: does not hold the package trialplate_reference with its bench", reference.display());
    }
    let mut command = Command::new(interpreter);
    command.arg("-s").env("PYTHONPATH", reference).env_remove("PYTHONHOME");
    Ok(command)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn partner(folder: &Path, script: &str) -> Result<Partner> {
        let place = Place { root: "root".into(), cache: folder.to_owned(), worker: "worker".into() };
        let (time_limit, interrupt) = (Duration::from_secs(20), Default::default());
        let means = Means { place, threads: 2, time_limit, interrupt, locals: Vec::new() };
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        Partner::open(command, &[1, 2], &means)
    }

    const READY: &str = r#"echo '{"torch":"2","transformers":"5","threads":2,"capability":"AVX2"}'"#;

    #[test]
    fn it_is_asked_and_answers() {
        let script =
            format!("read ids; [ \"$ids\" = '[1,2]' ] && {READY}; read go; echo 0.25; read go; echo 1e-2");
        let folder = tempfile::tempdir().unwrap();
        let mut partner = partner(folder.path(), &script).unwrap();
        assert_eq!(partner.versions.torch, "2");
        let mut milliseconds = || partner.seconds().unwrap() * 1e3;
        assert_eq!((milliseconds(), milliseconds()), (250.0, 10.0));
    }

    #[test]
    fn logits_are_as_large_as_they_say() {
        let folder = tempfile::tempdir().unwrap();
        let answers = |shape: &str, bytes: &str| {
            let write = format!("read command path; printf '{bytes}' > \"$path\"; echo '{shape}'");
            partner(folder.path(), &format!("read ids; {READY}; {write}"))?.logits()
        };
        let logits = answers("[1,1,2]", r"\0\0\200\077\0\0\0\300").unwrap();
        assert_eq!(logits.into_raw_vec_and_offset().0, [1.0, -2.0]);
        assert!(answers("[1,1,3]", r"\0\0\200\077\0\0\0\300").is_err());
        assert!(answers("[1,1,1]", r"\0\0\200\077\0").is_err());
    }

    #[test]
    fn what_goes_wrong_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let told = |script: &str| {
            let outcome = partner(folder.path(), script).and_then(|mut partner| partner.seconds());
            format!("{:#}", outcome.unwrap_err())
        };
        let missing = told("echo \"ModuleNotFoundError: No module named 'torch'\" >&2");
        assert!(missing.contains("setup --fresh") && missing.contains("named 'torch'"), "{missing}");
        let died = told(&format!("read ids; {READY}; read go; echo 'no memory' >&2; exit 3"));
        assert!(died.contains("doctor") && died.contains("no memory"), "{died}");
        assert!(told("read ids; echo hello").contains("hello"));
        let threads = READY.replace(":2,", ":7,");
        assert!(told(&format!("read ids; {threads}")).contains("7 threads; expected 2"));
    }
}
