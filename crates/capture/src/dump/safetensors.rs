//! Safetensors, checked as strictly as a capture is, with whatever names and metadata.

use std::path::Path;

use super::collector::Collector;
use super::{DumpDtype, DumpError, DumpTensor};
use crate::header::Order;
use crate::stored::Stored;

/// Reads every tensor of the file.
pub(super) fn read(path: &Path, collector: &mut Collector<'_>) -> Result<(), DumpError> {
    let (stored, header) = Stored::open::<DumpDtype>(path, Order::Any)?;
    for entry in header.entries {
        collector.admit(path, &entry.name, entry.data.end - entry.data.start)?;
        let tensor = DumpTensor::new(entry.dtype, entry.shape.dimensions(), stored.bytes(&entry)?)
            .map_err(|problem| DumpError::tensor(path, &entry.name, problem))?;
        collector.put(entry.name, tensor);
    }
    Ok(())
}
