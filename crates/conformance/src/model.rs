//! Which model a run is about: a directory in Hugging Face format, wherever it comes from.

mod hub;
mod synthetic;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use checkpoint_spec::{Architecture, SpecSet, family_of};
use gpt2::Gpt2;
use serde_json::Value;
use tokenizers::Tokenizer;

use crate::exit::usage;
use crate::implementation::Means;
use crate::progress::Progress;
use hub::Hub;
use synthetic::Synthetic;

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// The one that comes with the repository.
    Bundled,
    /// A directory in Hugging Face format.
    Directory(PathBuf),
    /// A repository of a hub, downloaded once.
    Hub {
        /// `owner/name` or `name`.
        repository: String,
        /// Branch, tag or commit.
        revision: Option<String>,
    },
    /// Seeded weights, generated once: `gpt2-medium`, `L,D,H,V,C` or `llama:qwen3`, with `@seed`.
    Synthetic(String),
}

/// A model on disk: configuration, weights and tokenizer are known to fit each other.
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

impl ModelSource {
    /// Reads what `--model` takes.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(spec) = text.strip_prefix("synthetic:") {
            spec.parse::<Synthetic>()?;
            return Ok(Self::Synthetic(spec.to_owned()));
        }
        if let Some(repository) = text.strip_prefix("hf:") {
            let (repository, revision) = match repository.split_once('@') {
                Some((repository, revision)) => (repository, Some(revision)),
                None => (repository, None),
            };
            if !hub::is_repository(repository) || !revision.is_none_or(hub::is_revision) {
                return Err(format!("`{text}` names no repository; expected hf:OWNER/NAME[@REVISION]"));
            }
            let revision = revision.map(str::to_owned);
            return Ok(Self::Hub { repository: repository.to_owned(), revision });
        }
        Ok(Self::Directory(text.into()))
    }

    /// The sizes of the model, where they are known without fetching or generating it.
    pub fn architecture(&self) -> Option<Architecture> {
        match self {
            Self::Directory(directory) => architecture_in(directory),
            Self::Synthetic(_) => named_architecture(&self.name()),
            Self::Bundled | Self::Hub { .. } => None,
        }
    }

    /// The name that results carry.
    fn name(&self) -> String {
        match self {
            Self::Bundled => "gpt2-rustbook".to_owned(),
            Self::Directory(directory) => directory
                .file_name()
                .map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned()),
            Self::Hub { repository, revision: None } => format!("hf:{repository}"),
            Self::Hub { repository, revision: Some(revision) } => format!("hf:{repository}@{revision}"),
            Self::Synthetic(spec) => format!("synthetic:{spec}"),
        }
    }

    /// Brings the model to disk if it is not there and reads it.
    pub fn open(&self, means: &Means, progress: &Progress) -> Result<Model> {
        let cache = &means.place.cache;
        let directory = match self {
            Self::Bundled => means.place.bundled_model(),
            Self::Directory(directory) => directory.clone(),
            Self::Hub { repository, revision } => {
                let hub = Hub::from_environment(cache.join("hub"))?;
                hub.download(repository, revision.as_deref(), &means.interrupt, progress)?
            }
            Self::Synthetic(spec) => {
                let parsed: Synthetic = spec.parse().map_err(usage)?;
                parsed.generate(spec, &cache.join("models"), &means.interrupt)?
            }
        };
        Model::open(self.name(), &directory)
    }
}

impl fmt::Display for ModelSource {
    /// What [`ModelSource::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(directory) => write!(f, "{}", directory.display()),
            other => f.write_str(&other.name()),
        }
    }
}

impl Model {
    /// Reads a model's configuration and tokenizer, and whether its weights are what the configuration says. Each
    /// implementation reads the weights itself.
    pub fn open(name: String, directory: &Path) -> Result<Self> {
        if !directory.is_dir() {
            return Err(usage(format!(
                "no model directory at {}; expected a folder with config.json and model.safetensors, or one of: \
                 hf:OWNER/NAME[@REVISION], synthetic:gpt2, synthetic:L,D,H,V,C[@seed], synthetic:llama:VARIANT[@seed]",
                directory.display()
            )));
        }
        let directory = std::path::absolute(directory)?;
        let config = config(&directory)?;
        let architecture = architecture(&config)
            .map_err(|error| usage(format!("{}: {error}", directory.join("config.json").display())))?;
        let tokenizer =
            read_tokenizer(&directory, architecture.sizes.get("V").copied().unwrap_or(usize::MAX))?;
        let model = Self { name, architecture, tokenizer, directory };
        // Bad weights are told of now, not after the references have started; by the Rust GPT-2 where it knows the model, for it
        // is the strictest reader.
        match model.is_plain_gpt2() {
            true => drop(Gpt2::load(&model.directory).map_err(|error| usage(error.to_string()))?),
            false => drop(model.oracle(&model.specs()?).map_err(|error| usage(error.to_string()))?),
        }
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

    /// Why the Rust GPT-2 cannot be asked to run it, where it cannot.
    pub fn rust_gpt2_refuses(&self) -> Option<String> {
        let refused = || Gpt2::load(&self.directory).err().map(|error| error.to_string());
        if self.is_plain_gpt2() { None } else { refused() }
    }

    fn is_plain_gpt2(&self) -> bool {
        self.architecture.family == "gpt2" && self.architecture.features.is_empty()
    }

    /// A size by its symbol.
    pub fn size(&self, symbol: &str) -> usize {
        self.architecture.sizes.get(symbol).copied().unwrap_or(0)
    }

    /// Reads the subject's own weights' directory; architecture and vocabulary must be the original's.
    pub fn open_variant(&self, directory: &Path) -> Result<Self> {
        let variant = Self::open(directory.display().to_string(), directory)?;
        if variant.architecture != self.architecture {
            return Err(usage(format!(
                "--subject-model {}: found {:?} {:?}, expected the architecture of {}: {:?} {:?}",
                directory.display(),
                variant.architecture.layers,
                variant.architecture.sizes,
                self.name,
                self.architecture.layers,
                self.architecture.sizes
            )));
        }
        Ok(variant)
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

/// The sizes that a model's name tells by itself.
pub fn named_architecture(name: &str) -> Option<Architecture> {
    let spec: Synthetic = name.strip_prefix("synthetic:")?.parse().ok()?;
    architecture(&spec.config_json()).ok()
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
fn architecture(config: &Value) -> Result<Architecture> {
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
