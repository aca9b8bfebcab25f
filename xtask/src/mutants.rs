//! `cargo xtask mutants`: the ruler and the judge under mutation. Each mutant is the code changed in one place; a test must
//! see it, or it is listed in `.cargo/mutants-survivors.json` with the reason why none can.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use serde::Deserialize;

use crate::failure::{Failure, NOT_CONFORMING};
use crate::process;
use crate::progress::say;
use crate::repository::Repository;

const EXAMPLES: &str = "\
Examples:
  cargo xtask mutants                                  every mutant (an hour or two)
  cargo xtask mutants --file '**/judge/faults.rs'      those of some files
  cargo xtask mutants --shard 0/8                      an eighth of them

Without --file: tensor-compare, and the judge of checkpoint-spec. Exit code 1 when a mutant survives that is not listed with a reason in
.cargo/mutants-survivors.json. Needs cargo-mutants.";

/// The ruler and the judge.
const EXAMINED: [&str; 3] = [
    "crates/tensor-compare/src/**/*.rs",
    "crates/checkpoint-spec/src/judge.rs",
    "crates/checkpoint-spec/src/judge/**/*.rs",
];
const LIST: &str = ".cargo/mutants-survivors.json";
const OUTPUT: &str = "target/mutants";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Only mutants of these files (a glob; may be given several times)
    #[arg(long, value_name = "GLOB")]
    file: Vec<String>,
    /// Only a part of them: K/N, K from 0
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
}

/// A mutant that may survive.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Survivor {
    /// As cargo-mutants names it, without line and column.
    mutant: String,
    /// In how many places of the function.
    places: usize,
    /// Why no test can see it.
    reason: String,
}

/// The command.
pub(crate) fn run(repository: &Repository, arguments: &Arguments) -> Result<ExitCode, Failure> {
    process::output(repository.cargo().args(["mutants", "--version"])).map_err(|reason| {
        Failure::new(format!("no cargo-mutants: {reason}"))
            .expected("`cargo mutants`, which makes the mutants")
            .advice("cargo install cargo-mutants --locked")
    })?;
    let listed = listed(&repository.root().join(LIST))?;
    let outcome = process::run(mutate(repository, arguments))?;
    // Exit codes of cargo-mutants: 0 all caught, 2 some missed, 3 some ran too long.
    if !matches!(outcome.code(), Some(0 | 2 | 3)) {
        return Err(Failure::new(format!("cargo mutants stopped with {}", process::describe(outcome)))
            .advice("see its output above"));
    }
    let out = repository.root().join(OUTPUT).join("mutants.out");
    let [missed, caught, timed_out] =
        [read(&out, "missed.txt")?, read(&out, "caught.txt")?, read(&out, "timeout.txt")?];
    let seen = caught.lines().count() + timed_out.lines().count();
    if seen == 0 {
        return Err(Failure::new("no mutant was seen by a test")
            .expected("some: where none is, nothing was tried")
            .advice("look at --file and --shard"));
    }
    let survived = count(missed.lines());
    let unlisted = beyond(&survived, &listed);
    say(&format!(
        "\nmutants: {seen} seen, {} survived, {} of them not listed in {LIST}\n",
        survived.values().sum::<usize>(),
        unlisted.len()
    ));
    unlisted.iter().for_each(|mutant| say(&format!("  {mutant}\n")));
    Ok(if unlisted.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(NOT_CONFORMING) })
}

fn mutate(repository: &Repository, arguments: &Arguments) -> Command {
    let mut mutants = repository.cargo();
    mutants.current_dir(repository.root()).args(["mutants", "--output", OUTPUT]);
    // Neither is a default member of the workspace, and without a name only those are mutated.
    mutants.args(["--package", "tensor-compare", "--package", "checkpoint-spec"]);
    let all = EXAMINED.map(str::to_owned);
    for glob in if arguments.file.is_empty() { &all[..] } else { &arguments.file[..] } {
        mutants.args(["--file", glob]);
    }
    if let Some(shard) = &arguments.shard {
        mutants.args(["--shard", shard]);
    }
    mutants
}

fn read(folder: &Path, file: &str) -> Result<String, Failure> {
    let path = folder.join(file);
    fs::read_to_string(&path)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))
}

fn listed(path: &Path) -> Result<BTreeMap<String, usize>, Failure> {
    let broken = |reason: String| Failure::new(format!("cannot read {}: {reason}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| broken(error.to_string()))?;
    let survivors: Vec<Survivor> = serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
    if let Some(bare) = survivors.iter().find(|survivor| survivor.reason.trim().is_empty()) {
        return Err(broken(format!("{:?} has no reason", bare.mutant)));
    }
    Ok(survivors.into_iter().map(|survivor| (survivor.mutant, survivor.places)).collect())
}

/// How often each mutant is there, by its name without line and column.
fn count<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(without_place(line)).or_default() += 1;
    }
    counts
}

/// `a/b.rs:12:5: replace …` gives `a/b.rs: replace …`.
fn without_place(line: &str) -> String {
    let mut parts = line.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(file), Some(_), Some(_), Some(what)) => format!("{file}:{what}"),
        _ => line.to_owned(),
    }
}

/// Those that survived in more places than are listed.
fn beyond(survived: &BTreeMap<String, usize>, listed: &BTreeMap<String, usize>) -> Vec<String> {
    let more = |(mutant, places): &(&String, &usize)| **places > listed.get(*mutant).copied().unwrap_or(0);
    survived.iter().filter(more).map(|(mutant, places)| format!("{mutant} (in {places} places)")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_survivor_is_known_by_file_and_change_not_by_its_line() {
        let found = count(["a.rs:1:2: replace + with - in f", "a.rs:9:2: replace + with - in f"].into_iter());
        assert_eq!(found, BTreeMap::from([("a.rs: replace + with - in f".to_owned(), 2)]));
        assert!(beyond(&found, &found).is_empty());
        let fewer = BTreeMap::from([("a.rs: replace + with - in f".to_owned(), 1)]);
        assert_eq!(beyond(&found, &fewer).len(), 1, "a second place is a second mutant");
        assert_eq!(beyond(&found, &BTreeMap::new()).len(), 1);
    }

    #[test]
    fn every_listed_survivor_has_a_reason() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert!(listed(&root.join(LIST)).is_ok());
        let folder = tempfile::tempdir().unwrap();
        let bare = folder.path().join("list.json");
        fs::write(&bare, r#"[{"mutant": "a.rs: x", "places": 1, "reason": " "}]"#).unwrap();
        assert!(listed(&bare).is_err_and(|failure| failure.to_string().contains("no reason")));
    }
}
