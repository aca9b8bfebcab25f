//! The worker binary; see the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use reference_bridge::{WorkerError, note, work};

fn main() -> ExitCode {
    match std::panic::catch_unwind(run) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            note(&error);
            ExitCode::from(error.exit_code())
        }
        // The panic has been printed by its hook.
        Err(_) => ExitCode::from(WorkerError::INTERNAL),
    }
}

fn run() -> Result<(), WorkerError> {
    match std::env::args_os().nth(1) {
        None => work(),
        Some(argument) => Err(WorkerError::Argument(argument)),
    }
}
