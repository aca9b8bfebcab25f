//! What TOML and types cannot say: that a set of specs is complete and does not contradict itself.

mod activation;
mod fault;
mod law;
mod requirement;

use std::collections::{BTreeMap, BTreeSet};

use super::{Golden, Spec, SpecError, SpecSet};
use crate::plan::{InputTemplate, execution_order};

/// Checkpoints of every family: `00` to `12`.
const CHECKPOINTS: usize = 13;

/// Layers with which the order of execution is tried: a first, one in between, a last.
const TRIAL_LAYERS: usize = 3;

impl SpecSet {
    /// # Errors
    /// With the file and the first contradiction in it.
    pub(super) fn validate(&self) -> Result<(), SpecError> {
        self.check_ids()?;
        self.check_names()?;
        self.check_false_alarm()?;
        for spec in &self.specs {
            self.validate_spec(spec).map_err(|problem| inconsistent(spec, problem))?;
        }
        law::validate_all(self)
            .map_err(|problem| SpecError::Inconsistent { file: self.family.clone(), problem })?;
        execution_order(self, TRIAL_LAYERS, |_| true).map(|_| ())
    }

    fn check_ids(&self) -> Result<(), SpecError> {
        for (index, spec) in self.specs.iter().enumerate() {
            let expected = format!("{index:02}");
            if spec.id != expected {
                let problem = format!("the checkpoint `{}` stands where `{expected}` must be", spec.id);
                return Err(inconsistent(spec, problem));
            }
        }
        match self.specs.last() {
            Some(_) if self.specs.len() == CHECKPOINTS => Ok(()),
            _ => Err(SpecError::Inconsistent {
                file: self.family.clone(),
                problem: format!("{} checkpoints found, {CHECKPOINTS} expected", self.specs.len()),
            }),
        }
    }

    fn check_names(&self) -> Result<(), SpecError> {
        let mut checkpoints = BTreeSet::new();
        let mut activations = BTreeMap::new();
        let mut faults = BTreeMap::new();
        for spec in &self.specs {
            if !checkpoints.insert(&spec.name) {
                return Err(inconsistent(spec, format!("there is another checkpoint named `{}`", spec.name)));
            }
            for activation in &spec.activations {
                if let Some(other) = activations.insert(&activation.name, &spec.id) {
                    let problem = format!("`{}` is already an activation of {other}", activation.name);
                    return Err(inconsistent(spec, problem));
                }
            }
            for fault in &spec.faults {
                if let Some(other) = faults.insert(&fault.id, &spec.id) {
                    let problem = format!("the fault `{}` is already one of {other}", fault.id);
                    return Err(inconsistent(spec, problem));
                }
            }
        }
        Ok(())
    }

    /// One probability for a whole run, stated once, by the first spec.
    fn check_false_alarm(&self) -> Result<(), SpecError> {
        for (index, spec) in self.specs.iter().enumerate() {
            let problem = match &spec.false_alarm {
                None if index > 0 => continue,
                Some(alarm) if index == 0 && !(alarm.probability > 0.0 && alarm.probability < 1.0) => {
                    format!("a false-alarm probability of {}; it lies between 0 and 1", alarm.probability)
                }
                Some(alarm) if index == 0 && !alarm.reason.trim().is_empty() => continue,
                _ => "the first spec, and no other, states the false-alarm probability and its reason"
                    .to_owned(),
            };
            return Err(inconsistent(spec, problem));
        }
        Ok(())
    }

    fn validate_spec(&self, spec: &Spec) -> Result<(), String> {
        text_is_there("name", &spec.name)?;
        text_is_there("title", &spec.title)?;
        text_is_there("about", &spec.about)?;
        for activation in &spec.activations {
            activation::validate(self, activation)
                .map_err(|problem| format!("activation `{}`: {problem}", activation.name))?;
        }
        self.check_prerequisites(spec)?;
        requirement::validate_all(spec)?;
        fault::validate_all(spec)?;
        spec.goldens.iter().try_for_each(|golden| validate_golden(spec, golden))
    }

    /// Prerequisites are written for people, so they must be what the inputs say.
    fn check_prerequisites(&self, spec: &Spec) -> Result<(), String> {
        let inputs = spec.activations.iter().flat_map(|activation| &activation.inputs);
        let names: BTreeSet<&str> =
            inputs.flat_map(|input| InputTemplate::parse(input).alternatives()).collect();
        let needed: Vec<&str> = self
            .specs
            .iter()
            .filter(|other| other.id != spec.id && names.iter().any(|name| provides(other, name)))
            .map(|other| other.id.as_str())
            .collect();
        if spec.prerequisites == needed {
            return Ok(());
        }
        Err(format!("the prerequisites are {:?}, but the inputs come from {needed:?}", spec.prerequisites))
    }
}

fn provides(spec: &Spec, input: &str) -> bool {
    spec.activation(&activation::template(input)).is_some()
}

fn inconsistent(spec: &Spec, problem: String) -> SpecError {
    SpecError::Inconsistent { file: spec.file_name(), problem }
}

fn text_is_there(what: &str, text: &str) -> Result<(), String> {
    if text.trim().is_empty() { Err(format!("`{what}` is empty")) } else { Ok(()) }
}

fn validate_golden(spec: &Spec, golden: &Golden) -> Result<(), String> {
    text_is_there("golden.prompt", &golden.prompt)?;
    text_is_there("golden.continuation", &golden.continuation)?;
    text_is_there("golden.source", &golden.source)?;
    if golden.models.is_empty()
        || golden.models.iter().any(|model| model.trim().is_empty() || model.contains('@'))
    {
        return Err("a golden needs the names of its models, without a revision".to_owned());
    }
    if golden.tokens == 0 {
        return Err("a golden of 0 tokens says nothing".to_owned());
    }
    if spec.activation("generated").is_none() {
        return Err("a golden belongs to the spec of `generated`".to_owned());
    }
    Ok(())
}
