//! `cargo xtask setup`: the Python environment of the references, in `.venv`.
//!
//! An environment counts when its stamp says so, and the stamp is written last: an install that was interrupted leaves
//! none and is done again from scratch. Nothing is written outside the repository, the installer's own cache apart.

mod environment;
mod install;
mod stamp;
mod step;
mod torch;

use std::env;
use std::process::ExitCode;

use crate::disk;
use crate::failure::Failure;
use crate::progress::say;
use crate::python::{self, Interpreter};
use crate::repository::Repository;

pub(crate) use install::packages;
pub(crate) use stamp::{Stamp, State, Wanted, inspect};

const EXAMPLES: &str = "\
Examples:
  cargo xtask setup                                  does nothing when the environment is up to date
  cargo xtask setup --fresh                          makes it again from scratch
  TRIALPLATE_PYTHON=python3.12 cargo xtask setup     with this interpreter
  UV_TORCH_BACKEND=cpu cargo xtask setup             with PyTorch's small build, without its GPU libraries

The settings of pip and uv for index, proxy and certificates are honoured.";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Make the environment from scratch even when it is up to date
    #[arg(long)]
    fresh: bool,
}

/// The command.
pub(crate) fn run(repository: &Repository, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let stamp = if arguments.fresh { renew(repository)? } else { ensure(repository)? };
    say(&format!("Python {} is ready in .venv\n", stamp.interpreter.version));
    Ok(ExitCode::SUCCESS)
}

/// Makes the environment unless it is up to date, which takes some milliseconds to see.
pub(crate) fn ensure(repository: &Repository) -> Result<Stamp, Failure> {
    let wanted = wanted(repository)?;
    // Nothing is touched before there is an interpreter.
    let interpreter = match inspect(repository, &wanted) {
        State::Current(stamp) => return Ok(stamp),
        State::Outdated { stamp, .. } => stamp.interpreter,
        State::Unfit { .. } => interpreter(&wanted)?,
    };
    let _held = environment::lock(repository)?;
    // Somebody else may have finished it in the meantime.
    match inspect(repository, &wanted) {
        State::Current(stamp) => Ok(stamp),
        State::Outdated { stamp, why } => mend(repository, wanted, stamp, &why),
        State::Unfit { why } => make(repository, &wanted, &interpreter, &why),
    }
}

fn renew(repository: &Repository) -> Result<Stamp, Failure> {
    let wanted = wanted(repository)?;
    let interpreter = interpreter(&wanted)?;
    let _held = environment::lock(repository)?;
    make(repository, &wanted, &interpreter, "as asked")
}

/// What the environment has to be now.
pub(crate) fn wanted(repository: &Repository) -> Result<Wanted, Failure> {
    let locks = [
        repository.read(&repository.requirements())?,
        repository.read(&repository.installer_requirements())?,
    ];
    let interpreter = env::var_os(python::CHOICE).map(|_| python::find()).transpose()?;
    Ok(Wanted { locks, interpreter, torch_backend: env::var(torch::BACKEND).ok() })
}

fn interpreter(wanted: &Wanted) -> Result<Interpreter, Failure> {
    wanted.interpreter.clone().map_or_else(python::find, Ok)
}

fn make(
    repository: &Repository,
    wanted: &Wanted,
    interpreter: &Interpreter,
    why: &str,
) -> Result<Stamp, Failure> {
    eprintln!("The Python environment is made in .venv with Python {}: {why}.", interpreter.version);
    stamp::remove(repository)?;
    environment::clear(repository)?;
    warn_of_a_full_disk(repository);
    let made =
        environment::create(repository, interpreter).and_then(|()| complete(repository, wanted, interpreter));
    if made.as_ref().is_err_and(|failure| !failure.is_interrupt()) {
        // Half an environment is of no use, and its space may be what was missing.
        environment::clear(repository)?;
    }
    made
}

fn mend(repository: &Repository, mut wanted: Wanted, stamp: Stamp, why: &str) -> Result<Stamp, Failure> {
    eprintln!("The Python environment in .venv is brought up to date: {why}.");
    stamp::remove(repository)?;
    wanted.torch_backend = wanted.torch_backend.or(stamp.torch_backend);
    complete(repository, &wanted, &stamp.interpreter)
}

fn complete(repository: &Repository, wanted: &Wanted, interpreter: &Interpreter) -> Result<Stamp, Failure> {
    install::install(repository, wanted)?;
    let stamp = Stamp::of(repository, wanted, interpreter)?;
    stamp.write(repository)?;
    Ok(stamp)
}

fn warn_of_a_full_disk(repository: &Repository) {
    if let Some(free) = disk::free(repository.root())
        && free < disk::ENVIRONMENT
    {
        eprintln!(
            "note: {} are free, and the environment takes about {} (UV_TORCH_BACKEND=cpu makes it smaller)",
            disk::gigabytes(free),
            disk::gigabytes(disk::ENVIRONMENT)
        );
    }
}
