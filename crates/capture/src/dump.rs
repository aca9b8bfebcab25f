//! Dumps: tensors of one forward pass as anybody saved them, read from whatever they were saved in.
//!
//! A dump comes from a stranger. Nothing in it is executed, no word of a header decides what is allocated, and what is
//! not read is said in [`Dump::notes`] or refused by name.

mod collector;
mod contents;
mod debugger;
mod error;
mod folder;
mod format;
mod limits;
mod npy;
mod npz;
mod pt;
mod raw;
mod safetensors;
mod sglang;
mod strided;
mod tensor;
mod write;
mod zip;

use std::path::Path;

use collector::Collector;

pub use contents::Dump;
pub use error::DumpError;
pub use limits::Limits;
pub use raw::read_raw;
pub use tensor::{DumpDtype, DumpTensor, ValueError};
pub use write::DumpValue;

/// Reads a dump: a safetensors, npy, npz or `torch.save` file, or a folder of them. The format follows from the content.
///
/// # Errors
/// What was found, what was expected, and what to do about it. Nothing of a dump is read where a part is refused.
pub fn read(path: &Path, limits: &Limits) -> Result<Dump, DumpError> {
    let mut collector = Collector::new(limits);
    let kind = std::fs::metadata(path).map_err(|source| DumpError::io(path, source))?;
    if kind.is_dir() {
        folder::read(path, &mut collector)?;
    } else if kind.is_file() {
        format::read_file(path, &mut collector)?;
    } else {
        return Err(DumpError::malformed(path, "neither a file nor a folder"));
    }
    collector.finish(path)
}

#[cfg(test)]
mod tests;
