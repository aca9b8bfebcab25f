//! The command line of the program.

mod check;
mod compare;
mod explain;
mod json;
mod verify;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use capture::dump::{Dump, Limits, read, read_raw};
use clap::{Parser, Subcommand, ValueEnum};

use crate::exit::Problem;
use crate::map::Map;
use crate::presets;

const EXAMPLES: &str = "\
Examples:
  trialplate check dump.npz --model ./gpt2              is this forward pass right, and if not, where is the bug?
  trialplate check dump/ --model ./qwen3 --text 'Hello' the ids of a text, by the model's tokenizer
  trialplate explain h.0.attn.q --model ./gpt2          how it is computed, and the bugs that are known of it
  trialplate compare before.npz after.npz --ulps 16     do two dumps say the same?

Exit codes:
  0 conforming    1 not conforming    2 the dump cannot be read, or is no dump of this model
  4 incomplete: something could not be judged    64 usage    70 internal error";

/// Judges a dump of a transformer's forward pass, operation by operation, and names the bug.
#[derive(Debug, Parser)]
#[command(name = "trialplate", version, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Judge a dump of one forward pass under its model
    Check(check::Arguments),
    /// Lay two dumps side by side, without a model
    Compare(compare::Arguments),
    /// Say how an activation is computed and judged, and what may go wrong with it
    Explain(explain::Arguments),
    /// Verify a proof bundle
    Verify(verify::Arguments),
}

/// What is written to standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A report for a terminal
    #[default]
    Text,
    /// The same as JSON
    Json,
    /// The JSON Schema of that, and nothing else
    Schema,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Runs the program; the exit code says what became of it.
pub fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(refusal) => {
            let code = if refusal.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS };
            // Nobody may be reading any more.
            drop(refusal.print());
            return code;
        }
    };
    let done = match command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
    };
    done.unwrap_or_else(|problem| problem.tell())
}

impl Color {
    fn is_on(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }
}

/// Writes to standard output. A reader that has seen enough, such as `head`, is no failure.
fn print(text: &str) -> Result<(), Problem> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Problem::internal(error)),
        _ => Ok(()),
    }
}

/// A dump, or one tensor of raw f32 where a shape says how to read it.
fn dump(path: &Path, shape: Option<&str>) -> Result<Dump, Problem> {
    let problem = |error: capture::dump::DumpError| Problem::Dump(error.to_string());
    match shape {
        None => read(path, &Limits::default()).map_err(problem),
        Some(shape) => {
            let shape: Result<Vec<usize>, _> =
                shape.split([',', 'x']).map(|size| size.trim().parse::<usize>()).collect();
            let shape = shape.map_err(|_| {
                Problem::Usage(
                    "--shape takes whole numbers with commas between, as in --shape 1,12,768".to_owned(),
                )
            })?;
            read_raw(path, &shape, &Limits::default()).map_err(problem)
        }
    }
}

/// A map: the name of a preset, or a file.
fn map(name: &str) -> Result<(String, Map), Problem> {
    if let Some(map) = presets::named(name) {
        return Ok((name.to_owned(), map));
    }
    let path = PathBuf::from(name);
    if !path.exists() {
        let known: Vec<&str> = presets::names().collect();
        return Err(Problem::Usage(format!(
            "--map {name}: no such file, and no preset; there are: {}",
            known.join(", ")
        )));
    }
    let map = Map::read(&path).map_err(Problem::usage)?;
    Ok((name.to_owned(), map))
}
