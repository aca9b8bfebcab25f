//! A dump that is being made: a port puts in what it computes, and writes one safetensors file.

use std::cmp::Reverse;
use std::path::Path;

use half::{bf16, f16};

use super::collector::check_name;
use super::contents::Dump;
use super::error::DumpError;
use super::tensor::{DumpDtype, DumpTensor};
use crate::file::output::Output;
use crate::header::{self, Entry};
use tensor_compare::Shape;

/// A value as Rust has it.
pub trait DumpValue: Copy {
    /// How it is saved.
    const DTYPE: DumpDtype;

    /// Its little-endian bytes.
    fn extend(self, bytes: &mut Vec<u8>);
}

impl Dump {
    /// Puts in a copy of a tensor's values, row-major: what is computed later cannot change it.
    ///
    /// # Errors
    /// If the name is taken or no name, or the values are not as many as the shape says.
    ///
    /// ```
    /// let mut dump = capture::dump::Dump::default();
    /// dump.put("tokens", &[1, 2], &[464i64, 3290])?;
    /// dump.put("h.0.ln_1", &[1, 2, 3], &[0.5f32; 6])?;
    /// assert!(dump.put("h.0.ln_1", &[6], &[0.5f32; 6]).is_err());
    /// # Ok::<(), capture::dump::DumpError>(())
    /// ```
    pub fn put<T: DumpValue>(&mut self, name: &str, shape: &[usize], values: &[T]) -> Result<(), DumpError> {
        let here = Path::new("(in memory)");
        check_name(name).map_err(|problem| DumpError::tensor(here, name, problem))?;
        if self.tensors.contains_key(name) {
            let (path, other) = (here.to_owned(), here.to_owned());
            return Err(DumpError::Duplicate { path, tensor: name.to_owned(), other });
        }
        let mut bytes = Vec::with_capacity(size_of_val(values));
        values.iter().for_each(|value| value.extend(&mut bytes));
        let tensor = DumpTensor::new(T::DTYPE, shape, bytes)
            .map_err(|problem| DumpError::tensor(here, name, problem))?;
        self.tensors.insert(name.to_owned(), tensor);
        Ok(())
    }

    /// Writes a safetensors file, which is at `path` only once it is whole. Notes are not written.
    ///
    /// # Errors
    /// If the file cannot be written, or a tensor was changed to what its bytes do not fit.
    pub fn write(&self, path: &Path) -> Result<(), DumpError> {
        let mut tensors: Vec<(&String, &DumpTensor)> = self.tensors.iter().collect();
        // The largest elements first: all are aligned, and nothing lies between them.
        tensors.sort_by_key(|(name, tensor)| (Reverse(tensor.dtype.size()), *name));
        let mut position = 0;
        let entries = tensors.iter().map(|(name, tensor)| entry(name, tensor, &mut position));
        let entries = entries.collect::<Result<Vec<_>, _>>();
        let header = entries.and_then(|entries| header::render(None, &entries));
        let header = header.map_err(|problem| DumpError::malformed(path, problem))?;
        let write = || {
            let mut output = Output::beside(path)?;
            output.write(&header)?;
            tensors.iter().try_for_each(|(_, tensor)| output.write(tensor.bytes()))?;
            output.finish(path)
        };
        write().map_err(|source| DumpError::io(path, source))
    }
}

fn entry(name: &str, tensor: &DumpTensor, position: &mut u64) -> Result<Entry<DumpDtype>, String> {
    let shape = Shape::new(tensor.shape.clone()).map_err(|error| format!("tensor {name:?}: {error}"))?;
    if shape.elements() * tensor.dtype.size() != tensor.bytes().len() {
        return Err(format!("tensor {name:?} has {} bytes, which do not fit {shape}", tensor.bytes().len()));
    }
    let start = *position;
    *position += tensor.bytes().len() as u64;
    Ok(Entry { name: name.to_owned(), dtype: tensor.dtype, shape, data: start..*position })
}

macro_rules! values {
    ($($value:ty => $dtype:ident),* $(,)?) => {$(
        impl DumpValue for $value {
            const DTYPE: DumpDtype = DumpDtype::$dtype;

            fn extend(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

values! {
    f64 => F64, f32 => F32, f16 => F16, bf16 => Bf16,
    i64 => I64, i32 => I32, i16 => I16, i8 => I8,
    u64 => U64, u32 => U32, u16 => U16, u8 => U8,
}

impl DumpValue for bool {
    const DTYPE: DumpDtype = DumpDtype::Bool;

    fn extend(self, bytes: &mut Vec<u8>) {
        bytes.push(self.into());
    }
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;
    use crate::dump::{Limits, read};

    fn dump() -> Dump {
        let mut dump = Dump::default();
        dump.put("mask", &[3], &[true, false, true]).unwrap();
        dump.put("tokens", &[1, 2], &[464i64, -1]).unwrap();
        dump.put("h.0", &[2, 1], &[f32::NAN, -0.0]).unwrap();
        dump.put("half", &[], &[bf16::from_f32(1.5)]).unwrap();
        dump.put("empty", &[0, 2], &[0f64; 0]).unwrap();
        dump
    }

    #[test]
    fn what_was_put_in_is_read_by_this_reader_and_by_its_peer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump.safetensors");
        dump().write(&path).unwrap();
        assert_eq!(read(&path, &Limits::default()).unwrap(), dump());
        let bytes = std::fs::read(&path).unwrap();
        let peer = SafeTensors::deserialize(&bytes).unwrap();
        for (name, tensor) in dump().tensors {
            let theirs = peer.tensor(&name).unwrap();
            assert_eq!((theirs.shape(), theirs.data()), (&tensor.shape[..], tensor.bytes()));
        }
    }

    #[test]
    fn a_name_is_taken_once_and_values_fit_their_shape() {
        let mut dump = dump();
        for (name, shape, says) in [
            ("h.0", &[1][..], "two tensors"),
            ("a", &[2], "needs 8 bytes, found 4"),
            ("../a", &[1], "lead out"),
        ] {
            let error = dump.put(name, shape, &[1f32]).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(dump.tensors.len(), 5);
    }

    #[test]
    fn a_shape_that_was_changed_to_what_does_not_fit_is_not_written() {
        let mut dump = dump();
        dump.tensors.get_mut("h.0").unwrap().shape = vec![3];
        let folder = tempfile::tempdir().unwrap();
        let error = dump.write(&folder.path().join("dump")).unwrap_err().to_string();
        assert!(error.contains("\"h.0\" has 8 bytes"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
