//! Maps: which of an engine's tensors is which activation of the model, and how its axes stand.

use std::path::Path;

use graph::Architecture;
use serde::{Deserialize, Serialize};

use crate::axes::{Axes, AxesError};

/// What an engine calls its tensors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Map {
    /// Whose names they are.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// The families that it is for; all where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub families: Vec<String>,
    /// What names may begin with, beside nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    /// What names may end with, beside nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suffixes: Vec<String>,
    /// What names end with of what goes into a module and not out of it: entries call it `NAME:input`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// One for each activation that a tensor holds; where several tensors are one activation, the first that is there.
    #[serde(default, rename = "tensor")]
    pub entries: Vec<Entry>,
}

/// One of their tensors, and the activation that it is or holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Their name; `{l}` is a layer, `{l+1}` the one after it, `{L}` the number of layers.
    pub theirs: String,
    /// The activation: `h.{l}.attn.q`.
    pub ours: String,
    /// How its axes stand: `b h s d`. As the activation has them where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axes: Option<String>,
    /// Which of how many parts of a fused tensor, whose axis is called `p`: `[0, 3]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<[usize; 2]>,
    /// Heads of keys and values are there as often as queries have heads, one copy after the other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// Pairs that RoPE turns together stand side by side in each head, not half a head apart.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interleaved: bool,
    /// There may be more keys than positions; those at the end are passed over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub padded: bool,
    /// Scores are not yet divided by the root of the width of a head.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unscaled: bool,
    /// Features that the model must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<String>,
    /// Features that it must not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unless: Vec<String>,
}

/// Why a map is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// Not TOML, or not of the form.
    #[error("the map {name}: {problem}")]
    Form {
        /// The map.
        name: String,
        /// What is wrong, and where.
        problem: String,
    },
    /// Axes that cannot be read.
    #[error("the map {name}, `{theirs}`: {problem}")]
    Axes {
        /// The map.
        name: String,
        /// The tensor.
        theirs: String,
        /// What is wrong.
        problem: AxesError,
    },
    /// An entry that says what cannot be.
    #[error("the map {name}, `{theirs}`: {problem}")]
    Entry {
        /// The map.
        name: String,
        /// The tensor.
        theirs: String,
        /// What is wrong.
        problem: String,
    },
}

impl Map {
    /// Reads a map.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn parse(name: &str, text: &str) -> Result<Self, MapError> {
        let form = |problem: String| MapError::Form { name: name.to_owned(), problem };
        let map: Self =
            toml::from_str(text).map_err(|error| form(error.to_string().trim_end().to_owned()))?;
        if map.entries.is_empty() {
            return Err(form("it has no [[tensor]]".to_owned()));
        }
        map.entries.iter().try_for_each(|entry| entry.check(name))?;
        Ok(map)
    }

    /// Reads a map from a file.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn read(path: &Path) -> Result<Self, MapError> {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&name, &text),
            Err(error) => Err(MapError::Form { name, problem: error.to_string() }),
        }
    }

    /// The map as a file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// Their name without what it may begin and end with, in every way; of what goes into a module with `:input` behind.
    pub(crate) fn cores(&self, name: &str) -> Vec<String> {
        let begun = std::iter::once("").chain(self.prefixes.iter().map(String::as_str));
        let begun = begun.filter_map(|prefix| name.strip_prefix(prefix));
        let ended = |rest: &str| {
            let outputs = std::iter::once("").chain(self.suffixes.iter().map(String::as_str));
            let outputs = outputs.filter_map(|suffix| rest.strip_suffix(suffix)).map(str::to_owned);
            let inputs = self.inputs.iter().filter_map(|suffix| rest.strip_suffix(suffix.as_str()));
            outputs.chain(inputs.map(|rest| format!("{rest}:input"))).collect::<Vec<_>>()
        };
        begun.flat_map(ended).collect()
    }
}

impl Entry {
    fn check(&self, name: &str) -> Result<(), MapError> {
        let entry = |problem: &str| MapError::Entry {
            name: name.to_owned(),
            theirs: self.theirs.clone(),
            problem: problem.to_owned(),
        };
        let axes = self.axes.as_deref().map(Axes::parse).transpose().map_err(|problem| MapError::Axes {
            name: name.to_owned(),
            theirs: self.theirs.clone(),
            problem,
        })?;
        let has_part = axes.as_ref().is_some_and(|axes| axes.letters().any(|letter| letter == 'p'));
        match self.part {
            Some([index, of]) if index >= of => {
                Err(entry("`part` counts from 0 and is below its second number"))
            }
            Some(_) if !has_part => {
                Err(entry("`part` needs an axis `p` among its axes, such as `b s (p h d)`"))
            }
            None if has_part => Err(entry("the axis `p` needs `part = [which, of]`")),
            _ => Ok(()),
        }
    }

    /// Whether it is of models with these features.
    pub(crate) fn is_of(&self, architecture: &Architecture) -> bool {
        let has = |feature: &String| architecture.features.contains(feature);
        self.when.iter().all(has) && !self.unless.iter().any(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_read_and_written_alike() {
        let text = "[[tensor]]\ntheirs = \"blk.{l}.qkv\"\nours = \"h.{l}.attn.q\"\naxes = \"b s (p h d)\"\npart = [0, 3]\n";
        let map = Map::parse("m", text).unwrap();
        assert_eq!(Map::parse("m", &map.to_toml()).unwrap(), map);
        assert_eq!(map.entries[0].part, Some([0, 3]));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let said = |fields: &str| {
            let text = format!("[[tensor]]\ntheirs = \"a\"\nours = \"embd\"\n{fields}");
            Map::parse("m", &text).unwrap_err().to_string()
        };
        assert!(said("axes = \"b q\"").contains("`q` is out of place"));
        assert!(said("axes = \"b s w\"\npart = [0, 3]").contains("needs an axis `p`"));
        assert!(said("axes = \"b s (p w)\"").contains("needs `part"));
        assert!(said("axes = \"b s (p w)\"\npart = [3, 3]").contains("counts from 0"));
        assert!(said("transposed = true").contains("unknown field `transposed`"));
        assert!(Map::parse("m", "about = \"nothing\"").unwrap_err().to_string().contains("no [[tensor]]"));
    }

    #[test]
    fn names_are_seen_without_what_engines_put_around_them() {
        let map = Map {
            prefixes: vec!["model.".into()],
            suffixes: vec![".out".into()],
            inputs: vec![".in".into()],
            ..Map::default()
        };
        assert_eq!(map.cores("model.norm.out"), ["model.norm.out", "model.norm", "norm.out", "norm"]);
        assert_eq!(map.cores("norm.in"), ["norm.in", "norm:input"]);
    }
}
