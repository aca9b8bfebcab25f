//! The interpreter: a worker that runs a Python reference and writes its captures.
//!
//! The worker speaks [`capture::protocol`]: one work list on standard input, one event per line on standard output.
//! It is told where Python is by two variables: `TRIALPLATE_PYTHON_ENV`, a virtual environment, and
//! `TRIALPLATE_REFERENCE`, the folder that holds the package `trialplate_reference`.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | every job was attempted; each has its event |
//! | 64 | the work list is malformed |
//! | 70 | anything else that stopped the worker: no environment, no session, nobody to answer to |
//!
//! A crash of the interpreter or of a library ends the worker with that signal. A time limit is the parent's to set;
//! a worker whose parent is gone ends by itself.
//!
//! Architecture invariants: the only crate that links Python. It knows no spec: what passes the wall is a well-formed
//! array under a well-formed name, not a right one.
#![forbid(unsafe_code)]

mod answers;
mod arrays;
mod error;
mod python;
mod session;

pub use error::{WorkerError, note};

/// Reads the work list, opens the session, attempts every job in order.
pub fn work() -> Result<(), WorkerError> {
    let environment = python::Environment::from_variables(|name| std::env::var_os(name))?;
    environment.enter()?;
    let mut answers = answers::take_stdout().map_err(WorkerError::Answers)?;
    let list = capture::worker::read_work_list(std::io::stdin().lock())?;
    environment.activate()?;
    let mut session = session::PythonSession::open(&list)?;
    capture::worker::attempt_all(&list, &mut session, &mut answers, &mut std::io::stderr())
        .map_err(WorkerError::Answers)?;
    python::run_exit_functions();
    Ok(())
}
