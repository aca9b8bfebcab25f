//! `cargo xtask test`: all that must hold before a change is merged. `.ci/run` and the workflow call it.

use std::collections::BTreeSet;
use std::io::{IsTerminal, stdout};
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use crate::conformance::{self, Build, CONFORMANCE, Programs};
use crate::failure::{Failure, NOT_CONFORMING};
use crate::process;
use crate::progress::{say, seconds};
use crate::repository::Repository;
use crate::{setup, tidy};

const EXAMPLES: &str = "\
Examples:
  cargo xtask test                           everything, until the first step that fails
  cargo xtask test --keep-going              everything, and the failures together at the end
  cargo xtask test --only fmt --only clippy  these steps
  cargo xtask test --list                    what the steps are";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Run only this step (may be given several times)
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Go on after a step that fails
    #[arg(long)]
    keep_going: bool,
    /// List the steps and end
    #[arg(long)]
    list: bool,
}

/// One thing that must hold.
struct Step {
    name: &'static str,
    says: &'static str,
    work: Work,
}

enum Work {
    /// Cargo with these arguments; Python is not needed.
    Cargo(&'static [&'static str]),
    /// The same, for what links Python.
    CargoWithPython(&'static [&'static str]),
    /// The same, for what starts the references.
    CargoWithReferences(&'static [&'static str]),
    /// A module of the environment with these arguments, in `reference/`.
    Python(&'static [&'static str]),
    Setup,
    Tidy,
    /// The verifier of bundles in Python, on the bundles that cargo's verifier is tested on.
    SecondVerifier,
    CheckpointAll,
}

/// Quick ones first.
const STEPS: [Step; 11] = [
    Step { name: "fmt", says: "format of the Rust code", work: Work::Cargo(&["fmt", "--all", "--check"]) },
    Step { name: "tidy", says: "the repository's own rules", work: Work::Tidy },
    Step { name: "setup", says: "the Python environment", work: Work::Setup },
    Step {
        name: "ruff-format",
        says: "format of the Python code",
        work: Work::Python(&["ruff", "format", "--check", "--config", "pyproject.toml", ".", "../xtask"]),
    },
    Step {
        name: "ruff",
        says: "lints of the Python code",
        work: Work::Python(&["ruff", "check", "--config", "pyproject.toml", ".", "../xtask"]),
    },
    Step { name: "mypy", says: "types of the Python code", work: Work::Python(&["mypy", "--strict"]) },
    Step {
        name: "clippy",
        says: "lints of the Rust code",
        work: Work::CargoWithPython(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    },
    Step {
        name: "rust",
        says: "tests of the Rust code",
        work: Work::CargoWithReferences(&["test", "--workspace"]),
    },
    Step { name: "pytest", says: "tests of the Python code", work: Work::Python(&["pytest"]) },
    Step {
        name: "verifiers",
        says: "the second verifier on every hostile bundle",
        work: Work::SecondVerifier,
    },
    Step { name: "checkpoint", says: "`checkpoint all` on the bundled model", work: Work::CheckpointAll },
];

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed(Duration),
    Failed(Duration, String),
    NotRun,
}

/// The command.
pub(crate) fn run(repository: &Repository, arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.list {
        STEPS.iter().for_each(|step| say(&format!("{:<12} {}\n", step.name, step.says)));
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = choose(&arguments.only)?;
    let mut outcomes = Vec::new();
    let mut go_on = true;
    for (number, step) in chosen.iter().enumerate() {
        let outcome = if go_on {
            heading(&format!("{}/{} {}: {}", number + 1, chosen.len(), step.name, step.says));
            attempt(repository, step)?
        } else {
            Outcome::NotRun
        };
        go_on &= arguments.keep_going || !matches!(outcome, Outcome::Failed(..));
        outcomes.push((step.name, outcome));
    }
    heading("summary");
    say(&summary(&outcomes));
    let passed = outcomes.iter().all(|(_, outcome)| matches!(outcome, Outcome::Passed(_)));
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(NOT_CONFORMING) })
}

fn choose(only: &[String]) -> Result<Vec<&'static Step>, Failure> {
    let asked: BTreeSet<&str> = only.iter().map(String::as_str).collect();
    if let Some(unknown) = asked.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        return Err(Failure::usage(format!("there is no step {unknown:?}"))
            .expected(format!("one of {}", names.join(", ")))
            .advice("`cargo xtask test --list` says what each of them does"));
    }
    Ok(STEPS.iter().filter(|step| asked.is_empty() || asked.contains(step.name)).collect())
}

