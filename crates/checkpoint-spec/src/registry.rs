//! All that is known of implementations by their names. Harness and verifier ask here alike, and before anything runs: neither a
//! capture nor a bundle chooses what is required of it.

/// One implementation that can be asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `torch`.
    pub name: &'static str,
    /// Where its code comes from: those of one lineage are one voice.
    pub lineage: &'static str,
    /// What runs it.
    pub host: Host,
    /// Whether it may be a reference: it computes at f64, too.
    pub judges: bool,
    /// The families that it knows; all where none is named.
    pub families: &'static [&'static str],
    /// Whether its KV cache is allocated for the whole context, so that unused slots can be looked at.
    pub preallocated_cache: bool,
    /// Whether it adds up in the same order whatever the shapes are, as tests of its own hold it to.
    pub one_order: bool,
}

/// What runs an implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The program that it is linked into.
    Linked,
    /// The interpreter of Python behind the bridge.
    Python,
}

const IN_PYTHON: Entry = Entry {
    name: "",
    lineage: "",
    host: Host::Python,
    judges: true,
    families: &[],
    preallocated_cache: false,
    one_order: false,
};

/// All of them; references in order of precedence.
pub const REGISTRY: [Entry; 3] = [
    Entry {
        name: "rust",
        lineage: A_PROGRAM,
        host: Host::Linked,
        judges: false,
        families: &["gpt2"],
        preallocated_cache: true,
        one_order: true,
    },
    Entry { name: "torch", lineage: "Hugging Face's code on PyTorch", ..IN_PYTHON },
    Entry {
        name: "tinygrad",
        lineage: "GPT-2 in tinygrad's own operations",
        families: &["gpt2"],
        ..IN_PYTHON
    },
];

/// Where what nobody knows by name comes from.
const A_PROGRAM: &str = "a program of its own";

impl Entry {
    /// Whether it knows the models of a family.
    pub fn knows(&self, family: &str) -> bool {
        self.families.is_empty() || self.families.contains(&family)
    }
}

/// What is known of an implementation by its name; nothing of somebody's engine.
pub fn known(name: &str) -> Option<&'static Entry> {
    REGISTRY.iter().find(|entry| entry.name == name)
}

/// References that can be asked for, in order of precedence.
pub fn references() -> impl Iterator<Item = &'static Entry> {
    REGISTRY.iter().filter(|entry| entry.judges)
}

/// Where an implementation's code comes from.
pub(crate) fn lineage(name: &str) -> &'static str {
    known(name).map_or(A_PROGRAM, |entry| entry.lineage)
}

/// Whether an implementation, `rust@f32`, adds up in the same order whatever the shapes are.
pub(crate) fn adds_up_in_one_order(implementation: &str) -> bool {
    let name = implementation.strip_suffix("@f32");
    name.and_then(known).is_some_and(|entry| entry.one_order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_references_are_one_voice_and_none_comes_from_the_graph() {
        let mut lineages: Vec<&str> = references().map(|entry| entry.lineage).collect();
        let count = lineages.len();
        lineages.push(crate::plan::GRAPH);
        lineages.sort_unstable();
        lineages.dedup();
        assert!(count >= 2 && lineages.len() == count + 1, "{lineages:?}");
    }

    #[test]
    fn nothing_is_known_of_somebodys_engine() {
        assert_eq!((known("engine"), lineage("engine")), (None, A_PROGRAM));
        assert!(adds_up_in_one_order("rust@f32"));
        assert!(!adds_up_in_one_order("rust@f16") && !adds_up_in_one_order("torch@f32"));
    }
}
