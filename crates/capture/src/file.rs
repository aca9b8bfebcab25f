//! The strict safetensors file that holds one capture.
//!
//! Tensors are ordered by size of dtype, largest first, then by name, so that all are aligned and nothing lies
//! between them. `__metadata__` has one key, `trialplate`, whose value is a JSON object with `schema`, `identity` and
//! `not_contiguous`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tensor_compare::{DType, Shape, Tensor};

use crate::header::{self, Entry, Order};
use crate::json::{self, Object};
use crate::stored::Stored;
use crate::{Capture, Identity, TensorName, TensorSource};

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

/// Why a capture cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file is not what it must be.
    #[error("{path}: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found, what was expected, and where.
        problem: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    schema: String,
    identity: Object<Identity>,
    not_contiguous: Vec<String>,
}

/// Writes a capture to a temporary file beside `path`, syncs it and renames it into place. The same capture gives
/// the same bytes. Names must be in the form that [`TensorName::parse`] reads, and every name of `not_contiguous`
/// must be a tensor's.
pub fn write(path: &Path, identity: &Identity, capture: &Capture) -> Result<(), FileError> {
    let header = render(identity, capture)
        .map_err(|problem| FileError::Malformed { path: path.to_owned(), problem })?;
    write_atomically(path, |file| {
        file.write_all(&header)?;
        in_file_order(capture).into_iter().try_for_each(|(_, tensor)| file.write_all(tensor.bytes()))
    })
    .map_err(|source| FileError::Io { path: path.to_owned(), source })
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

fn in_file_order(capture: &Capture) -> Vec<(&TensorName, &Tensor)> {
    let mut tensors: Vec<_> = capture.tensors.iter().collect();
    tensors.sort_by_key(|(_, tensor)| Reverse(tensor.dtype().size()));
    tensors
}

fn render(identity: &Identity, capture: &Capture) -> Result<Vec<u8>, String> {
    if let Some(name) = capture.not_contiguous.iter().find(|name| !capture.tensors.contains_key(name)) {
        return Err(format!("`{name}` is in `not_contiguous` and is no tensor of the capture"));
    }
    let mut position = 0u64;
    let mut entries = Vec::with_capacity(capture.tensors.len());
    for (name, tensor) in in_file_order(capture) {
        let text = name.to_string();
        if read_name(&text)? != *name {
            return Err(format!("`{text}` would be read back as another name"));
        }
        let start = position;
        position += tensor.bytes().len() as u64;
        let (dtype, shape) = (tensor.dtype(), tensor.shape().clone());
        entries.push(Entry { name: text, dtype, shape, data: start..position });
    }
    let metadata = Metadata {
        schema: SCHEMA.to_owned(),
        identity: Object(identity.clone()),
        not_contiguous: capture.not_contiguous.iter().map(TensorName::to_string).collect(),
    };
    let metadata = serde_json::to_string(&metadata).map_err(|error| error.to_string())?;
    header::render(Some((METADATA, &metadata)), &entries)
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

/// Has `fill` write a temporary file in the directory of `path`, and puts it at `path` only once it is on disk.
fn write_atomically(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Readable as any new file is (the umask applies), not private as temporary files are.
    let mut temporary =
        tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(directory)?;
    let mut writer = BufWriter::with_capacity(1 << 20, temporary.as_file_mut());
    fill(&mut writer)?;
    writer.flush()?;
    drop(writer);
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests;
