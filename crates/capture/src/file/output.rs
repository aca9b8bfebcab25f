//! A file that is there only once it is whole.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use tempfile::NamedTempFile;

/// What is written at once.
const BUFFER: usize = 1 << 20;
/// Zeros that fill a block take no space on disk: they are left out, and read as zeros.
const BLOCK: usize = 4096;
const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// A temporary file in the directory where it will be.
pub(crate) struct Output {
    temporary: NamedTempFile,
    buffer: Vec<u8>,
    /// Bytes before those in the buffer.
    written: u64,
}

impl Output {
    /// Nothing is at `path` before [`Self::finish`].
    pub(crate) fn beside(path: &Path) -> io::Result<Self> {
        // Readable as any new file is (the umask applies), not private as temporary files are.
        let permissions = Permissions::from_mode(0o666);
        let temporary = tempfile::Builder::new().permissions(permissions).tempfile_in(directory_of(path))?;
        Ok(Self { temporary, buffer: Vec::with_capacity(BUFFER), written: 0 })
    }

    /// Bytes that follow those before.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BUFFER - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == BUFFER {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Puts it at `path`.
    pub(crate) fn finish(mut self, path: &Path) -> io::Result<()> {
        self.flush()?;
        // What was left out at the end counts, too.
        self.temporary.as_file().set_len(self.written)?;
        self.temporary.persist(path)?;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut position = self.written;
        let blocks: Vec<&[u8]> = self.buffer.chunks(BLOCK).collect();
        for run in blocks.chunk_by(|a, b| is_zero(a) == is_zero(b)) {
            let length: usize = run.iter().map(|block| block.len()).sum();
            if !is_zero(run[0]) {
                let start = usize::try_from(position - self.written).map_err(io::Error::other)?;
                self.temporary.as_file().write_all_at(&self.buffer[start..start + length], position)?;
            }
            position += length as u64;
        }
        self.written = position;
        self.buffer.clear();
        Ok(())
    }
}

/// The directory in which a file is.
pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn is_zero(block: &[u8]) -> bool {
    *block == ZEROS[..block.len()]
}
