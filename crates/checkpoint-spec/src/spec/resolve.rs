//! What of a family's specs exists for models with certain features.

use graph::Conditional;

use super::{Spec, SpecError, SpecSet};

impl SpecSet {
    /// Leaves out what models with these features do not have, once everything that is declared was looked at: what is
    /// left out of one model must make sense in another.
    ///
    /// # Errors
    /// With the file and the first contradiction in it.
    pub(super) fn resolve(&mut self) -> Result<(), SpecError> {
        for name in &self.features {
            self.family
                .knows_feature(name)
                .map_err(|problem| SpecError::Inconsistent { file: "family.toml".to_owned(), problem })?;
        }
        for spec in &self.specs {
            self.check_declared(spec)
                .map_err(|problem| SpecError::Inconsistent { file: spec.file_name(), problem })?;
        }
        for spec in &mut self.specs {
            spec.activations.retain(|activation| activation.exists(&self.features));
            spec.faults.retain(|fault| fault.exists(&self.features));
            spec.requirements.retain(|requirement| requirement.exists(&self.features));
            leave_out(spec);
        }
        Ok(())
    }

    fn check_declared(&self, spec: &Spec) -> Result<(), String> {
        let known = |conditional: &dyn Fn() -> Vec<String>, of: &str| {
            let unknown = conditional().into_iter().find_map(|name| self.family.knows_feature(&name).err());
            unknown.map_or(Ok(()), |problem| Err(format!("{of}: {problem}")))
        };
        for activation in &spec.activations {
            known(&|| named(activation), &format!("activation `{}`", activation.name))?;
        }
        for fault in &spec.faults {
            known(&|| named(fault), &format!("fault `{}`", fault.id))?;
        }
        for (index, requirement) in spec.requirements.iter().enumerate() {
            let expected = format!("{}.{}", spec.id, index + 1);
            if requirement.id != expected {
                return Err(format!("requirement `{}` stands where `{expected}` must be", requirement.id));
            }
            known(&|| named(requirement), &format!("requirement {expected}"))?;
            if let Some(name) = requirement.of.iter().find(|name| spec.activation(name).is_none()) {
                return Err(format!("requirement {expected}: `{name}` is no activation of this checkpoint"));
            }
        }
        exclusive(spec)
    }
}

fn named(conditional: &impl Conditional) -> Vec<String> {
    conditional.when().iter().chain(conditional.unless()).cloned().collect()
}

/// Of one name there are several entries only where no model has two of them.
fn exclusive(spec: &Spec) -> Result<(), String> {
    for (index, activation) in spec.activations.iter().enumerate() {
        let mut others = spec.activations[..index].iter().filter(|other| other.name == activation.name);
        if others.any(|other| !other.excludes(activation)) {
            return Err(format!(
                "`{}` is already an activation of {}, and a model may have both",
                activation.name, spec.id
            ));
        }
    }
    Ok(())
}

/// A requirement is of the activations that a model has; one of none of its activations asks nothing of it.
fn leave_out(spec: &mut Spec) {
    let Spec { activations, requirements, .. } = spec;
    requirements.retain_mut(|requirement| {
        let asked_of_something = !requirement.of.is_empty();
        requirement.of.retain(|name| activations.iter().any(|activation| activation.name == *name));
        !asked_of_something || !requirement.of.is_empty()
    });
}
