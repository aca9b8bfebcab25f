//! Writing weights in safetensors format, one tensor at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use capture::DType;
use half::f16;
use serde::Serialize;

use crate::tensors;

#[derive(Serialize)]
struct Entry<'a> {
    dtype: &'static str,
    shape: &'a [usize],
    data_offsets: [usize; 2],
}

/// What weights are stored in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stored {
    /// As they are.
    #[default]
    F32,
    /// Rounded to half precision.
    F16,
}

impl Stored {
    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
        }
    }

    fn bytes(self, values: Vec<f32>) -> Vec<u8> {
        match self {
            Self::F32 => tensors::to_bytes(values.into_iter()),
            Self::F16 => values.into_iter().flat_map(|value| f16::from_f32(value).to_le_bytes()).collect(),
        }
    }
}

/// Writes tensors of those names and shapes, in that order, to a file beside `path` that takes its place when it
/// is complete. `values` gives each tensor's elements in C order.
pub(crate) fn write(
    path: &Path,
    stored: Stored,
    layout: &[(String, Vec<usize>)],
    mut values: impl FnMut(&str, &[usize]) -> Vec<f32>,
) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
    file.write_all(&header(stored, layout)?)?;
    for (name, shape) in layout {
        file.write_all(&stored.bytes(values(name, shape)))?;
    }
    file.flush()?;
    std::fs::rename(unfinished, path)
}

/// The header's length, the header and spaces up to a multiple of 8 bytes.
fn header(stored: Stored, layout: &[(String, Vec<usize>)]) -> io::Result<Vec<u8>> {
    let mut entries = BTreeMap::new();
    let mut position = 0;
    for (name, shape) in layout {
        let end = position + shape.iter().product::<usize>() * stored.dtype().size();
        let dtype = match stored {
            Stored::F32 => "F32",
            Stored::F16 => "F16",
        };
        entries.insert(name, Entry { dtype, shape, data_offsets: [position, end] });
        position = end;
    }
    let mut json = serde_json::to_vec(&entries)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.append(&mut json);
    Ok(header)
}
