//! Where things are.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::failure::Failure;
use crate::process;

/// A clone of the project.
pub(crate) struct Repository {
    root: PathBuf,
}

impl Repository {
    /// The clone that holds the present directory, else the one that this program was built from.
    pub(crate) fn locate() -> Result<Self, Failure> {
        let here =
            env::current_dir().map_err(|error| Failure::new(format!("no present directory: {error}")))?;
        let built_from = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.ancestors().chain(built_from.parent()).find(|folder| is_root(folder));
        match root {
            Some(root) => Ok(Self { root: root.to_owned() }),
            None => Err(Failure::new(format!("{} is not inside a clone of Trialplate", here.display()))
                .expected("a folder with xtask/Cargo.toml and reference/requirements.lock in it or above it")
                .advice("run `cargo xtask` from inside the clone")),
        }
    }

    /// A clone at a known place.
    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Its top folder, absolute.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The Python package and the models.
    pub(crate) fn reference(&self) -> PathBuf {
        self.root.join("reference")
    }

    /// The Python environment; it belongs to `cargo xtask setup`.
    pub(crate) fn environment(&self) -> PathBuf {
        self.root.join(".venv")
    }

    /// The interpreter of the environment.
    pub(crate) fn python(&self) -> PathBuf {
        self.environment().join("bin/python")
    }

    /// The lock file of the environment's packages.
    pub(crate) fn requirements(&self) -> PathBuf {
        self.reference().join("requirements.lock")
    }

    /// The lock file of the installer.
    pub(crate) fn installer_requirements(&self) -> PathBuf {
        self.reference().join("installer.lock")
    }

    /// Cargo, as it was called.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root);
        cargo
    }

    /// A program of the environment; the user's own Python settings do not reach it.
    pub(crate) fn python_command(&self) -> Command {
        let mut python = Command::new(self.python());
        python.current_dir(&self.root).env_remove("PYTHONPATH").env_remove("PYTHONHOME");
        python
    }

    /// What cargo knows of the workspace, without its dependencies' dependencies.
    pub(crate) fn metadata(&self) -> Result<Metadata, Failure> {
        let mut cargo = self.cargo();
        let told =
            process::output(cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]))
                .map_err(|reason| Failure::new("`cargo metadata` failed").said([reason]))?;
        serde_json::from_str(&told)
            .map_err(|error| Failure::new(format!("`cargo metadata` said what cannot be read: {error}")))
    }

    /// Text of a file that belongs to the project.
    pub(crate) fn read(&self, path: &Path) -> Result<String, Failure> {
        fs::read_to_string(path).map_err(|error| {
            Failure::new(format!("{}: {error}", path.display()))
                .expected("a file that comes with the project")
                .advice("`git status` shows whether it was deleted")
        })
    }
}

fn is_root(folder: &Path) -> bool {
    folder.join("xtask/Cargo.toml").is_file() && folder.join("reference/requirements.lock").is_file()
}

/// The part of `cargo metadata` that is used.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
}

/// One crate of the workspace.
#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// What a crate asks for.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None`, `dev` or `build`.
    pub(crate) kind: Option<String>,
    /// Set for crates of the workspace.
    pub(crate) path: Option<PathBuf>,
}
