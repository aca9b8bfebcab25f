//! A safetensors file whose header has been checked; values are read on demand.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tensor_compare::Tensor;

use crate::FileError;
use crate::header::{self, Element, Entry, Header, LENGTH_SIZE, Order};

/// An open file and what its header promised of it.
#[derive(Debug)]
pub(crate) struct Stored {
    path: PathBuf,
    file: File,
    length: u64,
    data_start: u64,
}

impl Stored {
    /// Opens a file and checks its header against its length. What is allocated is bounded by the header that is
    /// really there.
    pub(crate) fn open<D: Element>(path: &Path, order: Order) -> Result<(Self, Header<D>), FileError> {
        let io = |source| FileError::Io { path: path.to_owned(), source };
        let malformed = |problem| FileError::Malformed { path: path.to_owned(), problem };
        // Asked before opening: opening a pipe would wait for its writer.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(malformed("not a regular file".to_owned()));
        }
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        if length < LENGTH_SIZE {
            return Err(malformed(format!(
                "{length} bytes long, the length of the header alone takes {LENGTH_SIZE}"
            )));
        }
        let mut stored = Self { path: path.to_owned(), file, length, data_start: LENGTH_SIZE };
        let mut first = [0; LENGTH_SIZE as usize];
        stored.read_at(&mut first, 0)?;
        let header_length = header::length(first, length).map_err(malformed)?;
        stored.data_start += header_length;
        let mut bytes =
            vec![0; usize::try_from(header_length).map_err(|error| malformed(error.to_string()))?];
        stored.read_at(&mut bytes, LENGTH_SIZE)?;
        let header = header::parse(&bytes, length - stored.data_start, order).map_err(malformed)?;
        Ok((stored, header))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the tensor at a checked entry of this file's header.
    pub(crate) fn read(&self, entry: &Entry) -> Result<Tensor, FileError> {
        Tensor::new(entry.dtype, entry.shape.clone(), self.bytes(entry)?)
            .map_err(|error| self.malformed(format!("tensor {:?}: {error}", entry.name)))
    }

    /// The bytes of that tensor, whatever they say.
    pub(crate) fn bytes<D: Element>(&self, entry: &Entry<D>) -> Result<Vec<u8>, FileError> {
        let length = self.file.metadata().map_err(|source| self.io(source))?.len();
        if length != self.length {
            return Err(
                self.malformed(format!("{length} bytes long, it was {} when it was opened", self.length))
            );
        }
        let mut bytes = vec![0; entry.shape.elements() * entry.dtype.size()];
        self.read_at(&mut bytes, self.data_start + entry.data.start)?;
        Ok(bytes)
    }

    pub(crate) fn malformed(&self, problem: String) -> FileError {
        FileError::Malformed { path: self.path.clone(), problem }
    }

    fn io(&self, source: io::Error) -> FileError {
        FileError::Io { path: self.path.clone(), source }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), FileError> {
        self.file.read_exact_at(buffer, offset).map_err(|source| {
            if source.kind() == io::ErrorKind::UnexpectedEof {
                return self.malformed(format!("ends before byte {}", offset + buffer.len() as u64));
            }
            self.io(source)
        })
    }
}
