//! What a family makes of one model's `config.json`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Family, OptionSpec, SizeSource};
use crate::config::{at, contains, field, positive, whole};
use crate::{Architecture, Conditional, FamilyError, Features, Refused};

impl Family {
    /// Whether `config.json` describes a model of the family: by its `model_type`, and by its architecture where it names
    /// none.
    pub fn describes(&self, config: &Value) -> bool {
        let is_one_of = |names: &[String], value: &Value| names.iter().any(|name| value == name.as_str());
        match at(config, "model_type") {
            Some(kind) if !kind.is_null() => is_one_of(&self.model_types, kind),
            _ => at(config, "architectures")
                .and_then(Value::as_array)
                .is_some_and(|all| all.iter().any(|name| is_one_of(&self.architectures, name))),
        }
    }

    /// Sizes, constants and features of the model that `config.json` describes.
    ///
    /// # Errors
    /// If a size or constant is missing, or an option changes the computation in a way that is not described.
    pub fn architecture(&self, config: &Value) -> Result<Architecture, FamilyError> {
        self.check_architecture(config)?;
        self.options.iter().try_for_each(|option| option.check(config))?;
        let features: Features = self
            .features
            .iter()
            .filter(|feature| feature.holds(config))
            .map(|feature| feature.name.clone())
            .collect();
        let layers = whole(config, &self.layers)?
            .ok_or_else(|| field(config, &self.layers, "a whole number above 0"))?;
        let (sizes, constants) = (self.all_sizes(config)?, self.all_constants(config, &features)?);
        Ok(Architecture { family: self.name.clone(), layers, sizes, constants, features })
    }

    fn check_architecture(&self, config: &Value) -> Result<(), FamilyError> {
        let refused = |option: &str, found: &Value, known: &[String]| {
            Err(FamilyError::Refused(Refused {
                option: option.to_owned(),
                found: found.to_string(),
                expected: known.join(" or "),
                reason: "other models compute something else".to_owned(),
            }))
        };
        match at(config, "model_type") {
            // A family of several kinds of model cannot tell which one this is.
            None | Some(Value::Null) if self.model_types.len() > 1 => {
                return Err(field(config, "model_type", "the name of one of the family's kinds of model"));
            }
            Some(Value::String(kind)) if !self.model_types.contains(kind) => {
                return refused("model_type", &Value::from(kind.as_str()), &self.model_types);
            }
            _ => {}
        }
        match at(config, "architectures").and_then(Value::as_array).and_then(|all| all.first()) {
            Some(Value::String(name)) if !self.architectures.contains(name) => {
                refused("architectures", &Value::from(name.as_str()), &self.architectures)
            }
            _ => Ok(()),
        }
    }

    fn all_sizes(&self, config: &Value) -> Result<BTreeMap<String, usize>, FamilyError> {
        let model_type = at(config, "model_type").and_then(Value::as_str);
        let mut sizes = BTreeMap::new();
        for (symbol, source) in &self.sizes {
            if let Some(size) = source.given(config, model_type)? {
                sizes.insert(symbol.clone(), size);
            }
        }
        self.complete(sizes, model_type)
    }

    fn all_constants(
        &self,
        config: &Value,
        features: &Features,
    ) -> Result<BTreeMap<String, f64>, FamilyError> {
        let exist = self.constants.iter().filter(|(_, source)| source.exists(features));
        exist
            .map(|(name, source)| {
                let found = positive(config, &source.path)?.or(source.otherwise);
                Ok((name.clone(), found.ok_or_else(|| field(config, &source.path, "a number above 0"))?))
            })
            .collect()
    }
}

impl SizeSource {
    /// From what it follows where `config.json` does not have it.
    pub(super) fn rule(&self, model_type: Option<&str>) -> Option<&str> {
        let own = model_type.and_then(|kind| self.otherwise_of.get(kind));
        own.or(self.otherwise.as_ref()).map(String::as_str)
    }

    fn given(&self, config: &Value, model_type: Option<&str>) -> Result<Option<usize>, FamilyError> {
        match &self.path {
            None => Ok(None),
            Some(path) => match whole(config, path)? {
                None if self.rule(model_type).is_none() => Err(field(config, path, "a whole number above 0")),
                found => Ok(found),
            },
        }
    }
}

impl OptionSpec {
    /// The values that the graph describes, in words.
    fn described(&self) -> String {
        let allowed: Vec<String> = self.allowed.iter().map(Value::to_string).collect();
        if allowed.is_empty() { "none".to_owned() } else { allowed.join(" or ") }
    }

    fn check(&self, config: &Value) -> Result<(), FamilyError> {
        if !self.conditions.iter().all(|condition| condition.holds(config)) {
            return Ok(());
        }
        let is_described = |found: &Value| match found.as_array().map(Vec::as_slice) {
            Some([first, rest @ ..]) if !contains(&self.allowed, found) => {
                contains(&self.allowed, first) && rest.iter().all(|other| other == first)
            }
            _ => contains(&self.allowed, found),
        };
        match at(config, &self.path).or(self.otherwise.as_ref()) {
            None | Some(Value::Null) => Ok(()),
            Some(found) if is_described(found) => Ok(()),
            Some(found) => Err(FamilyError::Refused(Refused {
                option: self.path.clone(),
                found: found.to_string(),
                expected: self.described(),
                reason: self.reason.clone(),
            })),
        }
    }
}
