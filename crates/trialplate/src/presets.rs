//! Maps that come with the program.

use crate::map::Map;

/// Name and text of each.
const PRESETS: [(&str, &str); 4] = [
    ("huggingface-gpt2", include_str!("../maps/huggingface-gpt2.toml")),
    ("huggingface-llama", include_str!("../maps/huggingface-llama.toml")),
    ("llama.cpp-gpt2", include_str!("../maps/llama.cpp-gpt2.toml")),
    ("llama.cpp-llama", include_str!("../maps/llama.cpp-llama.toml")),
];

/// All of them, by name. That they can be read is tested.
pub(crate) fn all() -> Vec<(String, Map)> {
    PRESETS
        .iter()
        .filter_map(|(name, text)| Some(((*name).to_owned(), Map::parse(name, text).ok()?)))
        .collect()
}

/// The one with that name.
pub(crate) fn named(name: &str) -> Option<Map> {
    all().into_iter().find(|(known, _)| known == name).map(|(_, map)| map)
}

/// Their names.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_can_be_read() {
        for (name, text) in PRESETS {
            Map::parse(name, text).unwrap();
        }
        assert_eq!(all().len(), PRESETS.len());
    }
}
