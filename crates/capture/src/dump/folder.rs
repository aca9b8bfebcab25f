//! A folder of dumps.

mod index;

use std::path::{Path, PathBuf};

use super::collector::Collector;
use super::error::DumpError;
use super::format::{format_of, read_file};
use super::sglang::Names;
use super::{debugger, pt};

/// Reads every file of the folder that is of a known format, in the order of names. The others are noted.
pub(super) fn read(path: &Path, collector: &mut Collector<'_>) -> Result<(), DumpError> {
    let files = files(path, collector)?;
    if let Some(tree) = debugger::tree_among(path, &files)? {
        return debugger::read(tree, &files, collector);
    }
    let (indices, files): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| index::is_one(file));
    let tagged = Names::among(&files);
    if tagged.count() > 0 {
        let note = format!("`meta` of {} files of SGLang's dumper was not read", tagged.count());
        collector.note(path, note);
    }
    for file in files {
        if let Some(name) = tagged.of(&file) {
            pt::read_one(&file, name, collector)?;
            continue;
        }
        match format_of(&file)? {
            Some(_) => read_file(&file, collector)?,
            None => collector.note(&file, "was not read: not a dump by its first bytes"),
        }
    }
    indices.iter().try_for_each(|file| index::check(file, collector))
}

/// The regular files, in order; what else is there is noted.
fn files(path: &Path, collector: &mut Collector<'_>) -> Result<Vec<PathBuf>, DumpError> {
    let fail = |source| DumpError::io(path, source);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        files.push(entry.map_err(fail)?.path());
        let (count, limit) = (files.len(), collector.limits.tensors);
        if count > limit {
            return Err(DumpError::too_large(path, "files:", count as u64, limit as u64));
        }
    }
    files.sort();
    files.retain(|file| {
        let regular = file.is_file();
        if !regular {
            collector.note(file, "was not read: not a file");
        }
        regular
    });
    Ok(files)
}
