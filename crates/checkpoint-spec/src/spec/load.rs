//! Where specs come from: the files beside this crate, or a bundle's copy of them.

use std::collections::BTreeMap;

use graph::Family;
use serde::de::DeserializeOwned;

use super::{ActivationSpec, Judging, OperationLaw, Spec, SpecError, SpecSet};

/// The bundled spec files of a family, by file name.
macro_rules! bundled {
    ($family:literal: $($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!("../../../graph/families/", $family, "/", $file)))),+]
    };
}

const GPT2: &[(&str, &str)] = bundled!("gpt2":
    "00-foundation.toml",
    "01-layer-norm.toml",
    "02-qkv.toml",
    "03-kv-cache.toml",
    "04-attention-scores.toml",
    "05-attention-output.toml",
    "06-ffn.toml",
    "07-block.toml",
    "08-logits.toml",
    "09-selected-logits.toml",
    "10-argmax.toml",
    "11-softmax-probs.toml",
    "12-end-to-end.toml",
    "family.toml",
);

/// What holds in every family.
const COMMON: &[(&str, &str)] = bundled!(".":
    "judging.toml",
    "operations/add.toml",
    "operations/argmax.toml",
    "operations/cache.toml",
    "operations/gelu.toml",
    "operations/last.toml",
    "operations/layer_norm.toml",
    "operations/linear.toml",
    "operations/mask.toml",
    "operations/rows.toml",
    "operations/scores.toml",
    "operations/softmax.toml",
    "operations/weighted_values.toml",
);

/// What stands for each weight of the family in a name.
const EACH_WEIGHT: &str = "{weight}";

impl SpecSet {
    /// The spec files of a family as the program carries them: file name and text, in order.
    ///
    /// # Errors
    /// [`SpecError::UnknownFamily`].
    pub fn sources(family: &str) -> Result<Vec<(String, String)>, SpecError> {
        match family {
            "gpt2" => {
                let files = GPT2.iter().chain(COMMON);
                Ok(files.map(|&(file, text)| (file.to_owned(), text.to_owned())).collect())
            }
            _ => Err(SpecError::UnknownFamily { family: family.to_owned() }),
        }
    }

    /// The specs of a family as the program carries them.
    ///
    /// # Errors
    /// [`SpecError::UnknownFamily`]; that the bundled files are consistent is tested.
    pub fn bundled(family: &str) -> Result<Self, SpecError> {
        Self::parse(Self::sources(family)?)
    }

    /// Reads and validates spec files: file name and text, in any order.
    ///
    /// # Errors
    /// With the file and what is wrong in it; for syntax with line and column.
    pub fn parse(mut files: Vec<(String, String)>) -> Result<Self, SpecError> {
        files.sort();
        let (mut family, mut judging, mut operations, mut specs) = (None, None, BTreeMap::new(), Vec::new());
        for (file, text) in &files {
            match file.as_str() {
                "family.toml" => family = Some(read::<Family>(file, text)?),
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
        specs.iter_mut().for_each(|spec| for_each_weight(spec, &family));
        let set = Self { family, judging, operations, specs };
        set.validate()?;
        Ok(set)
    }
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
fn for_each_weight(spec: &mut Spec, family: &Family) {
    let names = |template: &str| -> Vec<String> {
        if !template.contains(EACH_WEIGHT) {
            return vec![template.to_owned()];
        }
        family.weights.iter().map(|weight| template.replace(EACH_WEIGHT, &weight.name)).collect()
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
