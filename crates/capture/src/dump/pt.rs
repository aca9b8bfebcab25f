//! What `torch.save` writes: a zip archive of one pickle, which says what lies where, and of storages, which hold the numbers.
//!
//! The pickle is read by a machine that knows tensors and containers, and executes nothing.

mod flatten;
mod globals;
mod pickle;
mod value;

use std::collections::BTreeMap;
use std::path::Path;

use super::collector::Collector;
use super::error::DumpError;
use super::raw::name_of;
use super::strided::gather;
use super::tensor::{DumpTensor, bytes_of};
use super::zip::Archive;
use flatten::Naming;
use value::View;

/// The member that says what the others are.
const PICKLE: &str = "data.pkl";

/// How the pickle of a file before PyTorch 1.6 starts: with a number of ten bytes.
pub(super) const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// Whether the archive is one of PyTorch's.
pub(super) fn is_one(archive: &Archive) -> bool {
    archive.names().any(is_pickle)
}

/// Reads every tensor of the saved object: dicts and lists are flattened, their keys and positions joined by dots. What is no
/// tensor is noted.
pub(super) fn read(path: &Path, archive: &Archive, collector: &mut Collector<'_>) -> Result<(), DumpError> {
    read_as(path, archive, Naming::OfFile(&name_of(path)?), collector)
}

/// Reads the tensor of a file of SGLang's dumper, `{"value": tensor, "meta": {…}}` or the tensor alone, and puts it in under that name.
pub(super) fn read_one(path: &Path, name: &str, collector: &mut Collector<'_>) -> Result<(), DumpError> {
    let archive = Archive::open(path, collector.limits)?;
    read_as(path, &archive, Naming::OfValue(name), collector)
}

fn read_as(
    path: &Path,
    archive: &Archive,
    naming: Naming<'_>,
    collector: &mut Collector<'_>,
) -> Result<(), DumpError> {
    let folder = folder_of(path, archive)?;
    check_byte_order(path, archive, &folder)?;
    let bytes = archive.read(&format!("{folder}{PICKLE}"), collector.limits.description_bytes)?;
    let graph = pickle::run(path, &bytes, collector.limits)?;
    let found = flatten::tensors(path, &graph, naming, collector)?;
    let by_storage = admit(path, archive, &found, collector)?;
    for (key, names) in by_storage {
        read_storage(path, archive, &format!("{folder}data/{key}"), &names, &found, collector)?;
    }
    Ok(())
}

fn is_pickle(member: &str) -> bool {
    member == PICKLE || member.ends_with("/data.pkl")
}

/// The folder that all members are in, with its slash.
fn folder_of(path: &Path, archive: &Archive) -> Result<String, DumpError> {
    let pickles: Vec<&str> = archive.names().filter(|name| is_pickle(name)).collect();
    let [pickle] = pickles[..] else {
        return Err(DumpError::malformed(path, format!("the pickles {pickles:?}, one expected")));
    };
    let folder = pickle.strip_suffix(PICKLE).unwrap_or_default();
    if archive.size(&format!("{folder}constants.pkl")).is_some() {
        return Err(DumpError::unknown(path, "a program of TorchScript, not a dict of tensors"));
    }
    Ok(folder.to_owned())
}

fn check_byte_order(path: &Path, archive: &Archive, folder: &str) -> Result<(), DumpError> {
    let member = format!("{folder}byteorder");
    if archive.size(&member).is_none() {
        return Ok(());
    }
    let order = archive.read(&member, 16)?;
    if order != b"little" {
        let problem = format!("the byte order is {:?}, expected \"little\"", String::from_utf8_lossy(&order));
        return Err(DumpError::malformed(path, problem));
    }
    Ok(())
}

/// Asks for room for every tensor, and groups the names by the storage that holds them, so that each is read once.
fn admit<'a>(
    path: &Path,
    archive: &Archive,
    found: &'a BTreeMap<String, View>,
    collector: &mut Collector<'_>,
) -> Result<BTreeMap<&'a str, Vec<&'a str>>, DumpError> {
    let limit = archive.unpacked_limit(collector.limits);
    let mut by_storage: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut total = 0u64;
    for (name, view) in found {
        let needed = bytes_of(view.dtype, &view.shape)
            .map_err(|problem| DumpError::tensor(path, name, problem))? as u64;
        total = total.saturating_add(needed);
        if total > limit {
            let what = format!("views such as {name:?} repeat what is stored, to so many bytes:");
            return Err(DumpError::too_large(path, what, total, limit));
        }
        collector.admit(path, name, needed)?;
        by_storage.entry(&view.storage.key).or_default().push(name);
    }
    Ok(by_storage)
}

fn read_storage(
    path: &Path,
    archive: &Archive,
    member: &str,
    names: &[&str],
    found: &BTreeMap<String, View>,
    collector: &mut Collector<'_>,
) -> Result<(), DumpError> {
    let storage = archive.read(member, collector.limits.tensor_bytes)?;
    for &name in names {
        let view = &found[name];
        let fail = |problem| DumpError::tensor(path, name, problem);
        if view.storage.bytes() != Some(storage.len() as u64) {
            let (elements, found) = (view.storage.elements, storage.len());
            return Err(fail(format!(
                "the pickle says that its storage has {elements} elements of {} bytes, it has {found} bytes",
                view.storage.element_size
            )));
        }
        let tensor = gather(&storage, view.dtype.size(), &view.shape, &view.strides, view.offset)
            .and_then(|bytes| DumpTensor::new(view.dtype, &view.shape, bytes))
            .map_err(fail)?;
        collector.put(name.to_owned(), tensor);
    }
    Ok(())
}
