//! The folder that Hugging Face's `model_addition_debugger_context(model, debug_path, use_repr=False)` writes: one safetensors file
//! for each tensor that a module was given or returned, and a tree of calls that refers to them.
//!
//! What a module returned has its path as the name: `transformer.h.0.ln_1`, with `.0` where it is one of several. What it was given is
//! `transformer.h.0.ln_1.input.0`, or `.input.hidden_states` by keyword. The model itself has no path: `logits`, and by keyword
//! `input_ids`. Modules that contain others show no outputs.

mod name;
mod tree;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::collector::Collector;
use super::error::DumpError;
use super::safetensors;

/// How the tree of calls is named, after the class of the model.
const TREE: &str = "_debug_tree_FULL_TENSORS.json";
/// The same without values.
const SUMMARY: &str = "_debug_tree_SUMMARY.json";

/// The tree of calls in a folder with these files; none where it is another folder.
pub(super) fn tree_among<'a>(path: &Path, files: &'a [PathBuf]) -> Result<Option<&'a PathBuf>, DumpError> {
    let trees: Vec<&PathBuf> = files.iter().filter(|file| file_name(file).ends_with(TREE)).collect();
    match trees[..] {
        [] => Ok(None),
        [tree] => Ok(Some(tree)),
        _ => Err(DumpError::malformed(path, format!("the trees of {} models, one expected", trees.len()))),
    }
}

/// Reads every tensor that the debugger wrote, those of layers that it pruned from the tree as well.
pub(super) fn read(tree: &Path, files: &[PathBuf], collector: &mut Collector<'_>) -> Result<(), DumpError> {
    let references = tree::references(tree, collector.limits.description_bytes)?;
    let folder = tree.parent().unwrap_or(Path::new("."));
    let names: BTreeSet<&str> = files.iter().map(|file| file_name(file)).collect();
    if let Some(missing) = references.keys().find(|name| !names.contains(name.as_str())) {
        let problem = format!("refers to {missing:?}, which is not in the folder {}", folder.display());
        return Err(DumpError::malformed(tree, problem));
    }
    let class = file_name(tree).strip_suffix(TREE).unwrap_or_default().to_owned();
    for file in files {
        let stem = file_name(file).strip_suffix(".safetensors");
        match stem.and_then(|stem| name::tensor(&class, stem)) {
            Some(name) => read_tensor(file, name, &references, collector)?,
            None if file_name(file).ends_with(TREE) || file_name(file).ends_with(SUMMARY) => {}
            None => collector.note(file, "was not read: not one of the debugger's"),
        }
    }
    Ok(())
}

fn read_tensor(
    file: &Path,
    name: String,
    references: &tree::References,
    collector: &mut Collector<'_>,
) -> Result<(), DumpError> {
    safetensors::read_one(file, name.clone(), collector)?;
    let Some(calls) = references.get(file_name(file)) else { return Ok(()) };
    if let Some(expected) = calls.last()
        && let Some(found) = collector.shape(&name)
        && *expected != found
    {
        let problem = format!("the tree of calls says shape {expected:?}, the file holds {found:?}");
        return Err(DumpError::tensor(file, &name, problem));
    }
    if calls.len() > 1 {
        let note =
            format!("{name:?} was written {} times, once for each call; the last one is here", calls.len());
        collector.note(file, note);
    }
    Ok(())
}

/// The last part of the path; empty where it is not UTF-8, which is then not one of the debugger's.
fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}
