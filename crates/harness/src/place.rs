//! Where things are: the repository, its caches, the worker. Told by the environment that `cargo xtask` sets.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The model that comes with the repository, as results name it.
pub const BUNDLED_MODEL: &str = "gpt2-rustbook";

/// The places a run reads from and writes to.
#[derive(Clone, Debug)]
pub struct Place {
    /// The repository.
    pub root: PathBuf,
    /// Caches inside the build folder: models, captures, worker logs.
    pub cache: PathBuf,
    /// The program that runs Python references.
    pub worker: PathBuf,
}

impl Place {
    /// Reads `TRIALPLATE_ROOT`, `TRIALPLATE_CACHE` and `TRIALPLATE_WORKER`; the root is otherwise looked for from
    /// the working directory upwards, the others have their usual places in it.
    pub fn find() -> Result<Self> {
        let from = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
        let root = match from("TRIALPLATE_ROOT") {
            Some(root) => root,
            None => enclosing_repository(&std::env::current_dir()?)
                .context("not inside a Trialplate repository; start it with `cargo xtask checkpoint`")?,
        };
        let cache = from("TRIALPLATE_CACHE").unwrap_or_else(|| root.join("target/trialplate"));
        let worker = from("TRIALPLATE_WORKER").unwrap_or_else(|| root.join("target/debug/reference-bridge"));
        Ok(Self { root, cache, worker })
    }

    /// The model that comes with the repository.
    pub fn bundled_model(&self) -> PathBuf {
        self.root.join("reference/models").join(BUNDLED_MODEL)
    }

    /// Where captures of references are kept.
    pub fn captures(&self) -> PathBuf {
        self.cache.join("captures")
    }

    /// Where a run has what it needs for itself alone.
    pub fn works(&self) -> PathBuf {
        self.cache.join("work")
    }

    /// Where bundles go.
    pub fn bundles(&self) -> PathBuf {
        self.root.join("proof-bundles")
    }

    /// The Python environment that `cargo xtask setup` makes.
    pub fn python_environment(&self) -> PathBuf {
        std::env::var_os("TRIALPLATE_PYTHON_ENV").map_or_else(|| self.root.join(".venv"), PathBuf::from)
    }

    /// The Python package of the references.
    pub fn reference(&self) -> PathBuf {
        std::env::var_os("TRIALPLATE_REFERENCE").map_or_else(|| self.root.join("reference"), PathBuf::from)
    }
}

fn enclosing_repository(start: &Path) -> Option<PathBuf> {
    let is_root = |folder: &&Path| folder.join("crates/checkpoint-spec").is_dir();
    start.ancestors().find(is_root).map(Path::to_owned)
}
