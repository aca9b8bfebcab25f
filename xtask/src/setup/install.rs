//! The locked packages, each with its digest.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::stamp::Wanted;
use super::step::step;
use super::torch;
use crate::failure::Failure;
use crate::process;
use crate::repository::Repository;

const CHECK: &str = include_str!("../../python/packages.py");
const WITHOUT_TORCH: &str = "requirements-without-torch.lock";

/// How the installed packages stand to the lock file.
#[derive(Deserialize)]
pub(crate) struct Packages {
    /// How many the lock file asks for on this machine.
    pub(crate) checked: usize,
    /// `name version`.
    pub(crate) missing: Vec<String>,
    /// `name installed (locked: version)`.
    pub(crate) different: Vec<String>,
}

/// Installs what the lock files name, removes what they do not, and looks at the result.
pub(super) fn install(repository: &Repository, wanted: &Wanted) -> Result<(), Failure> {
    let mut pip = repository.python_command();
    pip.args([
        "-I",
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--require-hashes",
        "--no-deps",
        "-r",
    ])
    .arg(repository.installer_requirements());
    step("Installing the installer, uv", pip)?;

    match &wanted.torch_backend {
        None => sync(repository, &repository.requirements())?,
        Some(backend) => sync_with_backend(repository, backend)?,
    }

    let found = packages(repository)?;
    if found.missing.is_empty() && found.different.is_empty() {
        return Ok(());
    }
    Err(Failure::new("the installed packages are not those of the lock file")
        .said(found.missing.into_iter().map(|package| format!("{package} is missing")).chain(found.different))
        .advice("run `cargo xtask setup --fresh`"))
}

/// Asks the environment what it holds.
pub(crate) fn packages(repository: &Repository) -> Result<Packages, Failure> {
    let mut ask = repository.python_command();
    ask.args(["-I", "-c", CHECK]).arg(locked(repository));
    let mend = "run `cargo xtask setup --fresh`";
    let said = process::output(&mut ask).map_err(|reason| {
        Failure::new(format!("the packages in .venv cannot be listed: {reason}")).advice(mend)
    })?;
    serde_json::from_str(&said).map_err(|error| {
        Failure::new(format!("the packages in .venv cannot be listed: {error}")).advice(mend)
    })
}

fn sync(repository: &Repository, lock: &Path) -> Result<(), Failure> {
    let mut uv = uv(repository, &["pip", "sync", "--require-hashes"]);
    uv.arg(lock);
    step("Installing the locked Python packages", uv)
}

fn sync_with_backend(repository: &Repository, backend: &str) -> Result<(), Failure> {
    let (rest, torch) = torch::set_apart(&repository.read(&repository.requirements())?);
    let lock = repository.environment().join(WITHOUT_TORCH);
    fs::write(&lock, rest)
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", lock.display())))?;
    sync(repository, &lock)?;
    let Some(torch) = torch else { return Ok(()) };
    eprintln!(
        "note: {torch} for {backend} is held by its version alone: the lock file knows no digest of it"
    );
    let mut uv = uv(repository, &["pip", "install", "--no-deps"]);
    uv.arg(torch);
    step("Installing PyTorch", uv)
}

/// The lock file that the environment was filled from.
fn locked(repository: &Repository) -> PathBuf {
    let apart = repository.environment().join(WITHOUT_TORCH);
    if apart.is_file() { apart } else { repository.requirements() }
}

fn uv(repository: &Repository, arguments: &[&str]) -> Command {
    let mut uv = Command::new(repository.environment().join("bin/uv"));
    uv.current_dir(repository.root()).args(arguments).arg("--python").arg(repository.python());
    // uv does not read pip's variable, and whoever has to use a mirror has set one of them.
    if env::var_os("UV_DEFAULT_INDEX").is_none()
        && env::var_os("UV_INDEX_URL").is_none()
        && let Some(index) = env::var_os("PIP_INDEX_URL")
    {
        uv.env("UV_DEFAULT_INDEX", index);
    }
    uv
}
