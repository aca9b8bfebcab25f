//! The folder that SGLang's dumper writes: one `.pt` for each tensor, its tags in the file's name.
//!
//! `step=0___rank=0___dump_index=7___name=attn_output___layer_id=3.pt` holds `{"value": tensor, "meta": {…}}`, or, of older
//! versions, the tensor alone; `forward_pass_id` was what `step` is now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What stands between two tags.
const BETWEEN: &str = "___";

/// The names of the tensors in such files: `attn_output.3`, with `.rank1` where the rank is not 0, and with `step0/` before it where
/// the folder has more than one step.
pub(super) struct Names(BTreeMap<PathBuf, String>);

/// The tags that a name is made of.
struct Tags<'a> {
    step: Option<u64>,
    name: &'a str,
    layer: Option<&'a str>,
    rank: &'a str,
}

impl Names {
    /// Those among these files that are the dumper's, named.
    pub(super) fn among(files: &[PathBuf]) -> Self {
        let tagged: Vec<(&PathBuf, Tags<'_>)> =
            files.iter().filter_map(|file| Some((file, tags(file)?))).collect();
        let mut steps: Vec<u64> = tagged.iter().filter_map(|(_, tags)| tags.step).collect();
        steps.sort_unstable();
        steps.dedup();
        Self(tagged.iter().map(|(file, tags)| ((*file).clone(), tags.tensor(&steps))).collect())
    }

    /// The name of the tensor in a file of the dumper's.
    pub(super) fn of(&self, file: &Path) -> Option<&str> {
        self.0.get(file).map(String::as_str)
    }

    /// How many files there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

impl Tags<'_> {
    fn tensor(&self, steps: &[u64]) -> String {
        let mut name = self.name.to_owned();
        if let Some(layer) = self.layer {
            name = format!("{name}.{layer}");
        }
        if self.rank != "0" {
            name = format!("{name}.rank{}", self.rank);
        }
        // Steps are counted from the first that is there: a server that warmed up has had some.
        match self.step.and_then(|step| steps.binary_search(&step).ok()) {
            Some(position) if steps.len() > 1 => format!("step{position}/{name}"),
            _ => name,
        }
    }
}

fn tags(file: &Path) -> Option<Tags<'_>> {
    let stem = file.file_name()?.to_str()?.strip_suffix(".pt")?;
    let tags: BTreeMap<&str, &str> =
        stem.split(BETWEEN).map(|tag| tag.split_once('=')).collect::<Option<_>>()?;
    let step = tags.get("step").or_else(|| tags.get("forward_pass_id")).and_then(|step| step.parse().ok());
    let (name, rank) = (tags.get("name")?, tags.get("rank")?);
    Some(Tags { step, name, layer: tags.get("layer_id").copied(), rank })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[&str]) -> Vec<Option<String>> {
        let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
        let names = Names::among(&files);
        files.iter().map(|file| names.of(file).map(str::to_owned)).collect()
    }

    #[test]
    fn tags_make_a_name() {
        let found = names(&[
            "step=4___rank=0___dump_index=1___name=attn_output___layer_id=3.pt",
            "step=4___rank=1___dump_index=1___name=attn_output___recompute_status=disabled___layer_id=3.pt",
            "step=4___rank=0___dump_index=2___name=logits.pt",
            "Pass00000.pt",
            "name=logits.pt",
            "step=4___rank=0___name=logits.npy",
        ]);
        let expected = [Some("attn_output.3"), Some("attn_output.3.rank1"), Some("logits"), None, None, None];
        assert_eq!(found.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn steps_are_counted_from_the_first_that_is_there() {
        let found = names(&[
            "forward_pass_id=10___rank=0___name=logits___dump_index=9.pt",
            "forward_pass_id=7___rank=0___name=logits___dump_index=3.pt",
        ]);
        assert_eq!(found, [Some("step1/logits".to_owned()), Some("step0/logits".to_owned())]);
    }
}
