//! What every crate's own files must say.

use super::Broken;
use super::tree::Tree;

const FORBID: &str = "#![forbid(unsafe_code)]";

/// The root of every crate forbids unsafe code, those `excused` apart.
pub(super) fn check_unsafe(tree: &Tree, excused: &[&str]) -> Vec<Broken> {
    let is_excused = |folder: &&str| folder.rsplit('/').next().is_some_and(|name| excused.contains(&name));
    let folders = tree.crates().filter(|folder| !is_excused(folder));
    folders
        .filter_map(|folder| {
            let roots = [format!("{folder}/src/lib.rs"), format!("{folder}/src/main.rs")];
            let root = roots.iter().find_map(|root| Some((root, tree.text(root)?)));
            match root {
                Some((_, text)) if text.lines().any(|line| line.trim() == FORBID) => None,
                Some((root, _)) => Some(Broken::new(root, format!("does not say `{FORBID}`"))),
                None => Some(Broken::new(folder, "has neither src/lib.rs nor src/main.rs")),
            }
        })
        .collect()
}

/// Every crate is under the workspace's lints.
pub(super) fn check_lints(tree: &Tree) -> Vec<Broken> {
    let manifests = tree.crates().map(|folder| format!("{folder}/Cargo.toml"));
    manifests
        .filter(|manifest| {
            !tree.text(manifest).is_some_and(|text| text.contains("[lints]\nworkspace = true"))
        })
        .map(|manifest| Broken::new(manifest, "does not say `[lints] workspace = true`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_code_is_forbidden_but_where_it_is_excused() {
        let (_place, tree) = Tree::fixture(&[
            ("crates/good/Cargo.toml", ""),
            ("crates/good/src/lib.rs", "//! Doc.\n#![forbid(unsafe_code)]\n"),
            ("crates/kernel/Cargo.toml", ""),
            ("crates/kernel/src/lib.rs", ""),
            ("crates/bad/Cargo.toml", ""),
            ("crates/bad/src/lib.rs", "// #![forbid(unsafe_code)]\n"),
            ("crates/empty/Cargo.toml", ""),
            ("xtask/Cargo.toml", ""),
            ("xtask/src/main.rs", "#![forbid(unsafe_code)]\nfn main() {}\n"),
        ]);
        let said: Vec<_> = check_unsafe(&tree, &["kernel"]).iter().map(Broken::to_string).collect();
        assert_eq!(
            said,
            [
                "crates/bad/src/lib.rs: does not say `#![forbid(unsafe_code)]`",
                "crates/empty: has neither src/lib.rs nor src/main.rs"
            ]
        );
    }

    #[test]
    fn a_crate_outside_the_lints_is_seen() {
        let (_place, tree) = Tree::fixture(&[
            ("crates/in/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n"),
            ("crates/out/Cargo.toml", "[package]\n"),
        ]);
        let said: Vec<_> = check_lints(&tree).iter().map(Broken::to_string).collect();
        assert_eq!(said, ["crates/out/Cargo.toml: does not say `[lints] workspace = true`"]);
    }
}
