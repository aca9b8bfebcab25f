//! `check`.

use std::path::PathBuf;
use std::process::ExitCode;

use capture::Precision;
use checkpoint_spec::PartResults;
use clap::Args;
use schemars::schema_for;

use super::json::{json_of, schema_of};
use super::{Color, Format, dump, map, print};
use crate::check::{CheckOptions, Names, Tokens, check};
use crate::exit::Problem;
use crate::model::Subject;

const EXAMPLES: &str = "\
Examples:
  trialplate check dump.safetensors --model ./gpt2
  trialplate check dump.npz --model ./qwen3 --tokens 9707,11,1879
  trialplate check dump/ --model ./gpt2 --map my-names.toml --format json
  trialplate check hidden.bin --model ./gpt2 --shape 1,12,768 --map one.toml

A dump is a safetensors, npz or npy file, what torch.save wrote of a dict of tensors, a folder of these (as Hugging Face's
model_addition_debugger_context leaves it), or raw little-endian f32 with --shape.

A map says which of its tensors is which activation; presets come with the program, and none is needed for them:
  [[tensor]]
  theirs = \"blk.{l}.attn.qkv\"      # {l} is the layer
  ours = \"h.{l}.attn.q\"
  axes = \"b s (p h d)\"             # outermost first: b batch, s sequence, k keys, h heads, d width of a head,
  part = [0, 3]                    # w any other width, p parts of a fused tensor, 1 an axis of one
  # repeated = true                  heads of keys and values copied to those of queries
  # interleaved = true               pairs that RoPE turns stand side by side
  # padded = true                    more keys than positions

Exit codes: 0 conforming, 1 not conforming, 2 no dump of this model, 4 incomplete, 64 usage, 70 internal error.";

/// What `check` takes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The dump: a file or a folder
    #[arg(required_unless_present = "format")]
    dump: Option<PathBuf>,
    /// The model: a folder in Hugging Face format, with config.json and safetensors
    #[arg(long, value_name = "DIR", required_unless_present = "format")]
    model: Option<PathBuf>,
    /// Which tensor is which: a file, or one of the presets [default: what fits best]
    #[arg(long, value_name = "FILE")]
    map: Option<String>,
    /// The token ids of the prompt, with commas between, and `;` between rows [default: those of the dump]
    #[arg(long, value_name = "IDS", conflicts_with = "text")]
    tokens: Option<String>,
    /// The prompt, by the model's tokenizer
    #[arg(long)]
    text: Option<String>,
    /// What the engine stores its results in: f32, f16 or bf16 [default: what the dump's dtypes say]
    #[arg(long, value_parser = precision)]
    precision: Option<Precision>,
    /// Measure the error of the whole run from the token ids on, too, beside those of eight replicas; it decides nothing
    /// [default: where that takes no time]
    #[arg(long)]
    chained: bool,
    /// The dump is raw little-endian f32 of this shape: 1,12,768
    #[arg(long)]
    shape: Option<String>,
    /// What is written to standard output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write the report as a page of HTML, too
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// When to use colours
    #[arg(long, value_enum, default_value_t)]
    color: Color,
    /// Show every activation, and every tensor that is not used
    #[arg(long, short)]
    verbose: bool,
    /// Exit 1 on `conditional`
    #[arg(long)]
    strict: bool,
}

fn precision(text: &str) -> Result<Precision, String> {
    Precision::parse(text).ok_or_else(|| format!("`{text}` is none of f32, f16, bf16, f64"))
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Problem> {
    if arguments.format == Format::Schema {
        print(&schema_of(&schema_for!(PartResults))?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let needs = |what: &str| Problem::Usage(format!("{what}; `trialplate check --help` has examples"));
    let path = arguments.dump.as_ref().ok_or_else(|| needs("a dump is needed"))?;
    let model = arguments.model.as_ref().ok_or_else(|| needs("--model DIR is needed"))?;
    let options = options(arguments)?;
    let dump = dump(path, arguments.shape.as_deref())?;
    let subject = Subject::open(model)?;
    let results = check(&path.display().to_string(), &dump, &subject, &options)?;
    if let Some(file) = &arguments.html {
        let page = report::check_html(&results).map_err(Problem::internal)?;
        std::fs::write(file, page)
            .map_err(|error| Problem::Usage(format!("--html {}: {error}", file.display())))?;
    }
    print(&match arguments.format {
        Format::Json => json_of(&results)?,
        Format::Text | Format::Schema => report::check_terminal(&results, &presentation(arguments)),
    })?;
    Ok(ExitCode::from(report::check_exit_code(&results, arguments.strict)))
}

fn options(arguments: &Arguments) -> Result<CheckOptions, Problem> {
    let names = match &arguments.map {
        None => Names::Any,
        Some(name) => {
            let (name, map) = map(name)?;
            Names::Map(name, map)
        }
    };
    let tokens = match (&arguments.tokens, &arguments.text) {
        (Some(ids), _) => Tokens::Ids(rows(ids)?),
        (None, Some(text)) => Tokens::Text(text.clone()),
        (None, None) => Tokens::Dump,
    };
    Ok(CheckOptions {
        names,
        tokens,
        precision: arguments.precision,
        chained: arguments.chained.then_some(true),
    })
}

/// `1,2,3`, rows with `;` between.
fn rows(text: &str) -> Result<Vec<Vec<i64>>, Problem> {
    let row = |row: &str| row.split(',').map(|id| id.trim().parse::<i64>()).collect::<Result<Vec<_>, _>>();
    text.split(';').map(row).collect::<Result<_, _>>().map_err(|_| {
        Problem::Usage(format!(
            "--tokens {text}: expected whole numbers with commas between, as in --tokens 464,2068,7586"
        ))
    })
}

fn presentation(arguments: &Arguments) -> report::Presentation {
    report::Presentation {
        colour: arguments.color.is_on(),
        verbose: arguments.verbose,
        strict: arguments.strict,
        ..report::Presentation::default()
    }
}
