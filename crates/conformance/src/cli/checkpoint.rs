//! `checkpoint`: the main job.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use capture::Precision;
use checkpoint_spec::registry::{Entry, references};
use checkpoint_spec::{Extent, Keep, Results, SpecSet};
use clap::{Args, ValueEnum};
use harness::bundle::write_bundle;
use harness::cache::{LIMIT, prune};
use harness::cases;
use harness::events::Progress;
use harness::exit::usage;
use harness::implementation::{ImplementationName, Means};
use harness::model::Model;
use harness::place::Place;
use harness::request::Request;
use harness::run;

use super::{describe, print};
use crate::rust::RustGpt2;
use crate::source::{ModelSource, open_variant};
use crate::{screen, start};

const EXAMPLES: &str = "\
Examples:
  cargo xtask checkpoint all                             every checkpoint, every layer, the bundled model
  cargo xtask checkpoint list                            the thirteen checkpoints and the cases
  cargo xtask checkpoint show 03                         what checkpoint 03 requires, and why
  cargo xtask checkpoint 01 kv-cache --case paragraph    two checkpoints, one case
  cargo xtask checkpoint all --model ./my-gpt2           a model in Hugging Face format
  cargo xtask checkpoint all --model hf:openai-community/gpt2
  cargo xtask checkpoint all --model synthetic:2,64,4,500,128@7
  cargo xtask checkpoint all --subject-model ./quantised judged against the original weights
  cargo xtask checkpoint all --subject torch@f32         any implementation can be the subject
  cargo xtask checkpoint all --subject torch@bf16        results stored in half precision, and budgets for that
  cargo xtask checkpoint all --format json > report.json
  cargo xtask checkpoint all --tensors digest            a small bundle that proves less

Exit codes: 0 conforming, 1 not conforming, 4 incomplete (something was not compared, or a reference did not
answer), 64 usage, 70 internal error, 130 interrupted.";

