//! Words that must not stand in the project's files. They are put together here, else this file would break its rule.

use super::Broken;
use super::tree::Tree;

/// Ways round a rule: kind of file, sign, and what to do instead.
const HATCHES: [(&str, &str, &str); 7] = [
    (".rs", concat!("#[", "ignore"), "a test that does not run by default proves nothing"),
    (
        ".rs",
        concat!("[", "allow("),
        "write `#[expect(…, reason = \"…\")]`: it says why, and ends with its reason",
    ),
    (".rs", concat!("todo", "!("), "finish it, or leave it out"),
    (".rs", concat!("unimplemented", "!("), "finish it, or leave it out"),
    (".py", concat!("pytest.mark.", "skip"), "a test that does not run by default proves nothing"),
    (".py", concat!("pytest.mark.", "xfail"), "a test that may fail proves nothing"),
    (".py", concat!("pytest.", "skip("), "a test that does not run by default proves nothing"),
];

/// Roots of one machine's paths.
const ROOTS: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

/// What is outside the clone, or serves packages to whoever made it.
const OUTSIDE: [&str; 7] = [
    concat!("../", "shared"),
    concat!("pypi", ".org"),
    concat!("files.", "pythonhosted", ".org"),
    concat!("download.", "pytorch", ".org"),
    concat!("static.", "crates", ".io"),
    concat!("index.", "crates", ".io"),
    concat!("registry.", "npmjs", ".org"),
];

/// No test is skipped, no lint is switched off without a reason, nothing is left open. Comments may speak of it.
pub(super) fn check_hatches(tree: &Tree) -> Vec<Broken> {
    each_line(tree, |file, line| {
        let comment = line.trim_start().starts_with("//")
            || line.trim_start().starts_with('#') && file.ends_with(".py");
        let fits =
            |(kind, sign, _): &&(&str, &str, &str)| !comment && file.ends_with(kind) && line.contains(sign);
        HATCHES.iter().find(fits).map(|(_, sign, instead)| format!("`{sign}`: {instead}"))
    })
}

/// Nothing that is true on one machine only.
pub(super) fn check_places(tree: &Tree) -> Vec<Broken> {
    each_line(tree, |_, line| {
        let root = ROOTS.iter().find(|root| begins_a_path(line, root));
        root.or_else(|| OUTSIDE.iter().find(|host| line.contains(**host)))
            .map(|sign| format!("`{sign}` is not there on other machines"))
    })
}

/// The sign, at the beginning of a path and not within one.
fn begins_a_path(line: &str, root: &str) -> bool {
    let within = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '~' | '}' | ')' | '>' | '*');
    line.match_indices(root).any(|(at, _)| !line[..at].ends_with(within))
}

fn each_line(tree: &Tree, complaint: impl Fn(&str, &str) -> Option<String>) -> Vec<Broken> {
    let mut broken = Vec::new();
    for file in tree.files() {
        let Some(text) = tree.text(file) else { continue };
        for (number, line) in text.lines().enumerate() {
            broken
                .extend(complaint(file, line).map(|why| Broken::new(format!("{file}:{}", number + 1), why)));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(broken: &[Broken]) -> Vec<&str> {
        broken.iter().map(|broken| broken.place.as_str()).collect()
    }

    #[test]
    fn each_hatch_is_seen_in_its_kind_of_file() {
        for (kind, sign, _) in HATCHES {
            let file = format!("tests/a{kind}");
            let (_place, tree) = Tree::fixture(&[(&file, &format!("fine\n  {sign}x\n")), ("notes.md", sign)]);
            assert_eq!(places(&check_hatches(&tree)), [format!("{file}:2")], "{sign}");
        }
    }

    #[test]
    fn comments_may_speak_of_hatches() {
        let text = format!("/// Nothing is {}]d.\n", HATCHES[0].1);
        let (_place, tree) = Tree::fixture(&[("a.rs", &text)]);
        assert!(check_hatches(&tree).is_empty());
    }

    #[test]
    fn paths_and_hosts_of_one_machine_are_seen() {
        for sign in ROOTS.iter().chain(&OUTSIDE) {
            let (_place, tree) = Tree::fixture(&[("README.md", &format!("see `{sign}x`\n"))]);
            assert_eq!(places(&check_places(&tree)), ["README.md:1"], "{sign}");
        }
    }

    #[test]
    fn folders_of_the_same_name_inside_a_path_are_fine() {
        let text = ROOTS.map(|root| format!("proofs{root}x ${{HOME}}{root}x ~{root}\n")).concat();
        let (_place, tree) = Tree::fixture(&[("README.md", &text)]);
        assert!(check_places(&tree).is_empty());
    }
}
