//! Where specs come from: the files beside this crate, or a bundle's copy of them.

use super::{Spec, SpecError, SpecSet};

/// The bundled spec files of a family, by file name.
macro_rules! bundled {
    ($family:literal: $($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!("../../specs/", $family, "/", $file)))),+]
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
);

impl SpecSet {
    /// The spec files of a family as this crate carries them: file name and text, in checkpoint order.
    ///
    /// # Errors
    /// [`SpecError::UnknownFamily`].
    pub fn sources(family: &str) -> Result<Vec<(String, String)>, SpecError> {
        match family {
            "gpt2" => Ok(GPT2.iter().map(|&(file, text)| (file.to_owned(), text.to_owned())).collect()),
            _ => Err(SpecError::UnknownFamily { family: family.to_owned() }),
        }
    }

    /// The specs of a family as this crate carries them.
    ///
    /// # Errors
    /// [`SpecError::UnknownFamily`]; that the bundled files are consistent is tested.
    pub fn bundled(family: &str) -> Result<Self, SpecError> {
        Self::parse(family, Self::sources(family)?)
    }

    /// Reads and validates spec files: file name and text, in any order.
    ///
    /// # Errors
    /// With the file and what is wrong in it; for syntax with line and column.
    pub fn parse(family: &str, mut files: Vec<(String, String)>) -> Result<Self, SpecError> {
        files.sort();
        let specs: Result<Vec<Spec>, SpecError> = files
            .iter()
            .map(|(file, text)| {
                let syntax = |error: toml::de::Error| SpecError::Syntax {
                    file: file.clone(),
                    problem: error.to_string().trim_end().to_owned(),
                };
                let spec: Spec = toml::from_str(text).map_err(syntax)?;
                if spec.file_name() == *file {
                    Ok(spec)
                } else {
                    let problem = format!("the spec in it belongs into a file named {}", spec.file_name());
                    Err(SpecError::Inconsistent { file: file.clone(), problem })
                }
            })
            .collect();
        let set = Self { family: family.to_owned(), specs: specs? };
        set.validate()?;
        Ok(set)
    }
}
