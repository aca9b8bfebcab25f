//! A dump in some forty lines of Rust and no crate: copy `Dump` into a port, put in what it computes, and judge the file.
//!
//! What is written is safetensors: the length of a header, the header in JSON, and the values.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

/// Tensors of one forward pass, in the order in which they were put in.
#[derive(Default)]
struct Dump {
    header: String,
    values: Vec<u8>,
}

impl Dump {
    /// Takes a copy of row-major values. A name is plain text and comes once.
    fn put(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}: the values do not fit the shape");
        let entry = format!("\"{name}\":{{\"dtype\":\"F32\"");
        assert!(!self.header.contains(&entry), "{name} was put in before");
        let start = self.values.len();
        self.values.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let (end, comma) = (self.values.len(), if self.header.is_empty() { "" } else { "," });
        let _ = write!(self.header, "{comma}{entry},\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}");
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut header = format!("{{{}}}", self.header);
        // Values begin at a multiple of eight.
        header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        file.write_all(&self.values)?;
        file.flush()
    }
}

fn main() -> io::Result<()> {
    let mut dump = Dump::default();
    dump.put("h.0.ln_1", &[1, 2, 3], &[0.5, -0.5, 0.0, 1.0, -1.0, 0.0]);
    dump.put("logits", &[1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let path = std::env::args().nth(1).unwrap_or_else(|| "dump.safetensors".to_owned());
    dump.write(Path::new(&path))
}
