//! Loading a model in Hugging Face format: `config.json` and `model.safetensors`, whole or in shards.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use capture::WeightFile;
use ndarray::{ArcArray1, ArcArray2, ArrayD, Ix1, Ix2};
use serde::Deserialize;

use crate::functions::gelu_new;
use crate::layers::{LayerNorm, Linear};
use crate::model::{Attention, Block, Mlp};
use crate::tensors::{self, Mismatch};
use crate::{Config, Gpt2, LoadError};

impl Gpt2 {
    /// Loads a model: every tensor that the config calls for, in the shape it says, and no other. Names may begin
    /// with `transformer.`; the buffers `attn.bias` and `attn.masked_bias` of old checkpoints are passed over.
    pub fn load(directory: &Path) -> Result<Self, LoadError> {
        let config = Config::read(directory)?;
        let mut weights = Weights::open(directory)?;
        let (vocabulary, width, context) = (config.vocabulary, config.width, config.context);
        let wte = weights.matrix("wte.weight", vocabulary, width)?;
        let wpe = weights.matrix("wpe.weight", context, width)?;
        let blocks = (0..config.layers)
            .map(|l| weights.block(&config, &format!("h.{l}.")))
            .collect::<Result<_, _>>()?;
        let ln_f = weights.layer_norm(&config, "ln_f")?;
        weights.check_head(&wte)?;
        weights.require_all_used()?;
        Ok(Self { config, head: wte.clone(), wte, wpe, blocks, ln_f })
    }
}

/// The weights in a directory; each is taken out once.
struct Weights {
    directory: PathBuf,
    files: Vec<WeightFile>,
    /// By name without prefix.
    tensors: BTreeMap<String, Stored>,
}

struct Stored {
    file: usize,
    name: String,
}

impl Weights {
    fn block(&mut self, config: &Config, prefix: &str) -> Result<Block, LoadError> {
        let (width, inner) = (config.width, config.inner);
        Ok(Block {
            ln_1: self.layer_norm(config, &format!("{prefix}ln_1"))?,
            attn: Attention {
                c_attn: self.linear(&format!("{prefix}attn.c_attn"), width, 3 * width)?,
                c_proj: self.linear(&format!("{prefix}attn.c_proj"), width, width)?,
                heads: config.heads,
                scale: (config.head_dim() as f64).sqrt().recip() as f32,
            },
            ln_2: self.layer_norm(config, &format!("{prefix}ln_2"))?,
            mlp: Mlp {
                c_fc: self.linear(&format!("{prefix}mlp.c_fc"), width, inner)?,
                c_proj: self.linear(&format!("{prefix}mlp.c_proj"), inner, width)?,
                activation: gelu_new,
            },
        })
    }

