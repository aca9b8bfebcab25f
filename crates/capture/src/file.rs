//! The strict safetensors file that holds one capture.
//!
//! Tensors are ordered by size of dtype, largest first, then by name, so that all are aligned and nothing lies
//! between them. `__metadata__` has one key, `trialplate`, whose value is a JSON object with `schema`, `identity` and
//! `not_contiguous`.

pub(crate) mod output;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tensor_compare::{DType, Shape, Tensor};

use crate::header::{Entry, Order};
use crate::json::{self, Object};
use crate::stored::Stored;
use crate::{FileError, Identity, TensorName, TensorSource};

pub use write::{CaptureWriter, write};

/// Version of the format.
const SCHEMA: &str = "trialplate/capture/1";

/// The one key of `__metadata__`.
const METADATA: &str = "trialplate";

/// An opened capture: the header has been checked as a whole, values are read on demand.
#[derive(Debug)]
pub struct CaptureFile {
    stored: Stored,
    identity: Identity,
    not_contiguous: BTreeSet<TensorName>,
    entries: BTreeMap<TensorName, Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    schema: String,
    identity: Object<Identity>,
    not_contiguous: Vec<String>,
}

impl CaptureFile {
    /// Opens the file and checks its header against its length. What is allocated is bounded by the header that is
    /// really there, never by what it claims.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let (stored, header) = Stored::open(path, Order::Data)?;
        let metadata = header.metadata.unwrap_or_default();
        let (identity, not_contiguous) =
            read_metadata(&metadata).map_err(|problem| stored.malformed(problem))?;
        let entries = header
            .entries
            .into_iter()
            .map(|entry| Ok((read_name(&entry.name)?, entry)))
            .collect::<Result<BTreeMap<_, _>, String>>()
            .map_err(|problem| stored.malformed(problem))?;
        if let Some(name) = not_contiguous.iter().find(|name| !entries.contains_key(name)) {
            return Err(
                stored.malformed(format!("`{name}` is in `not_contiguous` and is no tensor of the file"))
            );
        }
        Ok(Self { stored, identity, not_contiguous, entries })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.stored.path()
    }

    /// Who produced it.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Activations that were not contiguous where they were observed.
    pub fn not_contiguous(&self) -> &BTreeSet<TensorName> {
        &self.not_contiguous
    }

    /// Dtype and shape as the header has them; none when there is no tensor with that name.
    pub fn layout(&self, name: &TensorName) -> Option<(DType, &Shape)> {
        self.entries.get(name).map(|entry| (entry.dtype, &entry.shape))
    }
}

impl TensorSource for CaptureFile {
    fn names(&self) -> BTreeSet<TensorName> {
        self.entries.keys().cloned().collect()
    }

    fn tensor(&self, name: &TensorName) -> Result<Option<Tensor>, FileError> {
        self.entries.get(name).map(|entry| self.stored.read(entry)).transpose()
    }
}

fn read_metadata(found: &BTreeMap<String, String>) -> Result<(Identity, BTreeSet<TensorName>), String> {
    let keys: Vec<&str> = found.keys().map(String::as_str).collect();
    let [METADATA] = keys[..] else {
        return Err(format!("`__metadata__` has the keys {keys:?}, expected [{METADATA:?}] alone"));
    };
    let metadata: Metadata =
        json::object(&found[METADATA]).map_err(|error| format!("`__metadata__.{METADATA}`: {error}"))?;
    if metadata.schema != SCHEMA {
        return Err(format!("the schema is {:?}, expected {SCHEMA:?}", metadata.schema));
    }
    let mut not_contiguous = BTreeSet::new();
    for text in &metadata.not_contiguous {
        if !not_contiguous.insert(read_name(text)?) {
            return Err(format!("{text:?} comes twice in `not_contiguous`"));
        }
    }
    Ok((metadata.identity.0, not_contiguous))
}

fn read_name(text: &str) -> Result<TensorName, String> {
    TensorName::parse(text)
        .ok_or_else(|| format!("{text:?} is no name of a tensor: expected `step0/h.0.attn.q` or `generated`"))
}

#[cfg(test)]
mod tests;
