//! What each file of a crate imports from others of it, read from its syntax.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Attribute, File, ItemMod, ItemUse, Path, UseTree, Visibility};

use super::super::tree::Tree;

/// Path of a module from the root of its crate: `["run", "laws"]`; empty for the root.
pub(super) type Module = Vec<String>;

/// Names handed on further than this are not followed.
const HANDED_ON: usize = 8;

/// All files of a crate, without its tests.
pub(super) struct Sources {
    files: BTreeMap<Module, Found>,
}

/// What one file says.
#[derive(Default)]
struct Found {
    /// Full paths within the crate.
    paths: BTreeSet<Module>,
    /// Names that it hands on, and where they stand.
    handed_on: BTreeMap<String, Module>,
    /// Modules of it that are tests.
    tests: BTreeSet<String>,
}

impl Sources {
    /// Reads the crate in a folder; what is not Rust is left out, as the compiler tells of it.
    pub(super) fn of(tree: &Tree, folder: &str) -> Self {
        let source = format!("{folder}/src/");
        let mut files: BTreeMap<Module, Found> = tree
            .files()
            .filter_map(|file| {
                let module = module(file.strip_prefix(&source)?.strip_suffix(".rs")?);
                let parsed = syn::parse_file(&tree.text(file)?).ok()?;
                Some((module.clone(), Reader::read(module, &parsed)))
            })
            .collect();
        let tests: BTreeSet<Module> = files
            .iter()
            .flat_map(|(module, found)| {
                found.tests.iter().map(|test| joined(module, std::slice::from_ref(test)))
            })
            .collect();
        files.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        Self { files }
    }

    /// Each import of one file by another.
    pub(super) fn edges(&self) -> BTreeSet<(Module, Module)> {
        let edges = self.files.iter().flat_map(|(from, found)| {
            found.paths.iter().filter_map(|path| Some((from.clone(), self.file_of(path, HANDED_ON)?)))
        });
        edges.filter(|(from, to)| from != to && !to.is_empty()).collect()
    }

    /// The file in which what a path names stands.
    fn file_of(&self, path: &[String], further: usize) -> Option<Module> {
        let length = (0..=path.len()).rev().find(|&length| self.files.contains_key(&path[..length]))?;
        let (module, rest) = path.split_at(length);
        let handed_on = rest.first().and_then(|name| self.files.get(module)?.handed_on.get(name));
        match handed_on {
            Some(to) if further > 0 => self.file_of(&joined(to, &rest[1..]), further - 1),
            _ => Some(module.to_vec()),
        }
    }
}

fn module(file: &str) -> Module {
    let parts: Module = file.split('/').map(str::to_owned).collect();
    match parts.as_slice() {
        [root] if root == "lib" || root == "main" => Module::new(),
        [above @ .., last] if last == "mod" => above.to_vec(),
        _ => parts,
    }
}

fn joined(module: &[String], rest: &[String]) -> Module {
    [module, rest].concat()
}

struct Reader {
    module: Module,
    found: Found,
    /// Modules within the file that stand around what is read.
    within: usize,
}

impl Reader {
    fn read(module: Module, file: &File) -> Found {
        let mut reader = Self { module, found: Found::default(), within: 0 };
        reader.visit_file(file);
        reader.found
    }

    /// The full path of what is written in this place; none where it leads out of the crate.
    fn full(&self, written: &[String]) -> Option<Module> {
        let (first, rest) = written.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some(joined(&self.module, rest)),
            "super" => {
                let above =
                    if self.within > 0 { self.module.len() } else { self.module.len().checked_sub(1)? };
                let above = self.module.get(..above)?;
                match rest.first() {
                    Some(again) if again == "super" => {
                        let outer = Self {
                            module: above.to_vec(),
                            found: Found::default(),
                            within: self.within.saturating_sub(1),
                        };
                        outer.full(rest)
                    }
                    _ => Some(joined(above, rest)),
                }
            }
            _ => Some(joined(&self.module, written)),
        }
    }

    fn imported(&mut self, written: &[String], name: &str, hands_on: bool) {
        let Some(full) = self.full(written) else { return };
        if hands_on && self.within == 0 {
            self.found.handed_on.insert(name.to_owned(), full);
        } else {
            self.found.paths.insert(full);
        }
    }

    fn tree(&mut self, before: &mut Module, tree: &UseTree, hands_on: bool) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.tree(before, &path.tree, hands_on);
                before.pop();
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.tree(before, tree, hands_on));
            }
            UseTree::Name(name) if name.ident == "self" => {
                let last = before.last().cloned().unwrap_or_default();
                self.imported(&before.clone(), &last, hands_on);
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.imported(&joined(before, std::slice::from_ref(&name)), &name, hands_on);
            }
            UseTree::Rename(rename) => {
                let written = joined(before, &[rename.ident.to_string()]);
                self.imported(&written, &rename.rename.to_string(), hands_on);
            }
            UseTree::Glob(_) => self.imported(&before.clone(), "*", false),
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !attributes(item).iter().any(is_test) {
            visit::visit_item(self, item);
        } else if let syn::Item::Mod(tests) = item {
            self.found.tests.insert(tests.ident.to_string());
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.content.is_some() {
            self.within += 1;
            visit::visit_item_mod(self, item);
            self.within -= 1;
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let hands_on = !matches!(item.vis, Visibility::Inherited);
        self.tree(&mut Module::new(), &item.tree, hands_on);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        let written: Module = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if written.len() > 1 {
            self.imported(&written, "", false);
        }
        visit::visit_path(self, path);
    }
}

fn attributes(item: &syn::Item) -> &[Attribute] {
    match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        _ => &[],
    }
}

/// `test`, alone or as one of several conditions.
fn is_test(attribute: &Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else { return false };
    let condition = list.tokens.to_string();
    list.path.is_ident("cfg")
        && condition.split(|c: char| !c.is_alphanumeric()).any(|word| word == "test")
        && !condition.starts_with("not")
}
