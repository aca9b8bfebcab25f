//! Dumps: tensors of one forward pass as anybody saved them, read from whatever they were saved in.
//!
//! A dump comes from a stranger. Nothing in it is executed, no word of a header decides what is allocated, and what is
//! not read is said in [`Dump::notes`] or refused by name.

mod collector;
mod debugger;
mod error;
mod folder;
mod limits;
mod npy;
mod npz;
mod pt;
mod raw;
mod safetensors;
mod strided;
mod tensor;
mod write;
mod zip;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use collector::Collector;
use zip::Archive;

pub use error::DumpError;
pub use limits::Limits;
pub use raw::read_raw;
pub use tensor::{DumpDtype, DumpTensor, ValueError};
pub use write::DumpValue;

/// The tensors of one forward pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// By the names under which they were saved.
    pub tensors: BTreeMap<String, DumpTensor>,
    /// What was found and not read, and why: a sentence each.
    pub notes: Vec<String>,
}

/// What a file or folder turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Safetensors,
    Npy,
    /// A zip archive: of NumPy's arrays or of what `torch.save` writes.
    Zip,
    /// What `torch.save` wrote before PyTorch 1.6.
    Legacy,
    /// A pickle of something else.
    Pickle,
}

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
        read_file(path, &mut collector)?;
    } else {
        return Err(DumpError::malformed(path, "neither a file nor a folder"));
    }
    collector.finish(path)
}

fn read_file(path: &Path, collector: &mut Collector<'_>) -> Result<(), DumpError> {
    match format_of(path)? {
        Some(Format::Safetensors) => safetensors::read(path, collector),
        Some(Format::Npy) => npy::read_file(path, collector),
        Some(Format::Zip) => {
            let archive = Archive::open(path, collector.limits)?;
            let read = if pt::is_one(&archive) { pt::read } else { npz::read };
            read(path, &archive, collector)
        }
        Some(Format::Legacy) => Err(DumpError::unknown(
            path,
            "written by torch.save in the form before PyTorch 1.6: load it and save it anew, without \
             `_use_new_zipfile_serialization=False`",
        )),
        Some(Format::Pickle) => {
            Err(DumpError::unknown(path, "a pickle of Python's, or nothing; none is executed"))
        }
        None => Err(DumpError::unknown(path, "none of the formats that are known by their first bytes")),
    }
}

/// The format that the first bytes tell; none where they tell none. An extension decides nothing but whether a file without
/// such bytes was meant as safetensors, so that half a file is refused as what it is.
fn format_of(path: &Path) -> Result<Option<Format>, DumpError> {
    let mut first = Vec::new();
    File::open(path)
        .and_then(|file| file.take(16).read_to_end(&mut first))
        .map_err(|source| DumpError::io(path, source))?;
    let extension = path.extension().and_then(|extension| extension.to_str());
    Ok(match (&*first, extension) {
        _ if first.starts_with(pt::LEGACY) => Some(Format::Legacy),
        ([0x93, b'N', b'U', b'M', b'P', b'Y', ..], _) | (_, Some("npy")) => Some(Format::Npy),
        ([b'P', b'K', 3 | 5, 4 | 6, ..], _) | (_, Some("npz")) => Some(Format::Zip),
        ([_, _, _, _, _, _, _, _, b'{', ..], _) | (_, Some("safetensors")) => Some(Format::Safetensors),
        ([0x80, 2..=5, ..], _) | (_, Some("pt" | "pth" | "pkl" | "bin")) => Some(Format::Pickle),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
