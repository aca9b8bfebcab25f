//! NumPy's array format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

mod header;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::collector::Collector;
use super::error::DumpError;
use super::raw::name_of;
use super::strided::{column_major, gather};
use super::tensor::{DumpDtype, DumpTensor, bytes_of};
use header::{Element, Header};

/// What every such array starts with.
const MAGIC: &[u8] = b"\x93NUMPY";

/// Bytes of what is before the header: magic, version and the longest form of the header's length.
const LONGEST_PREFIX: u64 = 12;

/// Reads a file that holds one array, named as the file is.
pub(super) fn read_file(path: &Path, collector: &mut Collector<'_>) -> Result<(), DumpError> {
    let open = || {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok((file, length))
    };
    let (mut file, length) = open().map_err(|source| DumpError::io(path, source))?;
    read(&mut file, length, path, name_of(path)?, collector)?;
    Ok(())
}

/// Reads the array that `source` holds in `length` bytes, and puts it in under `name`. False where it holds no numbers, which is
/// noted.
pub(super) fn read(
    source: &mut impl Read,
    length: u64,
    path: &Path,
    name: String,
    collector: &mut Collector<'_>,
) -> Result<bool, DumpError> {
    let fail = |problem: String| DumpError::tensor(path, &name, problem);
    let (header, before) = read_header(source, length, collector.limits.description_bytes).map_err(fail)?;
    let element = match &header.element {
        Element::Number(element) => element,
        Element::Text(descr) => {
            collector
                .note(path, format!("{name:?} was not read: an array of {descr:?}, which are no numbers"));
            return Ok(false);
        }
    };
    let needed = bytes_of(element.dtype, &header.shape).map_err(fail)?;
    // No overflow: what is before was read from the file, what is needed fits in memory.
    if length != before + needed as u64 {
        return Err(fail(format!(
            "{} of shape {:?} needs {needed} bytes, {} follow the header: half a file?",
            element.dtype,
            header.shape,
            length.saturating_sub(before)
        )));
    }
    collector.admit(path, &name, needed as u64)?;
    let mut bytes = Vec::new();
    source.take(needed as u64).read_to_end(&mut bytes).map_err(|error| fail(error.to_string()))?;
    if element.big_endian {
        bytes.chunks_exact_mut(element.dtype.size()).for_each(<[u8]>::reverse);
    }
    let tensor = ordered(bytes, element.dtype, &header)
        .and_then(|bytes| DumpTensor::new(element.dtype, &header.shape, bytes))
        .map_err(fail)?;
    collector.put(name, tensor);
    Ok(true)
}

fn ordered(bytes: Vec<u8>, dtype: DumpDtype, header: &Header) -> Result<Vec<u8>, String> {
    if !header.fortran_order {
        return Ok(bytes);
    }
    gather(&bytes, dtype.size(), &header.shape, &column_major(&header.shape), 0)
}

/// The header, and the bytes up to its end. `length` is that of the whole.
fn read_header(source: &mut impl Read, length: u64, limit: u64) -> Result<(Header, u64), String> {
    let mut read = |count: u64| {
        let mut bytes = Vec::new();
        match source.take(count).read_to_end(&mut bytes) {
            Ok(found) if found as u64 == count => Ok(bytes),
            Ok(found) => Err(format!("ends in the array's header: {count} bytes expected, {found} found")),
            Err(error) => Err(error.to_string()),
        }
    };
    let first = read(MAGIC.len() as u64 + 2)?;
    let (magic, version) = first.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(format!("starts with {magic:02x?}, expected {MAGIC:02x?}: not an array of NumPy's"));
    }
    let size = match version {
        [1, 0] => 2,
        [2 | 3, 0] => 4,
        _ => return Err(format!("version {version:?} of the format, expected 1.0, 2.0 or 3.0")),
    };
    let mut header_length = [0; 8];
    header_length[..size].copy_from_slice(&read(size as u64)?);
    let header_length = u64::from_le_bytes(header_length);
    if header_length > length.min(limit) {
        return Err(format!("the header claims {header_length} bytes of an array of {length}"));
    }
    debug_assert!(MAGIC.len() as u64 + 2 + size as u64 <= LONGEST_PREFIX);
    let text = String::from_utf8(read(header_length)?)
        .map_err(|error| format!("the header is not UTF-8: {error}"))?;
    Ok((header::parse(&text)?, MAGIC.len() as u64 + 2 + size as u64 + header_length))
}