/// What `checkpoint` takes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// `all`, `list`, `show ID`, or checkpoints by id or name
    #[arg(required = true, value_name = "WHAT")]
    what: Vec<String>,
    /// Model: a directory in Hugging Face format, hf:OWNER/NAME[@REVISION], or
    /// synthetic:{gpt2|gpt2-medium|gpt2-large|gpt2-xl|L,D,H,V,C|llama:VARIANT}[@SEED] [default: the bundled
    /// gpt2-rustbook]
    #[arg(long, value_parser = ModelSource::parse)]
    model: Option<ModelSource>,
    /// Other weights for the subject: a quantised, converted or edited copy of the model
    #[arg(long, value_name = "DIR")]
    subject_model: Option<PathBuf>,
    /// Who is under test: rust, torch, tinygrad, or [NAME=]command:PROGRAM; with @f32, @bf16 or @f16
    #[arg(long, default_value = RustGpt2::NAME, value_parser = ImplementationName::parse)]
    subject: ImplementationName,
    /// Who judges, in order of precedence; may be given more than once [default: torch tinygrad]
    #[arg(long, value_name = "NAME")]
    reference: Vec<String>,
    /// Cases to run, by id; may be given more than once [default: all]
    #[arg(long, value_name = "ID")]
    case: Vec<String>,
    /// What is written to standard output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// When to use colours
    #[arg(long, value_enum, default_value_t)]
    color: Color,
    /// With `show`: print how every activation is computed
    #[arg(long)]
    graph: bool,
    /// List requirements and every activation, not only what is not a plain pass
    #[arg(long, short)]
    verbose: bool,
    /// No progress on standard error
    #[arg(long, short)]
    quiet: bool,
    /// Exit 1 on `conditional`
    #[arg(long)]
    strict: bool,
    /// Threads to compute with [default: what the machine has]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Seconds that a worker may take for one job before it counts as timed out
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    time_limit: u64,
    /// Seed of token ids for models without a tokenizer
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many of the declared faults are put in, to see each refused [default: all on the bundled
    /// model, fast on others, none for a subject in half precision: faults are put into an f32 carrier]
    #[arg(long, value_enum, value_name = "EXTENT")]
    faults: Option<Faults>,
    /// Compute the references anew even where their captures are cached
    #[arg(long)]
    fresh: bool,
    /// Where the bundle goes [default: proof-bundles/ in the repository]
    #[arg(long, value_name = "DIR")]
    bundles: Option<PathBuf>,
    /// Whose tensors the bundle holds. What is digest-only says so in every report and verifies as digest-only, not as a
    /// pass
    #[arg(long, value_enum, default_value_t, conflicts_with = "no_bundle")]
    tensors: Tensors,
    /// Write no bundle
    #[arg(long, conflicts_with = "bundles")]
    no_bundle: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Faults {
    /// None: the run passes with a reservation at best
    None,
    /// Some of every checkpoint
    Fast,
    /// Every declared fault
    All,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A report for a terminal
    #[default]
    Text,
    /// The report as JSON (schema trialplate/report/2)
    Json,
    /// The report as Markdown
    Markdown,
    /// Workflow commands that annotate a pull request
    Annotations,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Tensors {
    /// Everybody's, in every case
    #[default]
    Full,
    /// Everybody's, in the cases where something is not a pass; digests of the others
    Failing,
    /// Digests only
    Digest,
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

impl Arguments {
    fn extent(&self) -> Extent {
        match self.faults {
            Some(Faults::None) => Extent::None,
            Some(Faults::Fast) => Extent::Fast,
            Some(Faults::All) => Extent::All,
            None if self.subject.precision.is_half() => Extent::None,
            None if self.model.as_ref().is_none_or(|model| *model == ModelSource::Bundled) => Extent::All,
            None => Extent::Fast,
        }
    }

    /// What a command needs to mean the same model, subject and references.
    fn options(&self) -> Vec<String> {
        let mut options = Vec::new();
        let mut option = |name: &str, value: String| options.extend([format!("--{name}"), value]);
        if let Some(model) = &self.model {
            option("model", model.to_string());
        }
        if let Some(folder) = &self.subject_model {
            option("subject-model", folder.display().to_string());
        }
        if self.subject.name != RustGpt2::NAME {
            option("subject", self.subject.to_string());
        }
        self.reference.iter().for_each(|name| option("reference", name.clone()));
        if self.seed != 0 {
            option("seed", self.seed.to_string());
        }
        options
    }
}

/// Runs the command.
pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let specs = specs(arguments.model.as_ref())?;
    let words: Vec<&str> = arguments.what.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => print(&describe::list(&specs)?),
        ["show"] if arguments.graph => print(&describe::graph(&specs)?),
        ["show"] => Err(usage("`show` needs a checkpoint, or --graph: cargo xtask checkpoint show 03")),
        ["show", ids @ ..] => {
            for id in ids {
                print(&describe::show(&specs, &select(&specs, id)?)?)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        ["all"] => compare(&arguments, Vec::new()),
        names => {
            let selected = names.iter().map(|name| select(&specs, name)).collect::<Result<_>>()?;
            compare(&arguments, selected)
        }
    }
}

/// The specs of the model; of GPT-2 where none is named, or where it would have to be fetched first.
fn specs(model: Option<&ModelSource>) -> Result<SpecSet> {
    match model.and_then(ModelSource::architecture) {
        Some(architecture) => Ok(SpecSet::of_model(&architecture)?),
        None => Ok(SpecSet::bundled("gpt2")?),
    }
}

/// The id of a checkpoint given by id, by name, or by both joined.
fn select(specs: &SpecSet, name: &str) -> Result<String> {
    let found =
        specs.specs.iter().find(|s| name == s.id || name == s.name || name == format!("{}-{}", s.id, s.name));
    found.map(|spec| spec.id.clone()).ok_or_else(|| {
        let known: Vec<String> =
            specs.specs.iter().map(|spec| format!("{} {}", spec.id, spec.name)).collect();
        usage(format!("no checkpoint `{name}`; there are: all, {}", known.join(", ")))
    })
}

fn compare(arguments: &Arguments, selected: Vec<String>) -> Result<ExitCode> {
    let place = Place::find()?;
    let time_limit = Duration::from_secs(arguments.time_limit.max(1));
    let means = start::means(place, start::threads(arguments.threads)?, time_limit)?;
    let progress = screen::progress(arguments.quiet);
    let request = request(arguments, &means, &progress, selected)?;
    let outcome = run::run(&request, &means, &progress)?;
    let bundle = if arguments.no_bundle {
        None
    } else {
        let folder = arguments.bundles.clone().unwrap_or_else(|| means.place.bundles());
        Some(write_bundle(&folder, &request, &means, &outcome, &progress)?)
    };
    // The bundle is written from what is kept, so only now may anything of it go.
    prune(&means.place.captures(), LIMIT)?;
    print(&render(arguments, &outcome.results, bundle.as_deref()))?;
    Ok(ExitCode::from(report::exit_code(&outcome.results, arguments.strict)))
}

fn request(
    arguments: &Arguments,
    means: &Means,
    progress: &Progress,
    selected: Vec<String>,
) -> Result<Request> {
    if arguments.subject.precision == Precision::F64 {
        return Err(usage("subjects are judged at f32, bf16 or f16; f64 is for the references"));
    }
    can_start(&arguments.subject, &asked_for(&arguments.reference)?, means)?;
    let model = arguments.model.clone().unwrap_or(ModelSource::Bundled).open(means, progress)?;
    let references = chosen(&arguments.reference, &model)?;
    can_run(&arguments.subject, &model, means)?;
    let subject_model =
        arguments.subject_model.as_ref().map(|folder| open_variant(&model, folder)).transpose()?;
    let (cases, do_not_fit) = cases::plan(&model, &arguments.case, arguments.seed)?;
    Ok(Request {
        subject_model,
        subject: arguments.subject.clone(),
        references,
        cases,
        do_not_fit,
        selected,
        threads: means.threads,
        time_limit: means.time_limit,
        faults: arguments.extent(),
        fresh: arguments.fresh,
        options: arguments.options(),
        keep: match arguments.tensors {
            Tensors::Full => Keep::Full,
            Tensors::Failing => Keep::Failing,
            Tensors::Digest => Keep::Digest,
        },
        model,
    })
}

/// A subject that cannot run the model at all is told of before anything is computed.
fn can_run(subject: &ImplementationName, model: &Model, means: &Means) -> Result<()> {
    let Some(local) = means.local(&subject.name) else { return Ok(()) };
    match local.refuses(model) {
        Some(reason) => Err(usage(format!(
            "{} cannot run {}: {reason}; name another subject, as in --subject torch",
            local.title(),
            model.name
        ))),
        None => Ok(()),
    }
}

/// Programs that are not there are told of before anything is downloaded or computed.
fn can_start(subject: &ImplementationName, references: &[String], means: &Means) -> Result<()> {
    subject.start(means)?;
    for name in references {
        ImplementationName { name: name.clone(), precision: Precision::F64 }.start(means)?;
    }
    Ok(())
}

/// The references that were named, once each.
fn asked_for(asked: &[String]) -> Result<Vec<String>> {
    for (index, name) in asked.iter().enumerate() {
        if !references().any(|entry| entry.name == name) {
            return Err(usage(format!("no reference `{name}`; there are: {}", names(|_| true).join(", "))));
        }
        if asked[..index].contains(name) {
            return Err(usage(format!(
                "--reference {name} is given twice; a reference cannot confirm itself"
            )));
        }
    }
    Ok(asked.to_vec())
}

/// The names of references of a kind.
fn names(is_wanted: impl Fn(&Entry) -> bool) -> Vec<String> {
    references().filter(|entry| is_wanted(entry)).map(|entry| entry.name.to_owned()).collect()
}

/// Those, or all that know the family where none was named.
fn chosen(asked: &[String], model: &Model) -> Result<Vec<String>> {
    let family = &model.architecture.family;
    let known = names(|entry| entry.knows(family));
    match asked.iter().find(|name| !known.contains(name)) {
        Some(name) => Err(usage(format!(
            "the reference {name} does not know the family `{family}`; there are: {}",
            known.join(", ")
        ))),
        None if asked.is_empty() => Ok(known),
        None => Ok(asked.to_vec()),
    }
}

fn render(arguments: &Arguments, results: &Results, bundle: Option<&Path>) -> String {
    let colour = match arguments.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    match arguments.format {
        Format::Text => {
            let presentation = report::Presentation {
                colour,
                verbose: arguments.verbose,
                strict: arguments.strict,
                bundle: bundle.map(|bundle| bundle.display().to_string()),
                ..report::Presentation::default()
            };
            report::terminal(results, &presentation)
        }
        Format::Json => report::json(results, bundle, arguments.strict).to_string() + "\n",
        Format::Markdown => report::markdown(results),
        Format::Annotations => report::annotations(results),
    }
}
