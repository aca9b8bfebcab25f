//! No circle of imports: neither between the files of a crate, nor between the rooms at its top.
//!
//! A file and what stands below it are one room, so that what passes between those two counts for nothing. Names that a
//! module only hands on (`pub use`) are followed to where they stand. Tests may import what they like.

mod imports;

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

use super::Broken;
use super::tree::Tree;
use imports::{Module, Sources};

/// Every circle in every crate.
pub(super) fn check(tree: &Tree) -> Vec<Broken> {
    tree.crates()
        .flat_map(|folder| {
            let sources = Sources::of(tree, folder);
            let edges = sources.edges();
            let files = circles(edges.iter().filter(|(from, to)| !are_one_room(from, to)).cloned());
            let rooms = circles(edges.iter().filter_map(|(from, to)| Some((room(from)?, room(to)?))));
            let between = |what: &'static str| move |circle: Vec<Module>| circle_of(folder, what, &circle);
            files
                .into_iter()
                .map(between("files"))
                .chain(rooms.into_iter().map(between("rooms")))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn are_one_room(a: &Module, b: &Module) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// The room at the top of the crate; none for its root.
fn room(module: &Module) -> Option<Module> {
    module.first().map(|first| vec![first.clone()])
}

/// Groups of modules each of which leads to every other.
fn circles(edges: impl Iterator<Item = (Module, Module)>) -> Vec<Vec<Module>> {
    let edges: BTreeSet<(Module, Module)> = edges.filter(|(from, to)| from != to).collect();
    let modules: BTreeSet<&Module> = edges.iter().flat_map(|(from, to)| [from, to]).collect();
    let modules: Vec<&Module> = modules.into_iter().collect();
    let index: BTreeMap<&Module, usize> =
        modules.iter().enumerate().map(|(i, module)| (*module, i)).collect();
    let graph: DiGraphMap<usize, ()> =
        edges.iter().filter_map(|(from, to)| Some((*index.get(from)?, *index.get(to)?))).collect();
    let mut found: Vec<Vec<Module>> = tarjan_scc(&graph)
        .into_iter()
        .filter(|group| group.len() > 1)
        .map(|group| {
            let mut circle: Vec<Module> = group.into_iter().map(|i| modules[i].clone()).collect();
            circle.sort();
            circle
        })
        .collect();
    found.sort();
    found
}

fn circle_of(folder: &str, what: &str, circle: &[Module]) -> Broken {
    let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
    Broken::new(folder, format!("{what} import each other in a circle: {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(files: &[(&str, &str)]) -> Vec<String> {
        let manifest = [("crates/x/Cargo.toml", "")];
        let (_place, tree) = Tree::fixture(&[&manifest[..], files].concat());
        check(&tree).iter().map(Broken::to_string).collect()
    }

    #[test]
    fn a_circle_of_files_is_seen_whichever_way_they_import() {
        let files = [
            ("crates/x/src/lib.rs", "mod a; mod b; mod c; pub use c::Third;"),
            ("crates/x/src/a.rs", "use crate::b::{Second, self};"),
            ("crates/x/src/b.rs", "fn f() { super::c::g() } struct Second;"),
            ("crates/x/src/c.rs", "struct Third; fn g() { let _ = crate::a::h; }"),
        ];
        assert_eq!(said(&files)[0], "crates/x: files import each other in a circle: a, b, c");
        let handed_on = [
            files[0],
            ("crates/x/src/a.rs", "use crate::Third;"),
            ("crates/x/src/b.rs", ""),
            ("crates/x/src/c.rs", "use crate::a::X; pub struct Third;"),
        ];
        assert_eq!(said(&handed_on)[0], "crates/x: files import each other in a circle: a, c");
    }

    #[test]
    fn a_circle_of_rooms_is_seen_though_no_file_is_on_one() {
        let files = [
            ("crates/x/src/lib.rs", "mod a; mod b;"),
            ("crates/x/src/a.rs", "mod one; mod two;"),
            ("crates/x/src/a/one.rs", "use crate::b::f;"),
            ("crates/x/src/a/two.rs", "pub fn g() {}"),
            ("crates/x/src/b.rs", "mod three; pub fn f() {}"),
            ("crates/x/src/b/three.rs", "use crate::a::two::g;"),
        ];
        assert_eq!(said(&files), ["crates/x: rooms import each other in a circle: a, b"]);
    }

    #[test]
    fn a_file_and_what_stands_below_it_are_one_room_and_tests_are_free() {
        let files = [
            ("crates/x/src/lib.rs", "mod a; mod b;"),
            ("crates/x/src/a.rs", "mod one; use one::f; use crate::b::g; struct S;"),
            ("crates/x/src/a/one.rs", "use super::S; pub fn f() {}"),
            ("crates/x/src/b.rs", "pub fn g() {} #[cfg(test)] mod tests;"),
            ("crates/x/src/b/tests.rs", "use crate::a::S;"),
        ];
        assert_eq!(said(&files), Vec::<String>::new());
    }
}
