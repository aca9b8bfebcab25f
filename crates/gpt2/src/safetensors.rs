//! Writing weights in safetensors format, one tensor at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use crate::tensors;

#[derive(Serialize)]
struct Entry<'a> {
    dtype: &'static str,
    shape: &'a [usize],
    data_offsets: [usize; 2],
}

/// Writes F32 tensors of those names and shapes, in that order, to a file beside `path` that takes its place when it
/// is complete. `values` gives each tensor's elements in C order.
pub(crate) fn write(
    path: &Path,
    layout: &[(String, Vec<usize>)],
    mut values: impl FnMut(&str, &[usize]) -> Vec<f32>,
) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
    file.write_all(&header(layout)?)?;
    for (name, shape) in layout {
        file.write_all(&tensors::to_bytes(values(name, shape).into_iter()))?;
    }
    file.flush()?;
    std::fs::rename(unfinished, path)
}

/// The header's length, the header and spaces up to a multiple of 8 bytes.
fn header(layout: &[(String, Vec<usize>)]) -> io::Result<Vec<u8>> {
    let mut entries = BTreeMap::new();
    let mut position = 0;
    for (name, shape) in layout {
        let end = position + shape.iter().product::<usize>() * size_of::<f32>();
        entries.insert(name, Entry { dtype: "F32", shape, data_offsets: [position, end] });
        position = end;
    }
    let mut json = serde_json::to_vec(&entries)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.append(&mut json);
    Ok(header)
}