    fn layer_norm(&mut self, config: &Config, name: &str) -> Result<LayerNorm, LoadError> {
        Ok(LayerNorm {
            weight: self.vector(&format!("{name}.weight"), config.width)?,
            bias: self.vector(&format!("{name}.bias"), config.width)?,
            epsilon: config.epsilon,
        })
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Linear, LoadError> {
        Ok(Linear {
            weight: self.matrix(&format!("{name}.weight"), inputs, outputs)?,
            bias: self.vector(&format!("{name}.bias"), outputs)?,
        })
    }

    fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<ArcArray2<f32>, LoadError> {
        let (array, _) = self.take(name, &[rows, columns])?;
        Ok(array.into_dimensionality::<Ix2>().expect("the shape was checked").into_shared())
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<ArcArray1<f32>, LoadError> {
        let (array, _) = self.take(name, &[length])?;
        Ok(array.into_dimensionality::<Ix1>().expect("the shape was checked").into_shared())
    }

    /// A stored head must be the token embedding, bit for bit.
    fn check_head(&mut self, wte: &ArcArray2<f32>) -> Result<(), LoadError> {
        if !self.tensors.contains_key("lm_head.weight") {
            return Ok(());
        }
        let (head, path) = self.take("lm_head.weight", wte.shape())?;
        let same = |a: &f32, b: &f32| a.to_bits() == b.to_bits();
        let differing = wte
            .outer_iter()
            .zip(head.outer_iter())
            .position(|(wte, head)| !wte.iter().zip(&head).all(|(a, b)| same(a, b)));
        differing.map_or(Ok(()), |row| Err(LoadError::UntiedHead { path, row }))
    }

    fn require_all_used(&self) -> Result<(), LoadError> {
        if self.tensors.is_empty() {
            return Ok(());
        }
        Err(LoadError::Unexpected {
            directory: self.directory.clone(),
            names: self.tensors.keys().cloned().collect(),
        })
    }

    fn take(&mut self, name: &str, expected: &[usize]) -> Result<(ArrayD<f32>, PathBuf), LoadError> {
        let missing = || LoadError::Missing {
            directory: self.directory.clone(),
            name: name.to_owned(),
            expected: expected.to_vec(),
        };
        let stored = self.tensors.remove(name).ok_or_else(missing)?;
        let file = &self.files[stored.file];
        let path = file.path().to_owned();
        let shape_error = |found: &[usize]| LoadError::Shape {
            path: path.clone(),
            name: name.to_owned(),
            found: found.to_vec(),
            expected: expected.to_vec(),
        };
        // Before reading: what is allocated is what the config calls for.
        match file.layout(&stored.name) {
            Some((_, shape)) if shape.dimensions() != expected => {
                return Err(shape_error(shape.dimensions()));
            }
            _ => {}
        }
        let tensor = file.tensor(&stored.name)?.ok_or_else(missing)?;
        match tensors::to_array(&tensor, expected) {
            Ok(array) => Ok((array, path)),
            Err(Mismatch::Shape { found }) => Err(shape_error(found.dimensions())),
            Err(Mismatch::DType { found }) => Err(LoadError::DType { path, name: name.to_owned(), found }),
        }
    }

    fn open(directory: &Path) -> Result<Self, LoadError> {
        let whole = directory.join("model.safetensors");
        let index = directory.join("model.safetensors.index.json");
        let files = if whole.exists() {
            vec![WeightFile::open(&whole)?]
        } else if index.exists() {
            open_shards(directory, &index)?
        } else {
            return Err(LoadError::NoWeights { directory: directory.to_owned() });
        };
        let mut weights = Self { directory: directory.to_owned(), files, tensors: BTreeMap::new() };
        weights.list()?;
        Ok(weights)
    }

    fn list(&mut self) -> Result<(), LoadError> {
        for (file, weights) in self.files.iter().enumerate() {
            for stored in weights.names() {
                let name = stored.strip_prefix("transformer.").unwrap_or(stored);
                if is_buffer(name) {
                    continue;
                }
                let entry = Stored { file, name: stored.to_owned() };
                if let Some(first) = self.tensors.insert(name.to_owned(), entry) {
                    let describe = |file: usize, stored: &str| {
                        format!("`{stored}` in {}", self.files[file].path().display())
                    };
                    return Err(LoadError::Duplicate {
                        directory: self.directory.clone(),
                        name: name.to_owned(),
                        first: describe(first.file, &first.name),
                        second: describe(file, stored),
                    });
                }
            }
        }
        Ok(())
    }
}

/// The causal mask and its value, which old checkpoints store: `h.3.attn.bias`, `h.3.attn.masked_bias`.
fn is_buffer(name: &str) -> bool {
    name.strip_prefix("h.").and_then(|rest| rest.split_once('.')).is_some_and(|(layer, rest)| {
        layer.parse::<usize>().is_ok() && matches!(rest, "attn.bias" | "attn.masked_bias")
    })
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Opens the shards that the index names; together they hold exactly the tensors that it lists, each where it says.
fn open_shards(directory: &Path, index: &Path) -> Result<Vec<WeightFile>, LoadError> {
    let problem = |problem| LoadError::Index { path: index.to_owned(), problem };
    let text =
        std::fs::read_to_string(index).map_err(|source| LoadError::Io { path: index.to_owned(), source })?;
    let Index { weight_map } = serde_json::from_str(&text).map_err(|error| problem(error.to_string()))?;
    let mut shards: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, shard) in &weight_map {
        shards.entry(shard).or_default().push(name);
    }
    let mut files = Vec::with_capacity(shards.len());
    for (shard, listed) in shards {
        if !is_file_name(shard) {
            return Err(problem(format!("{shard:?} is not the name of a file beside the index")));
        }
        let file = WeightFile::open(&directory.join(shard))?;
        let held: Vec<&str> = file.names().collect();
        if let Some(name) = listed.iter().find(|name| !held.contains(name)) {
            return Err(problem(format!("`{name}` is listed for {shard}, which does not hold it")));
        }
        if let Some(name) = held.iter().find(|name| !listed.contains(name)) {
            return Err(problem(format!("{shard} holds `{name}`, which is not listed for it")));
        }
        files.push(file);
    }
    Ok(files)
}

/// No directory, no `..`: what an index names lies beside it.
fn is_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(_)), None))
}
