//! Safetensors, checked as strictly as a capture is, with whatever names and metadata.

use std::path::Path;

use super::collector::Collector;
use super::error::DumpError;
use super::tensor::{DumpDtype, DumpTensor};
use crate::header::{Entry, Order};
use crate::stored::Stored;

/// Reads the one tensor of a file that holds no other, and puts it in under another name than it has there.
pub(super) fn read_one(path: &Path, name: String, collector: &mut Collector<'_>) -> Result<(), DumpError> {
    let (stored, header) = Stored::open::<DumpDtype>(path, Order::Any)?;
    let [entry] = &header.entries[..] else {
        return Err(DumpError::malformed(path, format!("{} tensors, one expected", header.entries.len())));
    };
    read_entry(path, &stored, entry, name, collector)
}

/// Reads every tensor of the file.
pub(super) fn read(path: &Path, collector: &mut Collector<'_>) -> Result<(), DumpError> {
    let (stored, header) = Stored::open::<DumpDtype>(path, Order::Any)?;
    header
        .entries
        .iter()
        .try_for_each(|entry| read_entry(path, &stored, entry, entry.name.clone(), collector))
}

fn read_entry(
    path: &Path,
    stored: &Stored,
    entry: &Entry<DumpDtype>,
    name: String,
    collector: &mut Collector<'_>,
) -> Result<(), DumpError> {
    collector.admit(path, &name, entry.data.end - entry.data.start)?;
    let tensor = DumpTensor::new(entry.dtype, entry.shape.dimensions(), stored.bytes(entry)?)
        .map_err(|problem| DumpError::tensor(path, &name, problem))?;
    collector.put(name, tensor);
    Ok(())
}
