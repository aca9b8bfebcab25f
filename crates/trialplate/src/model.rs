//! The model that a dump is of: its configuration, its weights, and its tokenizer if it has one.

use std::path::Path;

use checkpoint_spec::{Architecture, SpecSet, family_of};
use oracle::Model;
use serde_json::Value;
use tokenizers::Tokenizer;

use crate::exit::Problem;

/// A model whose dumps can be judged.
#[derive(Debug)]
pub struct Subject {
    /// As the user named it.
    pub name: String,
    /// What is required of it.
    pub specs: SpecSet,
    /// Its graph, sizes and weights.
    pub model: Model,
    tokenizer: Option<Tokenizer>,
}

impl Subject {
    /// Reads `config.json`, the weights in safetensors, one file or sharded, and `tokenizer.json` if there is one.
    ///
    /// # Errors
    /// With what was found and what was expected.
    pub fn open(directory: &Path) -> Result<Self, Problem> {
        let name = directory.display().to_string();
        let config = directory.join("config.json");
        let at_config = |problem: &dyn ToString| {
            Problem::Usage(format!(
                "{}: {}; --model needs a folder in Hugging Face format, with config.json and model.safetensors",
                config.display(),
                problem.to_string()
            ))
        };
        let text = std::fs::read_to_string(&config).map_err(|error| at_config(&error))?;
        let parsed: Value = serde_json::from_str(&text).map_err(|error| at_config(&error))?;
        let family = family_of(&parsed).map_err(|error| at_config(&error))?;
        let architecture = family.architecture(&parsed).map_err(|error| at_config(&error))?;
        let specs = SpecSet::of_model(&architecture).map_err(Problem::internal)?;
        let model = Model::load(directory, specs.graph(), architecture).map_err(Problem::usage)?;
        let file = directory.join("tokenizer.json");
        let tokenizer =
            match file.is_file() {
                true => Some(Tokenizer::from_file(&file).map_err(|error| {
                    Problem::Usage(format!("{}: not a tokenizer: {error}", file.display()))
                })?),
                false => None,
            };
        Ok(Self { name, specs, model, tokenizer })
    }

    /// A model that is in memory.
    pub fn of(name: &str, specs: SpecSet, model: Model) -> Self {
        Self { name: name.to_owned(), specs, model, tokenizer: None }
    }

    /// Its sizes and constants.
    pub fn architecture(&self) -> &Architecture {
        &self.model.architecture
    }

    /// A size by its symbol.
    pub(crate) fn size(&self, symbol: &str) -> usize {
        self.model.architecture.sizes.get(symbol).copied().unwrap_or(0)
    }

    /// Token ids of a text.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<i64>, Problem> {
        let Some(tokenizer) = &self.tokenizer else {
            return Err(Problem::Usage(format!(
                "--text needs {}/tokenizer.json, which is not there; give the ids with --tokens 1,2,3",
                self.name
            )));
        };
        let encoded = tokenizer.encode(text, true);
        let encoded =
            encoded.map_err(|error| Problem::Usage(format!("--text cannot be tokenized: {error}")))?;
        Ok(encoded.get_ids().iter().map(|&id| i64::from(id)).collect())
    }
}
