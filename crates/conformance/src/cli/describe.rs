//! `checkpoint list` and `checkpoint show`: the specs, as text.

use std::fmt::Write;

use anyhow::Result;
use checkpoint_spec::{ActivationSpec, Rule, Spec, SpecSet, bundled_cases};
use tensor_compare::Tolerance;

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

/// One checkpoint's whole spec.
pub(super) fn show(specs: &SpecSet, id: &str) -> Result<String> {
    let mut text = String::new();
    for spec in specs.specs.iter().filter(|spec| spec.id == id) {
        describe(spec, &mut text)?;
    }
    Ok(text)
}

fn describe(spec: &Spec, text: &mut String) -> Result<()> {
    writeln!(text, "{} {}: {}\n\n{}\n", spec.id, spec.name, spec.title, spec.about.trim())?;
    if !spec.prerequisites.is_empty() {
        writeln!(text, "Needs: {}\n", spec.prerequisites.join(", "))?;
    }
    text.push_str("Activations\n");
    for activation in &spec.activations {
        writeln!(text, "  {:28} [{}]  {}", activation.name, activation.shape.join(", "), rule(activation))?;
        if !activation.inputs.is_empty() {
            writeln!(text, "  {:28} from {}", "", activation.inputs.join(", "))?;
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

fn rule(activation: &ActivationSpec) -> String {
    match &activation.rule {
        Rule::Classic { tolerance, chained, reason } => {
            let bound = |t: &Tolerance| format!("{:e} + {:e}·|e|", t.atol(), t.rtol());
            let chained = chained.as_ref().map_or_else(String::new, |c| format!(" (chained {})", bound(c)));
            format!("|a − e| <= {}{chained}: {reason}", bound(tolerance))
        }
        Rule::Exact { reason } => format!("the references' bits: {reason}"),
        Rule::Tie { reason } => format!("the references' token, or a tie: {reason}"),
        Rule::Derived { from, reason } => format!("follows from {from:?}: {reason}"),
    }
}
