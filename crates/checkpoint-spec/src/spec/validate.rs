//! What TOML and types cannot say: that a set of specs is complete and does not contradict itself.

mod activation;
mod fault;
mod law;
mod place;
mod requirement;

use std::collections::{BTreeMap, BTreeSet};

use graph::{Architecture, Conditional, FamilyError};

use super::{Golden, Spec, SpecError, SpecSet, execution_order};

/// Checkpoints of every family: `00` to `12`.
const CHECKPOINTS: usize = 13;

/// Layers with which the order of execution is tried: a first, one in between, a last.
const TRIAL_LAYERS: usize = 3;

/// Sizes with which shapes are tried, where they do not follow from others.
const TRIAL_SIZES: [(&str, usize); 7] =
    [("C", 11), ("D", 42), ("Dh", 8), ("F", 17), ("G", 3), ("H", 6), ("V", 13)];

impl SpecSet {
    /// # Errors
    /// With the file and the first contradiction in it.
    pub(super) fn validate(&self) -> Result<(), SpecError> {
        self.check_ids()?;
        self.check_names()?;
        self.check_roles()?;
        self.judging
            .validate()
            .map_err(|problem| SpecError::Inconsistent { file: "judging.toml".to_owned(), problem })?;
        for law in self.operations.values() {
            law.validate().map_err(|problem| SpecError::Inconsistent { file: law.file_name(), problem })?;
        }
        for spec in &self.specs {
            self.validate_spec(spec).map_err(|problem| inconsistent(spec, problem))?;
        }
        law::validate_all(self)
            .map_err(|problem| SpecError::Inconsistent { file: self.family.name.clone(), problem })?;
        execution_order(self, TRIAL_LAYERS, |_| true)?;
        let wrong = |problem: String| SpecError::Inconsistent { file: self.family.name.clone(), problem };
        let trial = self.trial().map_err(|error| wrong(error.to_string()))?;
        self.graph().check(&trial).map_err(|error| SpecError::Inconsistent {
            file: self.family.name.clone(),
            problem: error.to_string(),
        })?;
        self.specs.iter().try_for_each(|spec| {
            place::validate_all(self, spec, &trial).map_err(|problem| inconsistent(spec, problem))
        })
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
                file: self.family.name.clone(),
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

    /// Whoever plays a part is there.
    fn check_roles(&self) -> Result<(), SpecError> {
        let is_there = |name: &str| self.activations().any(|(_, _, activation)| activation.name == name);
        match self.family.roles.all().find(|name| !is_there(name)) {
            None => Ok(()),
            Some(name) => Err(SpecError::Inconsistent {
                file: "family.toml".to_owned(),
                problem: format!("a role is that of `{name}`, and there is no activation `{name}`"),
            }),
        }
    }

    fn validate_spec(&self, spec: &Spec) -> Result<(), String> {
        text_is_there("name", &spec.name)?;
        text_is_there("title", &spec.title)?;
        text_is_there("about", &spec.about)?;
        for activation in &spec.activations {
            activation::validate(self, activation)
                .map_err(|problem| format!("activation `{}`: {problem}", activation.name))?;
        }
        requirement::validate_all(spec)?;
        fault::validate_all(spec)?;
        spec.goldens.iter().try_for_each(|golden| validate_golden(spec, golden))
    }

    /// A model of sizes that are easily told apart, with which shapes are tried.
    fn trial(&self) -> Result<Architecture, FamilyError> {
        let is_given = |symbol: &str| self.family.sizes.get(symbol).is_some_and(|size| size.path.is_some());
        let given = TRIAL_SIZES.into_iter().filter(|(symbol, _)| is_given(symbol));
        let sizes = given.map(|(symbol, size)| (symbol.to_owned(), size)).collect();
        let constants = self.family.constants.iter().filter(|(_, source)| source.exists(&self.features));
        Ok(Architecture {
            family: self.family.name.clone(),
            layers: TRIAL_LAYERS,
            sizes: self.family.complete(sizes, None)?,
            constants: constants.map(|(name, _)| (name.clone(), 1e-5)).collect(),
            features: self.features.clone(),
        })
    }
}

fn inconsistent(spec: &Spec, problem: String) -> SpecError {
    SpecError::Inconsistent { file: spec.file_name(), problem }
}

pub(super) fn check_id(id: &str) -> Result<(), String> {
    let well_formed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if id.is_empty() || !id.chars().all(well_formed) {
        return Err(format!("the id `{id}` is not made of lower-case letters, digits and hyphens"));
    }
    Ok(())
}

pub(super) fn text_is_there(what: &str, text: &str) -> Result<(), String> {
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
