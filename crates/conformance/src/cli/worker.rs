//! `worker`: the Rust GPT-2 in a process of its own, as any engine that speaks the worker protocol.

use std::process::ExitCode;

use anyhow::{Context, Result};
use capture::Precision;
use capture::worker::{attempt_all, read_work_list};

use crate::rust::RustSession;
use harness::exit::usage;

/// Reads the work list from standard input, attempts every job, answers on standard output.
pub fn run() -> Result<ExitCode> {
    let list = read_work_list(std::io::stdin().lock()).map_err(|error| usage(error.to_string()))?;
    if list.precision != Precision::F32 {
        return Err(usage(format!("{} was asked for; the Rust GPT-2 computes in f32", list.precision)));
    }
    let mut session = RustSession::open(&list.implementation, &list.model, list.threads)?;
    attempt_all(&list, &mut session, &mut std::io::stdout().lock(), &mut std::io::stderr())
        .context("standard output")?;
    Ok(ExitCode::SUCCESS)
}
