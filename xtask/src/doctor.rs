//! `cargo xtask doctor`: what this machine has, what is missing, and the command that mends it.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::disk;
use crate::failure::{Failure, INTERNAL};
use crate::process;
use crate::progress::say;
use crate::python;
use crate::repository::Repository;
use crate::setup::{self, State};

const ENVIRONMENT: &str = "environment";
const SETUP: &str = "cargo xtask setup";

/// One line of the screen.
struct Finding {
    subject: &'static str,
    found: String,
    /// Set when it has to be mended.
    mend: Option<String>,
}

impl Finding {
    fn sound(subject: &'static str, found: impl Into<String>) -> Self {
        Self { subject, found: found.into(), mend: None }
    }

    fn wanting(subject: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { subject, found: found.into(), mend: Some(mend.into()) }
    }
}

/// The command.
pub(crate) fn run(repository: &Repository) -> Result<ExitCode, Failure> {
    let (python, environment, ready) = python(repository);
    let mend = if environment.mend.is_some() { SETUP } else { "cargo xtask setup --fresh" };
    let mut findings = vec![rust(repository), python, environment];
    if ready {
        findings.push(packages(repository, mend));
    }
    findings.push(compiler(repository, ready));
    findings.push(disk(repository, ready));
    say(&screen(&findings));
    let sound = findings.iter().all(|finding| finding.mend.is_none());
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(INTERNAL) })
}

fn screen(findings: &[Finding]) -> String {
    let mut lines = String::new();
    for Finding { subject, found, mend } in findings {
        let state = if mend.is_some() { "MISSING" } else { "ok" };
        lines.push_str(&format!("{state:<8} {subject:<12} {found}\n"));
        if let Some(mend) = mend {
            lines.push_str(&format!("{:<21} → {mend}\n", ""));
        }
    }
    let missing = findings.iter().filter(|finding| finding.mend.is_some()).count();
    lines.push_str(&match missing {
        0 => "\nAll there: `cargo xtask checkpoint all` can run.\n".to_owned(),
        1 => "\nOne thing is missing.\n".to_owned(),
        _ => format!("\n{missing} things are missing.\n"),
    });
    lines
}

fn rust(repository: &Repository) -> Finding {
    let parts = [["--version", "rustc"], ["fmt", "rustfmt"], ["clippy", "clippy"]];
    let mut found = Vec::new();
    for [argument, part] in parts {
        let mut command = if part == "rustc" { Command::new("rustc") } else { repository.cargo() };
        command.current_dir(repository.root()).arg(argument);
        if part != "rustc" {
            command.arg("--version");
        }
        match process::output(&mut command) {
            Ok(version) => found.push(version.trim().to_owned()),
            Err(reason) => {
                let mend = "run `rustup toolchain install` in this folder: rust-toolchain.toml says which";
                return Finding::wanting("Rust", format!("{part} does not run ({reason})"), mend);
            }
        }
    }
    let rustc = found.first().map_or("", |version| version.split(" (").next().unwrap_or(version));
    Finding::sound("Rust", format!("{rustc} with rustfmt and clippy"))
}

/// The interpreter, the environment, and whether the environment is ready.
fn python(repository: &Repository) -> (Finding, Finding, bool) {
    let wanted = match setup::wanted(repository) {
        Ok(wanted) => wanted,
        Err(failure) => {
            let cannot = Finding::wanting(ENVIRONMENT, "not looked at", "see to Python first");
            return (Finding::wanting("Python", failure.found(), failure.mend()), cannot, false);
        }
    };
    match setup::inspect(repository, &wanted) {
        State::Current(stamp) => {
            let ready = Finding::sound(ENVIRONMENT, ".venv is up to date");
            (interpreter(&stamp.interpreter), ready, true)
        }
        State::Outdated { stamp, why } => {
            let wanting = Finding::wanting(ENVIRONMENT, format!(".venv: {why}"), SETUP);
            (interpreter(&stamp.interpreter), wanting, true)
        }
        State::Unfit { why } => {
            let wanting = Finding::wanting(ENVIRONMENT, format!(".venv: {why}"), SETUP);
            let python = match wanted.interpreter.map_or_else(python::find, Ok) {
                Ok(found) => interpreter(&found),
                Err(failure) => Finding::wanting("Python", failure.found(), failure.mend()),
            };
            (python, wanting, false)
        }
    }
}

