//! One activation against the others.

use super::text_is_there;
use graph::InputTemplate;

use crate::spec::{ActivationSpec, Judgement, Kind, NonFinitePolicy, Rule, SpecSet, Steps};

/// Symbols of the case.
const CASE: &[&str] = &["B", "T", "N"];
/// Symbols of a step.
const STEP: &[&str] = &["S", "P", "K"];

pub(super) fn validate(set: &SpecSet, activation: &ActivationSpec) -> Result<(), String> {
    check_name(activation)?;
    check_shape(set, activation)?;
    check_judgement(set, activation)?;
    check_values(activation)?;
    activation.all_inputs().iter().try_for_each(|input| {
        check_input(set, activation, input).map_err(|problem| format!("input `{input}`: {problem}"))
    })
}

/// The name under which a spec declares what an input names: `{l-1}` and `{L-1}` are layers like any other.
fn template(input: &str) -> String {
    input.replace("{l-1}", "{l}").replace("{L-1}", "{l}")
}

fn check_name(activation: &ActivationSpec) -> Result<(), String> {
    let bare = activation.name.replacen("{l}", "0", 1);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
    if bare.is_empty() || !bare.chars().all(allowed) {
        return Err("a name is letters, digits, `.` and `_`, and `{l}` at most once".to_owned());
    }
    Ok(())
}

fn check_shape(set: &SpecSet, activation: &ActivationSpec) -> Result<(), String> {
    let of_case = activation.steps == Steps::Case;
    for symbol in &activation.shape {
        let symbol = symbol.as_str();
        let of_step = STEP.contains(&symbol);
        let number = symbol.parse::<usize>().is_ok_and(|size| size > 0 && size.to_string() == symbol);
        if !(set.family.sizes.contains_key(symbol) || CASE.contains(&symbol) || of_step || number) {
            return Err(format!("the shape has an unknown symbol `{symbol}`"));
        }
        if of_step && of_case {
            return Err(format!("the shape has `{symbol}`, which only a step has"));
        }
    }
    if activation.shape.is_empty() { Err("the shape is empty".to_owned()) } else { Ok(()) }
}

fn check_judgement(set: &SpecSet, activation: &ActivationSpec) -> Result<(), String> {
    if let Some(ceiling) = &activation.ceiling {
        text_is_there("ceiling.reason", &ceiling.reason)?;
        if activation.kind != Kind::Float {
            return Err("a ceiling is for floats".to_owned());
        }
    }
    match (&activation.op, &activation.rule) {
        (Some(_), None) => check_operation(set, activation),
        (None, Some(rule)) => check_rule(activation, rule),
        (Some(_), Some(_)) => {
            Err("has an operation and a rule; one of them says how it is judged".to_owned())
        }
        (None, None) => Err("has neither an operation nor a rule: nothing could judge it".to_owned()),
    }
}

fn check_operation(set: &SpecSet, activation: &ActivationSpec) -> Result<(), String> {
    if activation.steps != Steps::Every {
        return Err("what has an operation occurs in every step".to_owned());
    }
    if !activation.inputs.is_empty() {
        return Err("the operation names the inputs; `inputs` is for what has none".to_owned());
    }
    if let Some(budget) = &activation.budget {
        text_is_there("budget.reason", &budget.reason)?;
    }
    match activation.judgement() {
        Some(Judgement::Budget(op)) if activation.kind == Kind::Float => {
            let law = set.operations.get(op.name());
            let law = law.ok_or_else(|| format!("there is no law for the operation `{}`", op.name()))?;
            if law.half.is_none() {
                return Err(format!(
                    "`{}` rounds, and its law does not say what half precision stores",
                    op.name()
                ));
            }
            // The law of an operation may name an axis that not all of its results have.
            let own = activation.budget.as_ref().map(|budget| &budget.slices);
            let unknown = own.into_iter().flatten().find(|slice| activation.slice(slice).is_none());
            let none = |slice: &String| format!("the slice `{slice}` is no axis of {:?}", activation.shape);
            unknown.map_or(Ok(()), |slice| Err(none(slice)))
        }
        Some(Judgement::Budget(op)) => Err(format!("`{}` gives floats", op.name())),
        _ if activation.budget.is_some() => Err("moves data and has a rounding budget".to_owned()),
        _ => Ok(()),
    }
}

fn check_rule(activation: &ActivationSpec, rule: &Rule) -> Result<(), String> {
    let (reason, fits) = match rule {
        Rule::Exact { reason } | Rule::Derived { reason, .. } => (reason, true),
        Rule::Chained { reason } => (reason, activation.kind == Kind::Float),
    };
    text_is_there("reason", reason)?;
    if activation.budget.is_some() {
        return Err("a rounding budget is for what has an operation".to_owned());
    }
    if fits { Ok(()) } else { Err("a chained bound is for floats".to_owned()) }
}

fn check_values(activation: &ActivationSpec) -> Result<(), String> {
    let float = activation.kind == Kind::Float;
    if let Some((low, high)) = activation.range
        && !(float && low.is_finite() && high.is_finite() && low < high)
    {
        return Err(format!("[{low}, {high}] is no range of floats"));
    }
    let masks = activation.non_finite != NonFinitePolicy::Never;
    let ends = activation.shape.ends_with(&["S".to_owned(), "K".to_owned()]);
    if masks && !(float && ends) {
        return Err("−∞ after the query needs floats of shape […, S, K]".to_owned());
    }
    Ok(())
}

fn check_input(set: &SpecSet, activation: &ActivationSpec, input: &str) -> Result<(), String> {
    let parsed = InputTemplate::parse(input);
    for name in parsed.alternatives() {
        let template = template(name);
        let Some((_, _, found)) = set.activations().find(|(_, _, found)| found.name == template) else {
            return Err("there is no such activation".to_owned());
        };
        if found.steps == Steps::Case && activation.steps != Steps::Case {
            return Err("what belongs to the whole case is no input of a step".to_owned());
        }
        let of_this_layer = name.contains("{l}") || name.contains("{l-1}");
        if of_this_layer && !activation.is_layered() {
            return Err("outside the layers there is no `{l}`; the last layer is `{L-1}`".to_owned());
        }
    }
    let before = parsed.name.contains("{l-1}");
    if before != parsed.in_first_layer.is_some() || parsed.in_first_layer.is_some_and(|a| a.contains("{l-1}"))
    {
        return Err("`{l-1}` needs a stand-in for layer 0, as in `embd | h.{l-1}.out`".to_owned());
    }
    if parsed.previous_step && activation.steps == Steps::Case {
        return Err("what belongs to the whole case has no step before".to_owned());
    }
    Ok(())
}
