//! Writing a capture: at once, or as it is computed. The same tensors give the same bytes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use tensor_compare::{DType, Shape, TensorView};

use super::output::{Output, directory_of};
use super::{METADATA, Metadata, SCHEMA, read_name};
use crate::header::{self, Entry};
use crate::json::Object;
use crate::{Capture, FileError, Identity, Sink, TensorName};

/// What is copied at once.
const PIECE: usize = 1 << 20;

/// A capture that is written as it is computed.
///
/// Tensors go to a file without a name, one after another, and the capture is put together from it at the end: memory
/// holds names and shapes alone, and what is not finished leaves nothing behind.
#[derive(Debug)]
pub struct CaptureWriter {
    path: PathBuf,
    spool: BufWriter<File>,
    /// Bytes of the spool.
    length: u64,
    tensors: BTreeMap<TensorName, Spooled>,
    not_contiguous: BTreeSet<TensorName>,
    /// The first thing that went wrong; nothing is taken in after it.
    problem: Option<FileError>,
}

/// A tensor in the spool.
#[derive(Debug)]
struct Spooled {
    dtype: DType,
    shape: Shape,
    start: u64,
    length: u64,
}

/// Writes a capture to a temporary file beside `path` and renames it into place; whoever keeps it longer than a run sees to
/// it that it is on disk. The same capture gives the same bytes. Names must be in the form that [`TensorName::parse`] reads, and every name of `not_contiguous`
/// must be a tensor's.
pub fn write(path: &Path, identity: &Identity, capture: &Capture) -> Result<(), FileError> {
    let layouts = capture.tensors.iter().map(|(name, tensor)| (name, tensor.dtype(), tensor.shape()));
    let (order, header) = render(identity, layouts.collect(), &capture.not_contiguous)
        .map_err(|problem| FileError::Malformed { path: path.to_owned(), problem })?;
    let write = || {
        let mut output = Output::beside(path)?;
        output.write(&header)?;
        for name in order {
            output.write(capture.tensors[name].bytes())?;
        }
        output.finish(path)
    };
    write().map_err(|source| FileError::Io { path: path.to_owned(), source })
}

impl CaptureWriter {
    /// Begins a capture that will be at `path`.
    ///
    /// # Errors
    /// If there can be no file in that directory.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let spool = tempfile::tempfile_in(directory_of(path))
            .map_err(|source| FileError::Io { path: path.to_owned(), source })?;
        Ok(Self {
            path: path.to_owned(),
            spool: BufWriter::new(spool),
            length: 0,
            tensors: BTreeMap::new(),
            not_contiguous: BTreeSet::new(),
            problem: None,
        })
    }

    /// How many tensors there are.
    pub fn tensors(&self) -> usize {
        self.tensors.len()
    }

    /// Puts the capture at its path; see [`write`].
    ///
    /// # Errors
    /// What went wrong first, now or while tensors were taken in. Then nothing is at the path.
    pub fn finish(mut self, identity: &Identity) -> Result<(), FileError> {
        if let Some(problem) = self.problem.take() {
            return Err(problem);
        }
        let layouts = self.tensors.iter().map(|(name, tensor)| (name, tensor.dtype, &tensor.shape));
        let (order, header) = render(identity, layouts.collect(), &self.not_contiguous)
            .map_err(|problem| FileError::Malformed { path: self.path.clone(), problem })?;
        let order: Vec<&Spooled> = order.into_iter().map(|name| &self.tensors[name]).collect();
        let mut assemble = || {
            self.spool.flush()?;
            let mut output = Output::beside(&self.path)?;
            output.write(&header)?;
            order.iter().try_for_each(|tensor| tensor.copy(self.spool.get_ref(), &mut output))?;
            output.finish(&self.path)
        };
        assemble().map_err(|source| FileError::Io { path: self.path.clone(), source })
    }

    fn take_in(
        &mut self,
        name: TensorName,
        tensor: TensorView<'_>,
        contiguous: bool,
    ) -> Result<(), FileError> {
        if self.tensors.contains_key(&name) {
            let problem = format!("the tensor `{name}` comes twice");
            return Err(FileError::Malformed { path: self.path.clone(), problem });
        }
        self.spool
            .write_all(tensor.bytes())
            .map_err(|source| FileError::Io { path: self.path.clone(), source })?;
        let (start, length) = (self.length, tensor.bytes().len() as u64);
        self.length += length;
        if !contiguous {
            self.not_contiguous.insert(name.clone());
        }
        let shape = tensor.shape().clone();
        self.tensors.insert(name, Spooled { dtype: tensor.dtype(), shape, start, length });
        Ok(())
    }
}

impl Sink for CaptureWriter {
    fn put(&mut self, name: TensorName, tensor: TensorView<'_>, contiguous: bool) {
        if self.problem.is_none() {
            self.problem = self.take_in(name, tensor, contiguous).err();
        }
    }
}

impl Spooled {
    /// Copies it, and gives its place in the spool back.
    fn copy(&self, spool: &File, output: &mut Output) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        let mut copied = 0;
        while copied < self.length {
            let length = usize::try_from(self.length - copied).map_or(PIECE, |rest| rest.min(PIECE));
            spool.read_exact_at(&mut piece[..length], self.start + copied)?;
            output.write(&piece[..length])?;
            copied += length as u64;
        }
        if self.length > 0 {
            // Where the file system cannot, the place is given back with the spool.
            let _ = fallocate(
                spool,
                FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                self.start,
                self.length,
            );
        }
        Ok(())
    }
}

/// The names in the order of the file, and its header.
fn render<'a>(
    identity: &Identity,
    mut tensors: Vec<(&'a TensorName, DType, &Shape)>,
    not_contiguous: &BTreeSet<TensorName>,
) -> Result<(Vec<&'a TensorName>, Vec<u8>), String> {
    let names: BTreeSet<&TensorName> = tensors.iter().map(|(name, ..)| *name).collect();
    if let Some(name) = not_contiguous.iter().find(|name| !names.contains(name)) {
        return Err(format!("`{name}` is in `not_contiguous` and is no tensor of the capture"));
    }
    tensors.sort_by_key(|&(name, dtype, _)| (Reverse(dtype.size()), name));
    let mut position = 0u64;
    let mut entries = Vec::with_capacity(tensors.len());
    for &(name, dtype, shape) in &tensors {
        let text = name.to_string();
        if read_name(&text)? != *name {
            return Err(format!("`{text}` would be read back as another name"));
        }
        let start = position;
        position += (shape.elements() * dtype.size()) as u64;
        entries.push(Entry { name: text, dtype, shape: shape.clone(), data: start..position });
    }
    let metadata = Metadata {
        schema: SCHEMA.to_owned(),
        identity: Object(identity.clone()),
        not_contiguous: not_contiguous.iter().map(TensorName::to_string).collect(),
    };
    let metadata = serde_json::to_string(&metadata).map_err(|error| error.to_string())?;
    let header = header::render(Some((METADATA, &metadata)), &entries)?;
    Ok((tensors.into_iter().map(|(name, ..)| name).collect(), header))
}
