//! Model weights in safetensors format, as others write them.

use std::collections::BTreeMap;
use std::path::Path;

use tensor_compare::{DType, Shape, Tensor};

use crate::FileError;
use crate::header::{Entry, Order};
use crate::stored::Stored;

/// An opened file of weights: any names, any metadata, any order of the header; checked as strictly as a capture
/// otherwise. Values are read on demand.
#[derive(Debug)]
pub struct WeightFile {
    stored: Stored,
    metadata: BTreeMap<String, String>,
    entries: BTreeMap<String, Entry>,
}

impl WeightFile {
    /// Opens the file and checks its header against its length: unique names, known dtypes, data without hole,
    /// overlap or rest.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let (stored, header) = Stored::open(path, Order::Any)?;
        let entries = header.entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
        Ok(Self { stored, metadata: header.metadata.unwrap_or_default(), entries })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.stored.path()
    }

    /// What the writer noted; empty when it noted nothing.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Dtype and shape as the header has them; none when there is no tensor with that name.
    pub fn layout(&self, name: &str) -> Option<(DType, &Shape)> {
        self.entries.get(name).map(|entry| (entry.dtype, &entry.shape))
    }

    /// The tensor with that name; `Ok(None)` when there is none. `Err` when it is there and cannot be read.
    pub fn tensor(&self, name: &str) -> Result<Option<Tensor>, FileError> {
        self.entries.get(name).map(|entry| self.stored.read(entry)).transpose()
    }
}
