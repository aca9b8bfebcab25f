//! The weights of a model, read by its family's names.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use capture::{DType, FileError, WeightFile};
use graph::{Architecture, ArrayChange, Family, FamilyError};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::change::change;
use crate::{Array, Weight};

/// All weights of a model in f32, by canonical name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    tensors: BTreeMap<String, Arc<Stored>>,
}

/// Shape and values.
type Stored = (Vec<usize>, Vec<f32>);

/// Why weights cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The operating system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A file of weights cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The architecture gives a dimension no size.
    #[error(transparent)]
    Family(#[from] FamilyError),
    /// What is stored is not what the family calls for.
    #[error("{path}: {problem}")]
    Content {
        /// The file or folder.
        path: PathBuf,
        /// What was found and what was expected.
        problem: String,
    },
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Weights {
    /// Reads `model.safetensors`, whole or in shards: every weight that the family calls for, in its shape. A stored copy
    /// of a tied weight must have the bits of the original; other tensors are passed over.
    ///
    /// # Errors
    /// [`WeightsError`].
    pub fn load(
        directory: &Path,
        family: &Family,
        architecture: &Architecture,
    ) -> Result<Self, WeightsError> {
        let expected = family.weights(architecture)?;
        // Where a model has the weight itself, as an untied head, it is no copy.
        let tied: BTreeMap<&String, &String> =
            family.tied.iter().filter(|(copy, _)| !expected.contains_key(*copy)).collect();
        let content = |problem: String| WeightsError::Content { path: directory.to_owned(), problem };
        let mut tensors = BTreeMap::new();
        for path in files(directory)? {
            let file = WeightFile::open(&path)?;
            let names: Vec<(String, String)> = file
                .names()
                .filter_map(|stored| Some((stored.to_owned(), family.canonical(stored)?.to_owned())))
                .filter(|(_, name)| expected.contains_key(name) || tied.contains_key(name))
                .collect();
            let read = |(stored, name): (String, String)| Ok((name, tensor(&file, &stored)?));
            let found: Result<Vec<_>, WeightsError> = names.into_par_iter().map(read).collect();
            for (name, tensor) in found? {
                if tensors.insert(name.clone(), tensor).is_some() {
                    return Err(content(format!("`{name}` is stored twice; keep one of them")));
                }
            }
        }
        for (copy, original) in tied {
            if let Some(copied) = tensors.remove(copy)
                && tensors.get(original).is_some_and(|original| !same_bits(original, &copied))
            {
                return Err(content(format!("`{copy}` differs from `{original}`, to which it is tied")));
            }
        }
        for (name, shape) in &expected {
            match tensors.get(name) {
                Some((found, _)) if found == shape => {}
                Some((found, _)) => {
                    return Err(content(format!(
                        "`{name}` has shape {found:?}; by config.json it is {shape:?}"
                    )));
                }
                None => return Err(content(format!("there is no `{name}` of shape {shape:?}"))),
            }
        }
        Ok(Self::new(tensors))
    }

    /// Weights that are in memory, by canonical name: shape and values.
    pub fn new(tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>) -> Self {
        Self { tensors: tensors.into_iter().map(|(name, tensor)| (name, Arc::new(tensor))).collect() }
    }

    /// The weight with that name.
    pub fn get(&self, name: &str) -> Option<Weight<'_>> {
        self.tensors.get(name).map(|tensor| Weight { shape: &tensor.0, values: &tensor.1 })
    }

    /// Puts a change into a weight as it is stored.
    ///
    /// # Errors
    /// If there is no such weight, or it cannot be changed like that.
    pub(crate) fn change(&mut self, name: &str, with: &ArrayChange) -> Result<(), String> {
        let stored = self.tensors.get_mut(name).ok_or_else(|| format!("there is no weight `{name}`"))?;
        let stored = Arc::make_mut(stored);
        let mut array = Array { shape: stored.0.clone(), values: std::mem::take(&mut stored.1) };
        let done = change(&mut array, with);
        stored.1 = array.values;
        done
    }

    /// Name, shape and values of every weight, in order of name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &[usize], &[f32])> {
        let parts = |(name, tensor)| {
            let (name, (shape, values)): (&String, &(Vec<usize>, Vec<f32>)) = (name, tensor);
            (name.as_str(), shape.as_slice(), values.as_slice())
        };
        self.tensors.iter().map(|(name, tensor)| (name, &**tensor)).map(parts)
    }

    /// SHA-256 of the values of a weight as little-endian f32 in C order.
    pub fn digest(&self, name: &str) -> Option<[u8; 32]> {
        let values = &self.tensors.get(name)?.1;
        let mut hasher = Sha256::new();
        for part in values.chunks(1 << 14) {
            let bytes: Vec<u8> = part.iter().flat_map(|value| value.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
        Some(hasher.finalize().into())
    }
}

/// The files of a folder that hold weights.
fn files(directory: &Path) -> Result<Vec<PathBuf>, WeightsError> {
    let single = directory.join("model.safetensors");
    let index = directory.join("model.safetensors.index.json");
    let text = match std::fs::read_to_string(&index) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![single]),
        Err(source) => return Err(WeightsError::Io { path: index, source }),
    };
    if single.is_file() {
        return Ok(vec![single]);
    }
    let content = |problem: String| WeightsError::Content { path: index.clone(), problem };
    let parsed: Index = serde_json::from_str(&text).map_err(|error| content(error.to_string()))?;
    let shards: BTreeSet<String> = parsed.weight_map.into_values().collect();
    let beside = |shard: &String| {
        matches!(Path::new(shard).components().collect::<Vec<_>>().as_slice(), [Component::Normal(_)])
    };
    match shards.iter().find(|shard| !beside(shard)) {
        Some(shard) => Err(content(format!("`{shard}` is no file beside it"))),
        None => Ok(shards.iter().map(|shard| directory.join(shard)).collect()),
    }
}

fn tensor(file: &WeightFile, name: &str) -> Result<(Vec<usize>, Vec<f32>), WeightsError> {
    let content = |problem: String| WeightsError::Content { path: file.path().to_owned(), problem };
    let tensor = file.tensor(name)?.ok_or_else(|| content(format!("there is no `{name}`")))?;
    let dtype = tensor.dtype();
    let values = match dtype {
        DType::F32 => tensor.view().to_f32().map_err(|error| content(error.to_string()))?,
        #[expect(clippy::cast_possible_truncation, reason = "f32 holds every f16 and bf16 exactly")]
        DType::F16 | DType::BF16 => tensor.view().to_f64_lossy().into_iter().map(|x| x as f32).collect(),
        _ => return Err(content(format!("`{name}` is {dtype}; F32, F16 and BF16 can be read"))),
    };
    Ok((tensor.shape().dimensions().to_vec(), values))
}

fn same_bits((a_shape, a): &(Vec<usize>, Vec<f32>), (b_shape, b): &(Vec<usize>, Vec<f32>)) -> bool {
    a_shape == b_shape && a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits()))
}
