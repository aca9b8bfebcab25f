//! The tensors of a saved object, by the way that leads to each.

use std::collections::BTreeMap;
use std::path::Path;

use super::value::{Graph, Ref, Value, View};
use crate::dump::collector::Collector;
use crate::dump::error::DumpError;

/// Containers within each other, at most: an object may hold itself.
const MAXIMUM_DEPTH: usize = 32;

/// Values visited for each tensor that a dump may hold: a few containers may hold each other in a great many ways.
const VISITS_PER_TENSOR: usize = 8;

/// How tensors are named.
#[derive(Clone, Copy)]
pub(super) enum Naming<'a> {
    /// By keys and positions with dots between them; so where the object is a tensor itself.
    OfFile(&'a str),
    /// Likewise below `value`, and so for that itself; what is beside it is of no interest.
    OfValue(&'a str),
}

/// Every tensor, named.
pub(super) fn tensors(
    path: &Path,
    graph: &Graph,
    naming: Naming<'_>,
    collector: &mut Collector<'_>,
) -> Result<BTreeMap<String, View>, DumpError> {
    let visits = collector.limits.tensors.saturating_mul(VISITS_PER_TENSOR);
    let mut walk = Walk { path, graph, visits, found: BTreeMap::new(), notes: Vec::new() };
    let root = &graph.values[graph.root];
    match (naming, root) {
        (Naming::OfFile(name) | Naming::OfValue(name), Value::Tensor(view)) => walk.find(name, view)?,
        (Naming::OfFile(_), _) => walk.visit("", graph.root, 0)?,
        (Naming::OfValue(name), _) => walk.visit(name, walk.value_of(root)?, 0)?,
    }
    let Walk { found, notes, .. } = walk;
    notes.iter().for_each(|note| collector.note(path, note));
    Ok(found)
}

struct Walk<'a> {
    path: &'a Path,
    graph: &'a Graph,
    /// How many values may be visited yet.
    visits: usize,
    found: BTreeMap<String, View>,
    notes: Vec<String>,
}

impl Walk<'_> {
    fn visit(&mut self, name: &str, value: Ref, depth: usize) -> Result<(), DumpError> {
        if depth > MAXIMUM_DEPTH {
            let problem =
                format!("{name:?} lies in more than {MAXIMUM_DEPTH} dicts and lists within each other");
            return Err(DumpError::malformed(self.path, problem));
        }
        let Some(visits) = self.visits.checked_sub(1) else {
            return Err(DumpError::malformed(self.path, format!("too many dicts and lists, up to {name:?}")));
        };
        self.visits = visits;
        match &self.graph.values[value] {
            Value::Tensor(view) => return self.find(name, view),
            Value::Map(entries) => {
                for &(key, value) in entries {
                    let key = self.key(name, key)?;
                    self.visit(&joined(name, &key), value, depth + 1)?;
                }
            }
            Value::Sequence(items) => {
                for (position, &item) in items.iter().enumerate() {
                    self.visit(&joined(name, &position.to_string()), item, depth + 1)?;
                }
            }
            other => self.notes.push(format!("{name:?} was not read: {}", other.kind())),
        }
        Ok(())
    }

    /// What the key `value` leads to.
    fn value_of(&self, root: &Value) -> Result<Ref, DumpError> {
        let entries = if let Value::Map(entries) = root { &entries[..] } else { &[] };
        let is_value = |key: Ref| matches!(&self.graph.values[key], Value::Text(text) if text == "value");
        let mut values = entries.iter().filter(|(key, _)| is_value(*key)).map(|&(_, value)| value);
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            _ => Err(DumpError::malformed(
                self.path,
                "not one of SGLang's dumper: no tensor, and not one `value`",
            )),
        }
    }

    fn find(&mut self, name: &str, view: &View) -> Result<(), DumpError> {
        if self.found.insert(name.to_owned(), view.clone()).is_some() {
            let (path, other) = (self.path.to_owned(), self.path.to_owned());
            return Err(DumpError::Duplicate { path, tensor: name.to_owned(), other });
        }
        Ok(())
    }

    fn key(&self, name: &str, key: Ref) -> Result<String, DumpError> {
        match &self.graph.values[key] {
            Value::Text(text) => Ok(text.clone()),
            Value::Integer(number) => Ok(number.to_string()),
            other => {
                let problem = format!("a key of {name:?} is {}, expected text or an integer", other.kind());
                Err(DumpError::malformed(self.path, problem))
            }
        }
    }
}

fn joined(name: &str, part: &str) -> String {
    if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") }
}
