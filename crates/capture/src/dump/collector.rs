//! What readers put tensors into: one name, one tensor, within the limits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::contents::Dump;
use super::error::DumpError;
use super::limits::Limits;
use super::tensor::DumpTensor;

/// The longest name accepted.
const MAXIMUM_NAME: usize = 1024;

/// A dump that is being read.
pub(super) struct Collector<'a> {
    pub(super) limits: &'a Limits,
    dump: Dump,
    /// The file that each tensor is from.
    origins: BTreeMap<String, PathBuf>,
    bytes: u64,
}

impl<'a> Collector<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        Self { limits, dump: Dump::default(), origins: BTreeMap::new(), bytes: 0 }
    }

    /// Asks for room for a tensor, before anything of it is read.
    pub(super) fn admit(&mut self, path: &Path, name: &str, bytes: u64) -> Result<(), DumpError> {
        check_name(name).map_err(|problem| DumpError::tensor(path, name, problem))?;
        if let Some(other) = self.origins.get(name) {
            let (path, tensor, other) = (path.to_owned(), name.to_owned(), other.clone());
            return Err(DumpError::Duplicate { path, tensor, other });
        }
        if bytes > self.limits.tensor_bytes {
            let what = format!("bytes of the tensor {name:?}:");
            return Err(DumpError::too_large(path, what, bytes, self.limits.tensor_bytes));
        }
        let total = self.bytes.saturating_add(bytes);
        if total > self.limits.total_bytes {
            let what = format!("bytes of all tensors up to {name:?}:");
            return Err(DumpError::too_large(path, what, total, self.limits.total_bytes));
        }
        self.bytes = total;
        self.origins.insert(name.to_owned(), path.to_owned());
        let (count, limit) = (self.origins.len(), self.limits.tensors);
        if count > limit {
            return Err(DumpError::too_large(path, "tensors:", count as u64, limit as u64));
        }
        Ok(())
    }

    /// A tensor that was admitted.
    pub(super) fn put(&mut self, name: String, tensor: DumpTensor) {
        self.dump.tensors.insert(name, tensor);
    }

    /// The shape of a tensor that was put in.
    pub(super) fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.dump.tensors.get(name).map(|tensor| tensor.shape.clone())
    }

    /// The file that a tensor is from; none where there is no such tensor.
    pub(super) fn origin(&self, name: &str) -> Option<&Path> {
        self.origins.get(name).map(PathBuf::as_path)
    }

    /// The tensors whose file is one that `chosen` says.
    pub(super) fn names_where(&self, chosen: impl Fn(&Path) -> bool) -> Vec<&str> {
        self.origins.iter().filter(|(_, origin)| chosen(origin)).map(|(name, _)| name.as_str()).collect()
    }

    /// What was found and is not read.
    pub(super) fn note(&mut self, path: &Path, note: impl AsRef<str>) {
        self.dump.notes.push(format!("{}: {}", path.display(), note.as_ref()));
    }

    /// The dump; an error where it is empty.
    pub(super) fn finish(self, path: &Path) -> Result<Dump, DumpError> {
        if self.dump.tensors.is_empty() {
            let notes: String = self.dump.notes.iter().map(|note| format!("; {note}")).collect();
            return Err(DumpError::malformed(path, format!("no tensor found{notes}")));
        }
        Ok(self.dump)
    }
}

/// Names are shown in terminals, and may become names of files.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    if name.len() > MAXIMUM_NAME {
        return Err(format!("the name has {} bytes, at most {MAXIMUM_NAME} are accepted", name.len()));
    }
    if name.chars().any(char::is_control) {
        return Err("the name has control characters".to_owned());
    }
    if name.starts_with('/') || name.split(['/', '\\']).any(|part| part == "..") {
        return Err("the name would lead out of a folder: `..` and a leading `/` are refused".to_owned());
    }
    Ok(())
}
