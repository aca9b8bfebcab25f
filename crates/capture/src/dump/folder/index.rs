//! The index of a folder of safetensors: which tensor is in which file. With it, a file that is missing is seen.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use crate::dump::collector::Collector;
use crate::dump::error::DumpError;
use crate::json::UniqueMap;

/// How such a file's name ends.
const NAME: &str = ".safetensors.index.json";

#[derive(Deserialize)]
struct Index {
    weight_map: UniqueMap,
}

/// Whether the file is an index, by its name.
pub(super) fn is_one(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(NAME))
}

/// Requires that the tensors that were read are those of the index, each from the file that it says.
pub(super) fn check(path: &Path, collector: &Collector<'_>) -> Result<(), DumpError> {
    let Index { weight_map: UniqueMap(places) } = read(path, collector.limits.description_bytes)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    for (name, file) in &places {
        if collector.origin(name).is_none_or(|origin| origin != folder.join(file)) {
            return Err(DumpError::tensor(
                path,
                name,
                format!("is said to be in {file:?}, and is not there"),
            ));
        }
    }
    let shards: BTreeSet<_> = places.values().map(|file| folder.join(file)).collect();
    let unsaid = collector.names_where(|origin| shards.contains(origin) || shards.is_empty());
    match unsaid.into_iter().find(|name| !places.contains_key(*name)) {
        Some(name) => {
            Err(DumpError::malformed(path, format!("the index says nothing of the tensor {name:?}")))
        }
        None => Ok(()),
    }
}

fn read(path: &Path, limit: u64) -> Result<Index, DumpError> {
    let mut text = String::new();
    let length = File::open(path)
        .and_then(|file| file.take(limit.saturating_add(1)).read_to_string(&mut text))
        .map_err(|source| DumpError::io(path, source))?;
    if length as u64 > limit {
        return Err(DumpError::too_large(path, "bytes of the index:", length as u64, limit));
    }
    serde_json::from_str(&text)
        .map_err(|error| DumpError::malformed(path, format!("not an index of safetensors: {error}")))
}
