//! The tensors from which a required one follows.

use capture::{Case, TensorName};
use graph::{Input, InputTemplate};

use super::Required;
use crate::Architecture;
use crate::spec::{SpecSet, Steps};

/// The tensors from which a required one follows directly. What belongs to a step comes from the same step, or from
/// the one before if the spec says so and there is one; what belongs to the whole case follows from the last step.
pub fn direct_inputs(
    specs: &SpecSet,
    architecture: &Architecture,
    case: &Case,
    required: &Required,
) -> Vec<TensorName> {
    let last_step = case.schedule.len().checked_sub(1);
    let own_step = required.name.step.or(last_step);
    let name = |template: &str, input: Input| {
        let of_case = specs.activations().any(|(_, _, a)| a.name == template && a.steps == Steps::Case);
        let step = match (of_case, input.previous_step) {
            (true, _) => return Some(TensorName::of_case(input.activation)),
            (false, false) => own_step,
            (false, true) => own_step.and_then(|step| step.checked_sub(1)),
        };
        step.map(|step| TensorName::of_step(step, input.activation))
    };
    let inputs = specs.of(required).all_inputs();
    let templates = inputs.iter().map(|text| InputTemplate::parse(text));
    templates
        .filter_map(|template| name(template.name, template.resolve(required.layer, architecture.layers)))
        .collect()
}
