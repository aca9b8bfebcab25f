//! ARCHITECTURE.md's code map against the crates.

use std::collections::BTreeSet;

use super::tree::Tree;
use super::{Broken, Place};

const FILE: &str = "ARCHITECTURE.md";

/// The section headed "Code map" names, as `crates/NAME` or `xtask`, exactly the crates that are there; so does the
/// design.
pub(super) fn check(tree: &Tree, places: &[Place]) -> Vec<Broken> {
    let Some(text) = tree.text(FILE) else {
        return vec![Broken::new(FILE, "is not there")];
    };
    let Some(section) = section(&text) else {
        return vec![Broken::new(FILE, "has no section with the heading \"Code map\"")];
    };
    let mapped = mapped(section);
    let there: BTreeSet<&str> = tree.crates().collect();
    let designed: BTreeSet<&str> = places.iter().map(|place| place.name).collect();
    let unmapped = there.difference(&mapped).map(|folder| format!("{folder} is not in the code map"));
    let invented =
        mapped.difference(&there).map(|folder| format!("{folder} is in the code map and not there"));
    let misplaced = there
        .iter()
        .filter(|folder| !designed.contains(folder.rsplit('/').next().unwrap_or_default()))
        .map(|folder| format!("{folder} is not in the design (xtask/src/tidy.rs)"));
    unmapped.chain(invented).chain(misplaced).map(|why| Broken::new(FILE, why)).collect()
}

/// From the heading to the next one of the same or a higher level.
fn section(text: &str) -> Option<&str> {
    let level = |line: &str| line.bytes().take_while(|byte| *byte == b'#').count();
    let mut begun: Option<(usize, usize)> = None;
    let mut fenced = false;
    let mut position = 0;
    for line in text.split_inclusive('\n') {
        fenced ^= line.starts_with("```");
        let depth = if fenced { 0 } else { level(line) };
        match begun {
            None if depth > 0 && line.to_lowercase().contains("code map") => begun = Some((position, depth)),
            Some((start, outer)) if depth > 0 && depth <= outer => return text.get(start..position),
            _ => {}
        }
        position += line.len();
    }
    begun.and_then(|(start, _)| text.get(start..))
}

fn mapped(section: &str) -> BTreeSet<&str> {
    let between = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '.'));
    let words = section.split(between).map(|word| word.trim_end_matches(['.', '/']));
    words.filter_map(folder).collect()
}

/// `crates/gpt2/src/lib.rs` → `crates/gpt2`.
fn folder(word: &str) -> Option<&str> {
    if word == "xtask" || word.starts_with("xtask/") {
        return Some("xtask");
    }
    let name = word.strip_prefix("crates/")?.split('/').next()?;
    (!name.is_empty()).then(|| &word[.."crates/".len() + name.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: [Place; 2] = [
        Place { name: "one", needs: &[], may: &[], tests_may: &[] },
        Place { name: "xtask", needs: &[], may: &[], tests_may: &[] },
    ];
    const MAP: &str = "# Architecture\nBefore: crates/else.\n\n## Code map\n\n### `crates/one`\nThe ruler, `crates/one/src/lib.rs`.\n\
                       ```\n# not a heading\n```\n- `xtask/`: the command line.\n\n## After\ncrates/other\n";

    fn said(architecture: &str, crates: &[&str]) -> Vec<String> {
        let mut files = vec![("ARCHITECTURE.md", architecture)];
        files.extend(crates.iter().map(|manifest| (*manifest, "")));
        let (_place, tree) = Tree::fixture(&files);
        check(&tree, &PLACES).into_iter().map(|broken| broken.why).collect()
    }

    #[test]
    fn a_map_of_what_is_there_passes() {
        assert!(said(MAP, &["crates/one/Cargo.toml", "xtask/Cargo.toml"]).is_empty());
    }

    #[test]
    fn a_crate_that_is_not_on_the_map_is_seen() {
        let said = said(MAP, &["crates/one/Cargo.toml", "crates/two/Cargo.toml", "xtask/Cargo.toml"]);
        assert_eq!(
            said,
            ["crates/two is not in the code map", "crates/two is not in the design (xtask/src/tidy.rs)"]
        );
    }

    #[test]
    fn a_place_on_the_map_without_a_crate_is_seen() {
        assert_eq!(said(MAP, &["xtask/Cargo.toml"]), ["crates/one is in the code map and not there"]);
    }

    #[test]
    fn a_page_without_a_map_is_seen() {
        assert_eq!(said("# Architecture\n", &[]), ["has no section with the heading \"Code map\""]);
        let (_place, tree) = Tree::fixture(&[]);
        assert_eq!(check(&tree, &PLACES), [Broken::new("ARCHITECTURE.md", "is not there")]);
    }
}
