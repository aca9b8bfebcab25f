//! Where files stand, and how large they are.

use std::collections::BTreeSet;

use super::Broken;
use super::tree::Tree;

/// A clone must stay quick, and a bundled model within its bound.
const LARGEST: u64 = 5_000_000;
/// Past this, there are two ideas in the file.
const LONGEST: usize = 500;

/// The top holds what the design says, no less and no more.
pub(super) fn check_top(tree: &Tree, designed: &[&str]) -> Vec<Broken> {
    let there: BTreeSet<&str> = tree.files().filter_map(|file| file.split('/').next()).collect();
    let designed: BTreeSet<&str> = designed.iter().copied().collect();
    let more =
        there.difference(&designed).map(|entry| Broken::new(*entry, "is not in the design of the top level"));
    let less = designed.difference(&there).map(|entry| Broken::new(*entry, "is in the design and not there"));
    more.chain(less).collect()
}

/// Nothing large.
pub(super) fn check_size(tree: &Tree) -> Vec<Broken> {
    let sized = tree.files().map(|file| (file, tree.size(file)));
    let large = sized.filter(|(_, size)| *size > LARGEST);
    large.map(|(file, size)| Broken::new(file, format!("{size} bytes; at most {LARGEST}"))).collect()
}

/// No long source.
pub(super) fn check_length(tree: &Tree) -> Vec<Broken> {
    let sources = tree.files().filter(|file| file.ends_with(".rs") || file.ends_with(".py"));
    let counted = sources.filter_map(|file| Some((file, tree.text(file)?.lines().count())));
    let long = counted.filter(|(_, lines)| *lines > LONGEST);
    long.map(|(file, lines)| Broken::new(file, format!("{lines} lines; at most {LONGEST}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_holds_the_designed_entries() {
        let (_place, tree) = Tree::fixture(&[("crates/a/x.rs", ""), ("notes.txt", "")]);
        let said: Vec<_> = check_top(&tree, &["crates", "README.md"]).iter().map(Broken::to_string).collect();
        assert_eq!(
            said,
            ["notes.txt: is not in the design of the top level", "README.md: is in the design and not there"]
        );
    }

    #[test]
    fn a_large_file_is_seen() {
        let large = "x".repeat(5_000_001);
        let (_place, tree) = Tree::fixture(&[("model.bin", &large), ("small.bin", &large[1..])]);
        assert_eq!(check_size(&tree), [Broken::new("model.bin", "5000001 bytes; at most 5000000")]);
    }

    #[test]
    fn a_long_source_is_seen_and_long_data_is_not() {
        let long = "x\n".repeat(501);
        let (_place, tree) =
            Tree::fixture(&[("a.rs", &long), ("b.py", &long), ("c.rs", &long[2..]), ("d.json", &long)]);
        let said: Vec<_> = check_length(&tree).iter().map(Broken::to_string).collect();
        assert_eq!(said, ["a.rs: 501 lines; at most 500", "b.py: 501 lines; at most 500"]);
    }
}
