//! `checkpoint list` and `checkpoint show`: the specs, as text.

use std::fmt::Write;

use anyhow::Result;
use checkpoint_spec::{ActivationSpec, Judgement, Rule, Spec, SpecSet, bundled_cases};
use graph::Operation;

/// The checkpoints and the cases.
pub(super) fn list(specs: &SpecSet) -> Result<String> {
    let mut text = String::from("Checkpoints\n");
    for spec in &specs.specs {
        writeln!(text, "  {}  {:18} {}", spec.id, spec.name, spec.title)?;
    }
    text.push_str("\nCases\n");
    for case in bundled_cases()? {
        writeln!(text, "  {:20} {}", case.id, case.about)?;
    }
    Ok(text)
}

/// The whole graph, one line for each activation in the order of the files.
pub(super) fn graph(specs: &SpecSet) -> Result<String> {
    let mut text = format!("{}\n{}\n\n", specs.family.name, specs.family.about.trim());
    for spec in &specs.specs {
        writeln!(text, "{} {}", spec.id, spec.name)?;
        for activation in &spec.activations {
            if let Some(op) = &activation.op {
                let shape = activation.shape.join(", ");
                writeln!(text, "  {:28} [{shape}] = {}", activation.name, formula(op))?;
            }
        }
    }
    Ok(text)
}

/// One checkpoint's whole spec.
pub(super) fn show(specs: &SpecSet, id: &str) -> Result<String> {
    let mut text = String::new();
    for spec in specs.specs.iter().filter(|spec| spec.id == id) {
        describe(specs, spec, &mut text)?;
    }
    Ok(text)
}

fn describe(specs: &SpecSet, spec: &Spec, text: &mut String) -> Result<()> {
    writeln!(text, "{} {}: {}\n\n{}\n", spec.id, spec.name, spec.title, spec.about.trim())?;
    text.push_str("Activations\n");
    for activation in &spec.activations {
        writeln!(text, "  {:28} [{}]", activation.name, activation.shape.join(", "))?;
        if let Some(op) = &activation.op {
            writeln!(text, "  {:28} = {}", "", formula(op))?;
        } else if !activation.inputs.is_empty() {
            writeln!(text, "  {:28} follows from {}", "", activation.inputs.join(", "))?;
        }
        writeln!(text, "  {:28} {}", "", bound(specs, activation))?;
        if let Some(ceiling) = &activation.ceiling {
            let tolerance = ceiling.tolerance;
            let (atol, rtol) = (tolerance.atol(), tolerance.rtol());
            writeln!(text, "  {:28} printed beside: {atol:e} + {rtol:e}·|e|, {}", "", ceiling.reason)?;
        }
    }
    text.push_str("\nRequirements\n");
    for requirement in &spec.requirements {
        writeln!(text, "  {:6} {}", requirement.id, requirement.text)?;
    }
    for golden in &spec.goldens {
        writeln!(text, "\nGolden ({}): {:?} → {:?}", golden.source, golden.prompt, golden.continuation)?;
    }
    text.push('\n');
    Ok(())
}

/// `linear(h.{l}.ln_2; h.{l}.mlp.c_fc.weight, h.{l}.mlp.c_fc.bias)`.
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
        Operation::Softmax { temperature: Some(temperature), .. } => {
            format!("softmax({given} / {temperature})")
        }
        Operation::Cache { .. } => format!("cache(of the step before, {given})"),
        _ => format!("{}({given})", op.name()),
    }
}

fn bound(specs: &SpecSet, activation: &ActivationSpec) -> String {
    match activation.judgement() {
        Some(Judgement::Budget(op)) => match specs.law(activation) {
            Some(law) => format!("from its own inputs, within its rounding budget: {}", law.reason),
            None => format!("no law for `{}`", op.name()),
        },
        Some(Judgement::Bits(_)) => "from its own inputs, the same bits: it moves data".to_owned(),
        Some(Judgement::Rule(Rule::Exact { reason })) => format!("the references' bits: {reason}"),
        Some(Judgement::Rule(Rule::Derived { reason, .. })) => format!("the same bits: {reason}"),
        Some(Judgement::Rule(Rule::Chained { reason })) => format!("by the errors of replicas: {reason}"),
        None => "not judged".to_owned(),
    }
}
