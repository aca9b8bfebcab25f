//! The debugger's tree of calls, as far as it refers to files of tensors.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use crate::dump::error::DumpError;

/// For each file of a tensor, the shape that every call wrote into it, in the order of calls.
pub(super) type References = BTreeMap<String, Vec<Vec<usize>>>;

/// Reads the tree.
pub(super) fn references(path: &Path, limit: u64) -> Result<References, DumpError> {
    let mut text = String::new();
    let length = File::open(path)
        .and_then(|file| file.take(limit.saturating_add(1)).read_to_string(&mut text))
        .map_err(|source| DumpError::io(path, source))?;
    if length as u64 > limit {
        return Err(DumpError::too_large(path, "bytes of the tree of calls:", length as u64, limit));
    }
    let tree: Value = serde_json::from_str(&text)
        .map_err(|error| DumpError::malformed(path, format!("not the debugger's tree of calls: {error}")))?;
    let mut references = References::new();
    collect(&tree, &mut references).map_err(|problem| problem.of(path))?;
    Ok(references)
}

/// What a tree may have wrong.
enum Problem {
    /// Values are printed, not saved.
    Printed,
    Other(String),
}

impl Problem {
    fn of(self, path: &Path) -> DumpError {
        match self {
            Self::Printed => DumpError::unknown(
                path,
                "the debugger printed the tensors, and printing leaves most values out: call it with `use_repr=False`",
            ),
            Self::Other(problem) => DumpError::malformed(path, problem),
        }
    }
}

/// The JSON reader bounds how deep a tree may be.
fn collect(node: &Value, references: &mut References) -> Result<(), Problem> {
    match node {
        Value::Object(fields) => match tensor(fields)? {
            Some((file, shape)) => references.entry(file).or_default().push(shape),
            None => fields.values().try_for_each(|field| collect(field, references))?,
        },
        Value::Array(items) => items.iter().try_for_each(|item| collect(item, references))?,
        _ => {}
    }
    Ok(())
}

/// The file and shape of a tensor; none where the fields are of something else.
fn tensor(fields: &Map<String, Value>) -> Result<Option<(String, Vec<usize>)>, Problem> {
    let (Some(Value::String(shape)), Some(value), Some(_)) =
        (fields.get("shape"), fields.get("value"), fields.get("dtype"))
    else {
        return Ok(None);
    };
    let Value::String(file) = value else { return Err(Problem::Printed) };
    let name = file.strip_prefix("./").filter(|name| !name.contains(['/', '\\']));
    let name =
        name.ok_or_else(|| Problem::Other(format!("refers to {file:?}, expected a file beside the tree")))?;
    Ok(Some((name.to_owned(), dimensions(shape)?)))
}

/// Reads `torch.Size([1, 3, 8])`.
fn dimensions(text: &str) -> Result<Vec<usize>, Problem> {
    let wrong = || Problem::Other(format!("the shape {text:?}, expected torch.Size([…])"));
    let inner =
        text.strip_prefix("torch.Size([").and_then(|rest| rest.strip_suffix("])")).ok_or_else(wrong)?;
    inner.split(", ").filter(|part| !part.is_empty()).map(|part| part.parse().map_err(|_| wrong())).collect()
}
