//! `bundle status`: which bundles are evidence about what is here.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use proof_bundle::{Head, heads};

use super::super::print;
use super::golden::GOLDEN;
use harness::materials;
use harness::place::Place;

const HELP: &str = "\
Nothing is verified here: `cargo xtask bundle verify` does that. Exit code 0, whatever is found.";

/// What `bundle status` takes.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// Where the bundles are [default: proof-bundles/ in the repository]
    #[arg(long, value_name = "DIR")]
    bundles: Option<PathBuf>,
}

/// A bundle and what has changed since.
struct Entry {
    name: String,
    head: Head,
    changes: Vec<String>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let place = Place::find()?;
    let bundles = arguments.bundles.clone().unwrap_or_else(|| place.bundles());
    let (mut entries, mut lines) = (Vec::new(), Vec::new());
    for name in heads::folders(&bundles).with_context(|| bundles.display().to_string())? {
        match heads::read(&bundles.join(&name)) {
            Ok(head) => {
                let changes = materials::current(&place, Some(&head))?.changes(&head.materials);
                entries.push(Entry { name, head, changes });
            }
            Err(problem) => lines.push(format!("unreadable    {name}: {problem}")),
        }
    }
    lines.extend(entries.iter().flat_map(|entry| describe(entry, &entries)));
    if lines.is_empty() {
        lines.push(format!("no bundles in {}", bundles.display()));
    }
    let lines: String = lines.iter().map(|line| report::plain(line) + "\n").collect();
    print(&lines)
}

fn describe(entry: &Entry, entries: &[Entry]) -> Vec<String> {
    let Entry { name, head, changes } = entry;
    if name == GOLDEN {
        return vec![format!("golden        {name}: committed, judged as of its own commit")];
    }
    if changes.is_empty() {
        return vec![format!("current       {name}: {}", head.about())];
    }
    let successor = entries
        .iter()
        .filter(|other| other.name != *name && other.name != GOLDEN && other.head.same_question(head))
        .filter(|other| other.changes.is_empty() || other.head.day > head.day)
        .max_by_key(|other| (other.changes.is_empty(), other.head.day.clone()));
    let first = match successor {
        Some(other) => format!("superseded    {name}: by {}", other.name),
        None => format!("stale         {name}: {}", head.about()),
    };
    std::iter::once(first).chain(changes.iter().map(|change| format!("{:14}{change}", ""))).collect()
}
