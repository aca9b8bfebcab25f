//! The worker binary; see the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use reference_bridge::{WorkerError, note, run_module, work};

fn main() -> ExitCode {
    match std::panic::catch_unwind(run) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            note(&error);
            ExitCode::from(error.exit_code())
        }
        // The panic has been printed by its hook.
        Err(_) => ExitCode::from(WorkerError::INTERNAL),
    }
}

fn run() -> Result<ExitCode, WorkerError> {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        None => work().map(|()| ExitCode::SUCCESS),
        Some(option) if option == "-m" => run_module(arguments.collect()),
        Some(other) => Err(WorkerError::Arguments(other)),
    }
}
