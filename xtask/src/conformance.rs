//! Builds one of the binaries, and becomes it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde::Deserialize;

use crate::failure::Failure;
use crate::process;
use crate::repository::Repository;
use crate::setup;

/// The binary of the product.
pub(crate) const CONFORMANCE: &str = "conformance";
/// The binary of the benches.
pub(crate) const BENCH: &str = "bench";
const WORKER: &str = "reference-bridge";

/// What is built before the binary starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// The binary alone, for what needs no reference; Python is not asked for.
    Alone,
    /// With the worker that runs the references.
    WithReferences,
    /// The same, optimised as it is when its speed is measured.
    ForBenches,
}

/// The programs and folders of a run.
pub(crate) struct Programs {
    /// The binary that was asked for.
    pub(crate) binary: PathBuf,
    /// The worker that runs the references.
    pub(crate) worker: PathBuf,
    /// Where captures and compiled kernels are kept.
    cache: PathBuf,
}

/// Builds a program that needs no Python, then becomes `PROGRAM COMMAND ARGUMENTS…`.
pub(crate) fn become_program(
    repository: &Repository,
    program: &str,
    command: &str,
    arguments: &[OsString],
) -> Result<ExitCode, Failure> {
    let mut cargo = repository.cargo();
    cargo.args(["build", "--message-format", "json-render-diagnostics", "--package", program]);
    if !stderr().is_terminal() {
        cargo.arg("--quiet");
        eprintln!("Building {program} …");
    }
    let mut built = run_cargo(cargo)?;
    let mut child = Command::new(built.remove(program).ok_or_else(|| not_built(program))?);
    child.arg(command).args(arguments);
    Err(process::become_command(child))
}

/// Runs cargo; the programs that it built.
fn run_cargo(cargo: Command) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut built = BTreeMap::new();
    let status = process::run_with_lines(cargo, |line| built.extend(executable(&line)))?;
    if !status.success() {
        return Err(Failure::new(format!("cargo build stopped with {}", process::describe(status)))
            .advice("see cargo's words above; `cargo xtask doctor` shows whether something is missing"));
    }
    Ok(built)
}

/// Builds, then becomes `BINARY COMMAND ARGUMENTS…`: same process, so its exit code is passed on unchanged and
/// every signal reaches it.
pub(crate) fn become_it(
    repository: &Repository,
    binary: &str,
    command: Option<&str>,
    arguments: &[OsString],
    build: Build,
) -> Result<ExitCode, Failure> {
    let programs = Programs::build(repository, binary, build)?;
    let mut program = Command::new(&programs.binary);
    program.args(command).args(arguments);
    programs.tell(&mut program, repository);
    Err(process::become_command(program))
}

/// Whether somebody only wants to know how a command is used.
pub(crate) fn asks_for_help(arguments: &[OsString]) -> bool {
    arguments.is_empty() || arguments.iter().any(|argument| argument == "--help" || argument == "-h")
}

/// Makes cargo, and what it starts, use the environment's interpreter.
pub(crate) fn link_python(cargo: &mut Command, repository: &Repository) {
    cargo.env("PYO3_PYTHON", repository.python()).env_remove("PYTHONPATH").env_remove("PYTHONHOME");
}

impl Programs {
    /// Builds them; with references, the Python environment is made first.
    pub(crate) fn build(repository: &Repository, binary: &str, build: Build) -> Result<Self, Failure> {
        let mut cargo = repository.cargo();
        cargo.args(["build", "--message-format", "json-render-diagnostics", "--package", binary]);
        if build != Build::Alone {
            setup::ensure(repository)?;
            link_python(&mut cargo, repository);
            cargo.args(["--package", WORKER]);
        }
        if build == Build::ForBenches {
            cargo.arg("--release");
        }
        if !stderr().is_terminal() {
            cargo.arg("--quiet");
            eprintln!(
                "Building {binary}{} …",
                if build == Build::Alone { "" } else { " and reference-bridge" }
            );
        }
        let mut built = run_cargo(cargo)?;
        let program = built.remove(binary).ok_or_else(|| not_built(binary))?;
        let worker = match build {
            Build::Alone => program.with_file_name(WORKER),
            Build::WithReferences | Build::ForBenches => {
                built.remove(WORKER).ok_or_else(|| not_built(WORKER))?
            }
        };
        let cache = repository.metadata()?.target_directory.join("trialplate");
        Ok(Self { binary: program, worker, cache })
    }

    /// Tells a child where everything is.
    pub(crate) fn tell(&self, child: &mut Command, repository: &Repository) {
        let places: [(&str, &Path); 5] = [
            ("TRIALPLATE_ROOT", repository.root()),
            ("TRIALPLATE_PYTHON_ENV", &repository.environment()),
            ("TRIALPLATE_REFERENCE", &repository.reference()),
            ("TRIALPLATE_WORKER", &self.worker),
            ("TRIALPLATE_CACHE", &self.cache),
        ];
        child.envs(places).env_remove("PYTHONPATH").env_remove("PYTHONHOME");
    }
}

/// The program that a line of cargo's messages tells of.
fn executable(message: &str) -> Option<(String, PathBuf)> {
    #[derive(Deserialize)]
    struct Message {
        target: Target,
        executable: PathBuf,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    // Messages of other kinds have other fields: they are none of ours.
    let message: Message = serde_json::from_str(message).ok()?;
    Some((message.target.name, message.executable))
}

fn not_built(name: &str) -> Failure {
    Failure::new(format!("cargo built no program named {name}"))
        .expected(format!("the crate crates/{name} with a binary of that name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_read_from_cargos_messages() {
        let artifact = r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"conformance"},"executable":"t/conformance","fresh":true}"#;
        assert_eq!(executable(artifact), Some(("conformance".into(), "t/conformance".into())));
        let library =
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"serde"},"executable":null}"#;
        assert_eq!(executable(library), None);
        assert_eq!(executable(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(executable("warning: not JSON"), None);
    }

    #[test]
    fn help_needs_no_references() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(asks_for_help(&[]));
        assert!(asks_for_help(&words(&["all", "--help"])));
        assert!(asks_for_help(&words(&["-h"])));
        assert!(!asks_for_help(&words(&["all", "--format", "json"])));
    }
}