fn interpreter(python: &python::Interpreter) -> Finding {
    let library =
        python.library.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Finding::sound("Python", format!("{} with {library} ({})", python.version, python.executable.display()))
}

fn packages(repository: &Repository, mend: &str) -> Finding {
    match setup::packages(repository) {
        Err(failure) => Finding::wanting("packages", failure.found(), mend),
        Ok(found) if found.missing.is_empty() && found.different.is_empty() => {
            Finding::sound("packages", format!("{} of {} as locked", found.checked, found.checked))
        }
        Ok(found) => {
            let wrong: Vec<String> = found
                .missing
                .iter()
                .map(|package| format!("{package} is missing"))
                .chain(found.different)
                .collect();
            let sound = found.checked.saturating_sub(wrong.len());
            let shown = wrong.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
            let more = if wrong.len() > 4 { ", …" } else { "" };
            Finding::wanting(
                "packages",
                format!("{sound} of {} as locked: {shown}{more}", found.checked),
                mend,
            )
        }
    }
}

/// tinygrad compiles its kernels with clang; the locked package ziglang carries one.
fn compiler(repository: &Repository, ready: bool) -> Finding {
    let mend = if ready {
        "run `cargo xtask setup --fresh`, or install clang"
    } else {
        "run `cargo xtask setup`, which brings one, or install clang"
    };
    if let Ok(version) = process::output(Command::new("clang").arg("--version")) {
        return Finding::sound("C compiler", version.lines().next().unwrap_or("clang"));
    }
    let Some(zig) = zig(repository) else {
        return Finding::wanting("C compiler", "neither clang nor the package ziglang", mend);
    };
    match process::output(Command::new(zig).arg("version")) {
        Ok(version) => Finding::sound(
            "C compiler",
            format!("the clang of zig {}, from the package ziglang", version.trim()),
        ),
        Err(reason) => {
            Finding::wanting("C compiler", format!("the package ziglang does not run ({reason})"), mend)
        }
    }
}

fn zig(repository: &Repository) -> Option<PathBuf> {
    let libraries = repository.environment().join("lib").read_dir().ok()?;
    libraries.flatten().map(|entry| entry.path().join("site-packages/ziglang/zig")).find(|zig| zig.is_file())
}

fn disk(repository: &Repository, ready: bool) -> Finding {
    let needed = if ready { disk::BUILD } else { disk::BUILD + disk::ENVIRONMENT };
    let Some(free) = disk::free(repository.root()) else {
        return Finding::sound("disk", "the system does not say how much is free");
    };
    let found = format!("{} free, {} needed", disk::gigabytes(free), disk::gigabytes(needed));
    if free < needed {
        return Finding::wanting("disk", found, "make room; UV_TORCH_BACKEND=cpu saves about 5 GB at set-up");
    }
    Finding::sound("disk", found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_says_what_mends_what_is_missing() {
        let findings = [
            Finding::sound("Rust", "rustc 1.95.0"),
            Finding::wanting("packages", "55 of 56", "cargo xtask setup"),
        ];
        assert_eq!(
            screen(&findings),
            "ok       Rust         rustc 1.95.0\n\
             MISSING  packages     55 of 56\n                      → cargo xtask setup\n\n\
             One thing is missing.\n"
        );
    }

    #[test]
    fn an_environment_without_a_compiler_is_seen() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(zig(&Repository::at(place.path())), None);
        let zig_file = place.path().join(".venv/lib/python3.11/site-packages/ziglang/zig");
        std::fs::create_dir_all(zig_file.parent().unwrap()).unwrap();
        std::fs::write(&zig_file, "").unwrap();
        assert_eq!(zig(&Repository::at(place.path())), Some(zig_file));
    }
}