/// An interrupt ends everything; any other failure is the step's own.
fn attempt(repository: &Repository, step: &Step) -> Result<Outcome, Failure> {
    let started = Instant::now();
    match work(repository, &step.work) {
        Ok(None) => Ok(Outcome::Passed(started.elapsed())),
        Ok(Some(why)) => Ok(Outcome::Failed(started.elapsed(), why)),
        Err(failure) if failure.is_interrupt() => Err(failure),
        Err(failure) => {
            eprintln!("{failure}");
            Ok(Outcome::Failed(started.elapsed(), failure.found()))
        }
    }
}

/// Why it failed, if it did.
fn work(repository: &Repository, work: &Work) -> Result<Option<String>, Failure> {
    let status = match work {
        Work::Setup => return setup::ensure(repository).map(|_| None),
        Work::Tidy => {
            let broken = tidy::report(repository)?;
            return Ok((broken > 0).then(|| format!("{broken} places break a rule")));
        }
        Work::Cargo(arguments) => {
            let mut cargo = repository.cargo();
            cargo.args(*arguments);
            process::run(cargo)?
        }
        Work::CargoWithPython(arguments) => {
            setup::ensure(repository)?;
            let mut cargo = repository.cargo();
            cargo.args(*arguments);
            conformance::link_python(&mut cargo, repository);
            process::run(cargo)?
        }
        Work::CargoWithReferences(arguments) => {
            let programs = Programs::build(repository, CONFORMANCE, Build::WithReferences)?;
            let mut cargo = repository.cargo();
            cargo.args(*arguments);
            programs.tell(&mut cargo, repository);
            conformance::link_python(&mut cargo, repository);
            process::run(cargo)?
        }
        Work::Python(arguments) => {
            setup::ensure(repository)?;
            let mut python = repository.python_command();
            python.current_dir(repository.reference()).arg("-m").args(*arguments);
            process::run(python)?
        }
        Work::SecondVerifier => {
            setup::ensure(repository)?;
            let mut cargo = repository.cargo();
            // Of the whole workspace: another choice of packages would compile the dependencies anew.
            cargo
                .args(["test", "--workspace", "--test", "hostile", "--", "against"])
                .arg(repository.python())
                .arg(repository.reference().join("verify_bundle.py"))
                .arg("--historical");
            conformance::link_python(&mut cargo, repository);
            process::run(cargo)?
        }
        Work::CheckpointAll => {
            let programs = Programs::build(repository, CONFORMANCE, Build::WithReferences)?;
            let mut all = Command::new(&programs.binary);
            all.current_dir(repository.root()).args(["checkpoint", "all"]);
            programs.tell(&mut all, repository);
            process::run(all)?
        }
    };
    Ok(complaint(status))
}

fn complaint(status: ExitStatus) -> Option<String> {
    (!status.success()).then(|| process::describe(status))
}

fn heading(text: &str) {
    let (bold, plain) = if stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    say(&format!("\n{bold}== {text} =={plain}\n"));
}

fn summary(outcomes: &[(&str, Outcome)]) -> String {
    let mut text = String::new();
    for (name, outcome) in outcomes {
        let line = match outcome {
            Outcome::Passed(took) => format!("ok       {name:<12} {:>12}", seconds(*took)),
            Outcome::Failed(took, why) => format!("FAILED   {name:<12} {:>12}  {why}", seconds(*took)),
            Outcome::NotRun => format!("not run  {name}"),
        };
        text.push_str(&line);
        text.push('\n');
    }
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|(_, outcome)| wanted(outcome)).count();
    let passed = count(|outcome| matches!(outcome, Outcome::Passed(_)));
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(..)));
    let not_run = count(|outcome| matches!(outcome, Outcome::NotRun));
    let rest = if not_run > 0 { format!(", {not_run} skipped") } else { String::new() };
    text + &format!("\nsteps: {passed} passed, {failed} failed{rest}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_what_failed_and_what_was_not_run() {
        let outcomes = [
            ("fmt", Outcome::Passed(Duration::from_millis(900))),
            ("clippy", Outcome::Failed(Duration::from_secs(75), "exit code 101".into())),
            ("rust", Outcome::NotRun),
        ];
        assert_eq!(
            summary(&outcomes),
            "ok       fmt                 0.9 s\n\
             FAILED   clippy         1 min 15 s  exit code 101\n\
             not run  rust\n\n\
             steps: 1 passed, 1 failed, 1 skipped\n"
        );
    }

    #[test]
    fn steps_run_in_their_own_order_and_once() {
        let names = |only: &[&str]| -> Vec<&str> {
            let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
            choose(&only).unwrap().iter().map(|step| step.name).collect()
        };
        assert_eq!(names(&["clippy", "fmt", "clippy"]), ["fmt", "clippy"]);
        assert_eq!(names(&[]).len(), STEPS.len());
    }

    #[test]
    fn an_unknown_step_is_a_usage_error() {
        let refusal = choose(&["clipy".into()]).err().unwrap();
        assert_eq!(refusal.code, 64);
        assert!(refusal.to_string().contains("clippy"), "{refusal}");
    }
}
