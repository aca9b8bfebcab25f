//! Which model a run is about: a directory in Hugging Face format.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use checkpoint_spec::{Architecture, SpecSet, family_of};
use serde_json::Value;
use tokenizers::Tokenizer;

use crate::exit::usage;

/// A model on disk: configuration and tokenizer are known to fit each other.
#[derive(Debug)]
pub struct Model {
    /// As the user named it.
    pub name: String,
    /// Its directory.
    pub directory: PathBuf,
    /// Its sizes and constants, by the symbols of the specs.
    pub architecture: Architecture,
    /// Its tokenizer, if it has one.
    pub tokenizer: Option<Tokenizer>,
}

impl Model {
    /// Reads a model's configuration and tokenizer, and whether its weights are what the configuration says. Each
    /// implementation reads the weights itself.
    pub fn open(name: String, directory: &Path) -> Result<Self> {
        let model = Self::read(name, directory)?;
        drop(model.oracle(&model.specs()?).map_err(|error| usage(error.to_string()))?);
        Ok(model)
    }

    /// Reads a model's configuration and tokenizer, and leaves its weights to whoever reads them first.
    pub fn read(name: String, directory: &Path) -> Result<Self> {
        let directory = std::path::absolute(directory)?;
        let config = config(&directory)?;
        let architecture = architecture(&config)
            .map_err(|error| usage(format!("{}: {error}", directory.join("config.json").display())))?;
        let mut model = Self { name, architecture, tokenizer: None, directory };
        model.tokenizer = read_tokenizer(&model.directory, model.size("V")?)?;
        Ok(model)
    }

    /// The specs of the model.
    pub fn specs(&self) -> Result<SpecSet> {
        Ok(SpecSet::of_model(&self.architecture)?)
    }

    /// The model as the oracle computes it.
    pub fn oracle(&self, specs: &SpecSet) -> Result<oracle::Model> {
        Ok(oracle::Model::load(&self.directory, specs.graph(), self.architecture.clone())?)
    }

    /// A size by its symbol.
    pub fn size(&self, symbol: &str) -> Result<usize> {
        let size = self.architecture.sizes.get(symbol).copied();
        size.with_context(|| format!("the family `{}` gives no size `{symbol}`", self.architecture.family))
    }

    /// Files that decide what the model computes and how text becomes tokens, in order of name.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        files(&self.directory)
    }
}

/// The files of a model's directory that decide what it computes and how text becomes tokens, in order of name.
pub fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .with_context(|| directory.display().to_string())?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|file| {
        let extension = file.extension().and_then(|extension| extension.to_str());
        file.is_file() && matches!(extension, Some("json" | "safetensors" | "txt"))
    });
    files.sort();
    Ok(files)
}

/// The sizes of the model in a directory.
pub fn architecture_in(directory: &Path) -> Option<Architecture> {
    architecture(&config(directory).ok()?).ok()
}

fn config(directory: &Path) -> Result<Value> {
    let path = directory.join("config.json");
    let text =
        std::fs::read_to_string(&path).map_err(|error| usage(format!("{}: {error}", path.display())))?;
    serde_json::from_str(&text).map_err(|error| usage(format!("{}: {error}", path.display())))
}

/// Sizes and constants by the family of the configuration.
pub fn architecture(config: &Value) -> Result<Architecture> {
    Ok(family_of(config)?.architecture(config)?)
}

fn read_tokenizer(directory: &Path, vocabulary: usize) -> Result<Option<Tokenizer>> {
    let file = directory.join("tokenizer.json");
    if !file.is_file() {
        return Ok(None);
    }
    let tokenizer = Tokenizer::from_file(&file)
        .map_err(|error| usage(format!("{}: not a tokenizer: {error}", file.display())))?;
    let highest = tokenizer.get_vocab(true).into_values().max();
    if let Some(id) = highest.filter(|id| usize::try_from(*id).map_or(true, |id| id >= vocabulary)) {
        return Err(usage(format!(
            "{}: token id {id} found, expected ids below {vocabulary}, the vocabulary of config.json; use the \
             tokenizer that the model was trained with, or remove the file to run on seeded token ids",
            file.display()
        )));
    }
    Ok(Some(tokenizer))
}
