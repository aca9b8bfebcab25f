//! Where models come from: a directory, the repository, a hub, or a seed.

mod hub;
mod synthetic;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use checkpoint_spec::Architecture;
use gpt2::Gpt2;
use harness::events::Progress;
use harness::exit::usage;
use harness::implementation::Means;
use harness::materials::files_of;
use harness::model::{Model, architecture, architecture_in};
use harness::place::{BUNDLED_MODEL, Place};
use proof_bundle::Head;

use crate::rust::RustGpt2;
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
            Self::Bundled => BUNDLED_MODEL.to_owned(),
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
        open(self.name(), &directory)
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

/// Reads a model, and whether its weights are what its configuration says.
pub fn open(name: String, directory: &Path) -> Result<Model> {
    if !directory.is_dir() {
        return Err(usage(format!(
            "no model directory at {}; expected a folder with config.json and model.safetensors, or one of: \
             hf:OWNER/NAME[@REVISION], synthetic:gpt2, synthetic:L,D,H,V,C[@seed], synthetic:llama:VARIANT[@seed]",
            directory.display()
        )));
    }
    // Bad weights are told of now, not after the references have started; by the Rust GPT-2 where it knows the model, for it
    // is the strictest reader.
    let known = architecture_in(directory).is_some_and(|architecture| RustGpt2::knows(&architecture));
    if !known {
        return Model::open(name, directory);
    }
    let model = Model::read(name, directory)?;
    drop(Gpt2::load(&model.directory).map_err(|error| usage(error.to_string()))?);
    Ok(model)
}

/// Reads the subject's own weights' directory; architecture and vocabulary must be the original's.
pub fn open_variant(original: &Model, directory: &Path) -> Result<Model> {
    let variant = open(directory.display().to_string(), directory)?;
    if variant.architecture != original.architecture {
        return Err(usage(format!(
            "--subject-model {}: found {:?} {:?}, expected the architecture of {}: {:?} {:?}",
            directory.display(),
            variant.architecture.layers,
            variant.architecture.sizes,
            original.name,
            original.architecture.layers,
            original.architecture.sizes
        )));
    }
    Ok(variant)
}

/// The sizes that a model's name tells by itself.
pub fn named_architecture(name: &str) -> Option<Architecture> {
    let spec: Synthetic = name.strip_prefix("synthetic:")?.parse().ok()?;
    architecture(&spec.config_json()).ok()
}

/// The sizes of a bundle's model, where its name tells them or its configuration and weights are those of the model that
/// comes with the repository.
pub fn architecture_of(place: &Place, head: &Head) -> Option<Architecture> {
    let at_hand = place.bundled_model();
    let is_at_hand = || files_of(&at_hand).is_ok_and(|(weights, _)| weights == head.materials.weights);
    named_architecture(&head.model).or_else(|| is_at_hand().then(|| architecture_in(&at_hand))?)
}

#[cfg(test)]
mod tests {
    use proof_bundle::heads;

    use super::*;

    #[test]
    fn sizes_are_known_by_name_and_of_the_model_that_is_here() {
        let place = Place::find().unwrap();
        let golden = heads::read(&place.bundles().join("golden")).unwrap();
        assert_eq!(architecture_of(&place, &golden).unwrap().layers, 2);
        let mut other = Head { model: "other".to_owned(), ..golden };
        assert_eq!(architecture_of(&place, &other), None);
        other.materials.weights = files_of(&place.bundled_model()).unwrap().0;
        let known = architecture_of(&place, &other);
        assert!(known.is_some() && known == architecture_in(&place.bundled_model()));
    }
}
