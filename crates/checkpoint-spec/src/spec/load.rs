//! Where specs come from: the files beside this crate, or a bundle's copy of them.

use std::collections::BTreeMap;

use graph::{Architecture, Conditional, Family, Features};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ActivationSpec, Judging, OperationLaw, Spec, SpecError, SpecSet};

/// All files below the families' folder, by path from there, in order.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/families.rs"));

/// What stands for each weight of the family in a name.
const EACH_WEIGHT: &str = "{weight}";

/// The family of the model that `config.json` describes, by its `model_type`, or its architecture where it names none.
///
/// # Errors
/// [`SpecError::UnknownFamily`] with what the configuration says.
pub fn family_of(config: &Value) -> Result<Family, SpecError> {
    for name in SpecSet::families() {
        let family = SpecSet::bundled(name)?.family;
        if family.describes(config) {
            return Ok(family);
        }
    }
    let said = config.get("model_type").or_else(|| config.get("architectures"));
    Err(unknown(&said.map_or_else(|| "that config.json does not name".to_owned(), Value::to_string)))
}

fn unknown(family: &str) -> SpecError {
    SpecError::UnknownFamily {
        family: family.trim_matches('"').to_owned(),
        known: SpecSet::families().collect::<Vec<_>>().join(", "),
    }
}

impl SpecSet {
    /// The names of the families that there are specs for.
    pub fn families() -> impl Iterator<Item = &'static str> {
        FILES.iter().filter_map(|(path, _)| path.strip_suffix("/family.toml"))
    }

    /// The spec files of a family as the program carries them: file name and text, in order.
    ///
    /// # Errors
    /// [`SpecError::UnknownFamily`].
    pub fn sources(family: &str) -> Result<Vec<(String, String)>, SpecError> {
        if !Self::families().any(|known| known == family) {
            return Err(unknown(family));
        }
        let named = |(path, text): &(&str, &str)| {
            let file = Self::file_name(family, path)?.to_owned();
            Some((path.len() == file.len(), file, (*text).to_owned()))
        };
        let mut files: Vec<(bool, String, String)> = FILES.iter().filter_map(named).collect();
        // The family's own come first.
        files.sort();
        Ok(files.into_iter().map(|(_, file, text)| (file, text)).collect())
    }

    /// The name by which specs are known of a file below the families' folder: that of the family without its folder, what
    /// holds in every family as it is; none of another family's.
    pub fn file_name<'a>(family: &str, path: &'a str) -> Option<&'a str> {
        match path.split_once('/') {
            Some((folder, file)) if folder == family => Some(file),
            Some(("operations", _)) | None => Some(path),
            Some(_) => None,
        }
    }

    /// The specs of a family as the program carries them, for models without any feature.
    ///
    /// # Errors
    /// [`SpecError::UnknownFamily`]; that the bundled files are consistent is tested.
    pub fn bundled(family: &str) -> Result<Self, SpecError> {
        Self::parse(Self::sources(family)?)
    }

    /// The specs of a model as the program carries them.
    ///
    /// # Errors
    /// [`SpecError::UnknownFamily`], or if the family has no such feature.
    pub fn of_model(architecture: &Architecture) -> Result<Self, SpecError> {
        Self::parse_for(Self::sources(&architecture.family)?, &architecture.features)
    }

    /// Reads and validates spec files, for models without any feature: file name and text, in any order.
    ///
    /// # Errors
    /// With the file and what is wrong in it; for syntax with line and column.
    pub fn parse(files: Vec<(String, String)>) -> Result<Self, SpecError> {
        Self::parse_for(files, &Features::new())
    }

    /// The same for models with these features: what exists under other conditions is left out.
    ///
    /// # Errors
    /// As [`SpecSet::parse`], or if the family has no such feature.
    pub fn parse_for(mut files: Vec<(String, String)>, features: &Features) -> Result<Self, SpecError> {
        files.sort();
        let (mut family, mut judging, mut operations, mut specs) = (None, None, BTreeMap::new(), Vec::new());
        for (file, text) in &files {
            match file.as_str() {
                "family.toml" => family = Some(read_family(text)?),
                "judging.toml" => judging = Some(read::<Judging>(file, text)?),
                _ if file.starts_with("operations/") => {
                    let law: OperationLaw = read(file, text)?;
                    named_as_it_should_be(file, &law.file_name())?;
                    operations.insert(law.operation.clone(), law);
                }
                _ => {
                    let spec: Spec = read(file, text)?;
                    named_as_it_should_be(file, &spec.file_name())?;
                    specs.push(spec);
                }
            }
        }
        let missing = |file: &str| SpecError::Inconsistent {
            file: file.to_owned(),
            problem: "is not among the files".to_owned(),
        };
        let family = family.ok_or_else(|| missing("family.toml"))?;
        let judging = judging.ok_or_else(|| missing("judging.toml"))?;
        let mut set = Self { family, judging, operations, features: features.clone(), specs };
        set.resolve()?;
        set.specs.iter_mut().for_each(|spec| for_each_weight(spec, &set.family, features));
        set.validate()?;
        Ok(set)
    }
}

fn read_family(text: &str) -> Result<Family, SpecError> {
    Family::parse(text).map_err(|error| {
        let problem = error.to_string();
        let problem = problem.strip_prefix("family.toml: ").unwrap_or(&problem).to_owned();
        SpecError::Syntax { file: "family.toml".to_owned(), problem }
    })
}

fn read<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, SpecError> {
    toml::from_str(text).map_err(|error| SpecError::Syntax {
        file: file.to_owned(),
        problem: error.to_string().trim_end().to_owned(),
    })
}

fn named_as_it_should_be(file: &str, expected: &str) -> Result<(), SpecError> {
    if file == expected {
        return Ok(());
    }
    let problem = format!("what is in it belongs into a file named {expected}");
    Err(SpecError::Inconsistent { file: file.to_owned(), problem })
}

/// Writes what is said of every weight out, weight by weight.
fn for_each_weight(spec: &mut Spec, family: &Family, features: &Features) {
    let names = |template: &str| -> Vec<String> {
        if !template.contains(EACH_WEIGHT) {
            return vec![template.to_owned()];
        }
        let weights = family.weights.iter().filter(|weight| weight.exists(features));
        weights.map(|weight| template.replace(EACH_WEIGHT, &weight.name)).collect()
    };
    let activations = std::mem::take(&mut spec.activations);
    let written = activations.into_iter().flat_map(|activation| {
        let named = |name: String| ActivationSpec { name, ..activation.clone() };
        names(&activation.name).into_iter().map(named).collect::<Vec<_>>()
    });
    spec.activations = written.collect();
    for requirement in &mut spec.requirements {
        requirement.of = requirement.of.iter().flat_map(|of| names(of)).collect();
    }
}
