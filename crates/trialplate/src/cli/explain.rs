//! `explain`: the activations of a model, as a map names them, and what is known of one.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use checkpoint_spec::{ActivationSpec, Judgement, Rule, Spec};
use clap::Args;
use graph::Operation;

use super::print;
use crate::bring::letter;
use crate::exit::Problem;
use crate::model::Subject;
use crate::template::matched;

const HELP: &str = "\
Examples:
  trialplate explain --model ./gpt2                    every activation, with the axes that a map writes
  trialplate explain h.0.attn.q --model ./gpt2         one of them: how it is computed, judged, and how it goes wrong";

/// What `explain` takes.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// An activation: h.0.attn.q, or h.{l}.attn.q [default: all are listed]
    activation: Option<String>,
    /// The model: a folder with config.json
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Problem> {
    let subject = Subject::open(&arguments.model)?;
    let text = match &arguments.activation {
        None => list(&subject),
        Some(name) => one(&subject, name)?,
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Those of a forward pass, by checkpoint.
fn all(subject: &Subject) -> impl Iterator<Item = (&Spec, &ActivationSpec)> {
    let of = |spec| -> Vec<(&Spec, &ActivationSpec)> {
        let spec: &Spec = spec;
        spec.activations.iter().filter(|found| found.op.is_some()).map(|found| (spec, found)).collect()
    };
    subject.specs.specs.iter().flat_map(of)
}

fn list(subject: &Subject) -> String {
    let mut text = format!(
        "{}: activations as a map names them, {{l}} below {}\n",
        subject.name,
        subject.architecture().layers
    );
    let mut last = "";
    for (spec, activation) in all(subject) {
        // Writing to a string cannot fail.
        if spec.id != last {
            let _ = writeln!(text, "\n{} {}: {}", spec.id, spec.name, spec.title);
        }
        last = &spec.id;
        let _ =
            writeln!(text, "  {:26} {:9} {}", activation.name, axes(activation), shape(subject, activation));
    }
    text
}

fn axes(activation: &ActivationSpec) -> String {
    activation.shape.iter().map(|symbol| letter(symbol).to_string()).collect::<Vec<_>>().join(" ")
}

fn shape(subject: &Subject, activation: &ActivationSpec) -> String {
    let size = |symbol: &String| match subject.size(symbol) {
        0 => symbol.clone(),
        size => format!("{symbol} {size}"),
    };
    format!("[{}]", activation.shape.iter().map(size).collect::<Vec<_>>().join(", "))
}

fn one(subject: &Subject, name: &str) -> Result<String, Problem> {
    let layers = subject.architecture().layers;
    let is_it = |activation: &ActivationSpec| {
        activation.name == name || matched(&activation.name, name, layers).is_some()
    };
    let found = all(subject).find(|(_, activation)| is_it(activation));
    let (spec, activation) = found.ok_or_else(|| {
        let known: Vec<&str> = all(subject).map(|(_, activation)| activation.name.as_str()).collect();
        Problem::Usage(format!("`{name}` is no activation of this model; it has {}", known.join(", ")))
    })?;
    let mut text = String::new();
    let _ = writeln!(text, "{}, of {} {}: {}\n", activation.name, spec.id, spec.name, spec.title);
    let _ = writeln!(text, "axes      {} {}", axes(activation), shape(subject, activation));
    if let Some(op) = &activation.op {
        let _ = writeln!(text, "computed  {}", formula(op));
    }
    let _ = writeln!(text, "judged    {}", judged(subject, activation));
    let bugs = subject.specs.changes_at(activation);
    if !bugs.is_empty() {
        text.push_str("\nBugs that are known of it, each of which is named where it gives what was dumped\n");
    }
    for bug in bugs {
        let _ = writeln!(text, "  {:32} {}", bug.id, bug.what);
    }
    Ok(text)
}

/// `linear(h.{l}.ln_1; h.{l}.attn.c_attn.weight, h.{l}.attn.c_attn.bias), part 1 of 3`.
fn formula(op: &Operation) -> String {
    let mut given = op.inputs().join(", ");
    let weights = op.weights().join(", ");
    if !weights.is_empty() {
        given = format!("{given}; {weights}");
    }
    match op {
        Operation::Linear { part: Some(part), .. } => {
            format!("linear({given}), part {} of {}", part.index + 1, part.count)
        }
        _ => format!("{}({given})", op.name()),
    }
}

fn judged(subject: &Subject, activation: &ActivationSpec) -> String {
    match activation.judgement() {
        Some(Judgement::Budget(_)) => {
            let reason = subject.specs.law(activation).map(|law| law.reason.as_str()).unwrap_or_default();
            format!("from its own inputs, within its rounding budget: {}", reason.trim())
        }
        Some(Judgement::Bits(_)) => "from its own inputs, the same bits: it moves data".to_owned(),
        Some(Judgement::Rule(
            Rule::Exact { reason } | Rule::Derived { reason, .. } | Rule::Chained { reason },
        )) => reason.clone(),
        None => "not at all".to_owned(),
    }
}
