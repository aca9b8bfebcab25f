//! The model of a bundle, as a folder to load it from.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::layout::{self, is_file_name};
use crate::{Digest, MaterialFile, Materials};

/// The file that gives a model's sizes and constants.
const CONFIG: &str = "config.json";
/// Bytes of it.
const LARGEST_CONFIG: u64 = 1 << 20;

/// A folder that holds the model's files as the materials have them: each was read, and has its digest. They must not
/// change while they are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFiles {
    folder: PathBuf,
}

/// Why a folder is not the model of a bundle.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The operating system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A file is another one than the materials have, or not there.
    #[error("{file}: {what}")]
    OtherFile {
        /// Its name.
        file: String,
        /// What is the matter.
        what: String,
    },
}

impl ModelFiles {
    /// The model that came with the bundle in `directory`; none where the materials say that none did.
    ///
    /// # Errors
    /// [`ModelError`], when its files are not those of the materials.
    pub fn in_bundle(directory: &Path, materials: &Materials) -> Result<Option<Self>, ModelError> {
        let given = || Self::given(&directory.join(layout::MODEL), materials);
        materials.weights_in_bundle.then(given).transpose()
    }

    /// The model in a folder that somebody named.
    ///
    /// # Errors
    /// [`ModelError`], when its files are not those of the materials, or there are other weights beside them.
    pub fn given(folder: &Path, materials: &Materials) -> Result<Self, ModelError> {
        if materials.weights.is_empty() {
            return Err(other("the model", "the materials name no file of it"));
        }
        materials.model_files().try_for_each(|file| check(folder, file))?;
        for entry in fs::read_dir(folder).map_err(io_at(folder))? {
            let name = entry.map_err(io_at(folder))?.file_name().to_string_lossy().into_owned();
            if is_of_weights(&name) && !materials.weights.iter().any(|file| file.name == name) {
                return Err(other(&name, "the model of the bundle has no such file"));
            }
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Its `config.json`.
    ///
    /// # Errors
    /// [`ModelError`], when the materials name none, or it is not JSON.
    pub fn config(&self, materials: &Materials) -> Result<Value, ModelError> {
        match materials.weights.iter().find(|file| file.name == CONFIG) {
            Some(file) if file.bytes <= LARGEST_CONFIG => {
                let path = self.folder.join(CONFIG);
                let text = fs::read(&path).map_err(io_at(&path))?;
                serde_json::from_slice(&text).map_err(|error| other(CONFIG, &error.to_string()))
            }
            Some(_) => Err(other(CONFIG, &format!("larger than {LARGEST_CONFIG} bytes"))),
            None => Err(other(CONFIG, "the materials name no such file")),
        }
    }

    /// Where to load it from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Whether whoever loads a model might look into a file of that name for weights.
fn is_of_weights(name: &str) -> bool {
    name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json")
}

fn check(folder: &Path, expected: &MaterialFile) -> Result<(), ModelError> {
    let name = &expected.name;
    if !is_file_name(name) {
        return Err(other(&layout::name(name), "not the name of a file"));
    }
    let path = folder.join(name);
    let metadata = match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(other(name, "missing")),
        found => found.map_err(io_at(&path))?,
    };
    if !metadata.is_file() || metadata.len() != expected.bytes {
        let what = format!("{} bytes, the model of the bundle has {} in it", metadata.len(), expected.bytes);
        return Err(other(name, &what));
    }
    let mut file = File::open(&path).map_err(io_at(&path))?;
    let (digest, _) = Digest::of_reader(&mut file).map_err(io_at(&path))?;
    if digest != expected.sha256 {
        return Err(other(
            name,
            &format!("SHA-256 is {digest}, in the model of the bundle {}", expected.sha256),
        ));
    }
    Ok(())
}

fn other(file: &str, what: &str) -> ModelError {
    ModelError::OtherFile { file: file.to_owned(), what: what.to_owned() }
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> ModelError {
    let path = path.to_owned();
    move |source| ModelError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Run, change_weight};

    #[test]
    fn a_folder_is_the_model_only_with_every_file_as_it_was() {
        let run = Run::new();
        let folder = run.model();
        assert_eq!(ModelFiles::given(&folder, &run.materials).unwrap().folder(), folder);
        let weights = folder.join("model.safetensors");
        let refusal = || ModelFiles::given(&folder, &run.materials).unwrap_err().to_string();
        change_weight(&folder);
        assert!(refusal().starts_with("model.safetensors: SHA-256 is "), "{}", refusal());
        fs::write(&weights, "weights no more").unwrap();
        assert!(refusal().starts_with("model.safetensors: 15 bytes"), "{}", refusal());
        fs::remove_file(&weights).unwrap();
        assert_eq!(refusal(), "model.safetensors: missing");
    }

    #[test]
    fn weights_that_the_bundle_does_not_know_are_refused() {
        let run = Run::new();
        let folder = run.model();
        fs::write(folder.join("README.md"), "").unwrap();
        ModelFiles::given(&folder, &run.materials).unwrap();
        fs::write(folder.join("model.safetensors.index.json"), "{}").unwrap();
        let refusal = ModelFiles::given(&folder, &run.materials).unwrap_err().to_string();
        assert_eq!(refusal, "model.safetensors.index.json: the model of the bundle has no such file");
    }

    #[test]
    fn a_name_in_the_materials_leads_nowhere_else() {
        let mut run = Run::new();
        let folder = run.model();
        for name in ["../tiny.safetensors", "/etc/hostname", "", "."] {
            name.clone_into(&mut run.materials.weights[0].name);
            let refusal = ModelFiles::given(&folder, &run.materials).unwrap_err().to_string();
            assert!(refusal.ends_with("not the name of a file"), "{name}: {refusal}");
        }
    }

    #[test]
    fn a_bundle_without_weights_has_no_model_and_one_with_them_has() {
        let mut run = Run::new();
        let bundle = run.write();
        let model = ModelFiles::in_bundle(&bundle, &run.materials).unwrap().unwrap();
        let weights = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
        assert_eq!(weights(model.folder()), weights(&run.model()));
        run.materials.weights_in_bundle = false;
        assert_eq!(ModelFiles::in_bundle(&run.write(), &run.materials).unwrap(), None);
    }
}
