//! An archive of NumPy's arrays, as `numpy.savez` writes it.

use std::path::Path;

use super::collector::Collector;
use super::error::DumpError;
use super::npy;
use super::zip::{Archive, finish};

/// Reads every array; a name is that of its member without `.npy`.
pub(super) fn read(path: &Path, archive: &Archive, collector: &mut Collector<'_>) -> Result<(), DumpError> {
    for member in archive.names() {
        let Some(name) = member.strip_suffix(".npy") else {
            collector
                .note(path, format!("{member:?} was not read: a member of an npz archive is named `….npy`"));
            continue;
        };
        let length = archive.size(member).unwrap_or_default();
        let mut source = archive.reader(member)?;
        if npy::read(&mut source, length, path, name.to_owned(), collector)? {
            finish(source).map_err(|error| DumpError::tensor(path, name, error.to_string()))?;
        }
    }
    Ok(())
}
