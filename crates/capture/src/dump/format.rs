//! What a file is, by its first bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::collector::Collector;
use super::error::DumpError;
use super::zip::Archive;
use super::{npy, npz, pt, safetensors};

/// What a file or folder turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Safetensors,
    Npy,
    /// A zip archive: of NumPy's arrays or of what `torch.save` writes.
    Zip,
    /// What `torch.save` wrote before PyTorch 1.6.
    Legacy,
    /// A pickle of something else.
    Pickle,
}

/// Reads every tensor of the file.
pub(super) fn read_file(path: &Path, collector: &mut Collector<'_>) -> Result<(), DumpError> {
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
pub(super) fn format_of(path: &Path) -> Result<Option<Format>, DumpError> {
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
