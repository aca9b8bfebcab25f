//! `compare`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use schemars::schema_for;

use super::json::{json_of, schema_of};
use super::{Color, Format, dump, map, print};
use crate::compare::{Bounds, CompareOptions, Comparison, compare};
use crate::exit::Problem;

const EXAMPLES: &str = "\
Examples:
  trialplate compare expected.npz actual.npz                         the same bits
  trialplate compare expected.npz actual.npz --atol 1e-5 --rtol 1e-5
  trialplate compare expected.npz actual.safetensors --ulps 4 --of bf16
  trialplate compare theirs.pt ours.npz --map-expected huggingface-gpt2 --layers 12

Bounds are picked by you, not derived: `check` derives them, and needs the model for it.

Exit codes: 0 within the bounds, 1 not, 2 no dump, 64 usage, 70 internal error.";

/// What `compare` takes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The dump that is held to be right
    #[arg(required_unless_present = "format")]
    expected: Option<PathBuf>,
    /// The dump under test
    #[arg(required_unless_present = "format")]
    actual: Option<PathBuf>,
    /// What an error may be, absolutely
    #[arg(long, value_name = "X", conflicts_with = "ulps")]
    atol: Option<f64>,
    /// What it may be beside, relative to the expected value
    #[arg(long, value_name = "X", conflicts_with = "ulps")]
    rtol: Option<f64>,
    /// What it may be in units in the last place
    #[arg(long, value_name = "N")]
    ulps: Option<u64>,
    /// Of which format: f32, f16 or bf16 [default: the dtype of each tensor]
    #[arg(long, value_name = "FORMAT", requires = "ulps", value_parser = ["f32", "f16", "bf16"])]
    of: Option<String>,
    /// A map for the names of the expected dump: a file or a preset
    #[arg(long, value_name = "FILE")]
    map_expected: Option<String>,
    /// A map for the names of the dump under test
    #[arg(long, value_name = "FILE")]
    map_actual: Option<String>,
    /// The same map for both
    #[arg(long, value_name = "FILE", conflicts_with_all = ["map_expected", "map_actual"])]
    map: Option<String>,
    /// How many layers maps are for
    #[arg(long, value_name = "N", default_value_t = 256)]
    layers: usize,
    /// What is written to standard output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// When to use colours
    #[arg(long, value_enum, default_value_t)]
    color: Color,
    /// Show every tensor
    #[arg(long, short)]
    verbose: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Problem> {
    if arguments.format == Format::Schema {
        print(&schema_of(&schema_for!(Comparison))?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (Some(expected), Some(actual)) = (&arguments.expected, &arguments.actual) else {
        return Err(Problem::Usage(
            "two dumps are needed; `trialplate compare --help` has examples".to_owned(),
        ));
    };
    let options = options(arguments)?;
    let names = [expected.display().to_string(), actual.display().to_string()];
    let comparison =
        compare([&names[0], &names[1]], [&dump(expected, None)?, &dump(actual, None)?], &options)?;
    print(&match arguments.format {
        Format::Json => json_of(&comparison)?,
        Format::Text | Format::Schema => comparison.terminal(arguments.color.is_on(), arguments.verbose),
    })?;
    Ok(ExitCode::from(comparison.exit_code))
}

fn options(arguments: &Arguments) -> Result<CompareOptions, Problem> {
    let bounds = match (arguments.ulps, arguments.atol, arguments.rtol) {
        (Some(ulps), _, _) => Bounds::Ulps { ulps, of: arguments.of.clone() },
        (None, None, None) => Bounds::Bits,
        (None, atol, rtol) => Bounds::Tolerance { atol: atol.unwrap_or(0.0), rtol: rtol.unwrap_or(0.0) },
    };
    let one = |name: &Option<String>| {
        let name = name.as_ref().or(arguments.map.as_ref());
        name.map(|name| map(name).map(|(_, map)| map)).transpose()
    };
    Ok(CompareOptions {
        bounds,
        maps: [one(&arguments.map_expected)?, one(&arguments.map_actual)?],
        layers: arguments.layers,
    })
}
