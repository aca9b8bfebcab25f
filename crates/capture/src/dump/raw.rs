//! Raw little-endian f32, whose shape somebody knows.

use std::path::Path;

use super::collector::Collector;
use super::contents::Dump;
use super::error::DumpError;
use super::limits::Limits;
use super::tensor::{DumpDtype, DumpTensor, bytes_of};

/// Reads a file that is nothing but f32 values, little-endian and row-major: a dump with one tensor, named as the file is.
///
/// # Errors
/// If the file has not exactly the bytes that the shape needs.
pub fn read_raw(path: &Path, shape: &[usize], limits: &Limits) -> Result<Dump, DumpError> {
    let name = name_of(path)?;
    let mut collector = Collector::new(limits);
    let needed =
        bytes_of(DumpDtype::F32, shape).map_err(|problem| DumpError::tensor(path, &name, problem))?;
    let metadata = std::fs::metadata(path).map_err(|source| DumpError::io(path, source))?;
    if !metadata.is_file() {
        return Err(DumpError::malformed(path, "not a regular file"));
    }
    if metadata.len() != needed as u64 {
        let found = metadata.len();
        let problem = format!(
            "{found} bytes, which are {} values of f32; the shape {shape:?} needs {needed} bytes",
            found / 4
        );
        return Err(DumpError::tensor(path, &name, problem));
    }
    collector.admit(path, &name, needed as u64)?;
    let bytes = std::fs::read(path).map_err(|source| DumpError::io(path, source))?;
    let tensor = DumpTensor::new(DumpDtype::F32, shape, bytes)
        .map_err(|problem| DumpError::tensor(path, &name, problem))?;
    collector.put(name, tensor);
    collector.finish(path)
}

/// The name of the one tensor of a file: its own, without the extension.
pub(super) fn name_of(path: &Path) -> Result<String, DumpError> {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    stem.map(str::to_owned).ok_or_else(|| DumpError::malformed(path, "the file's name is not UTF-8"))
}
