//! The files that belong to the project: tracked by git, or about to be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::process;
use crate::repository::Repository;

/// A folder and the files in it that count.
pub(super) struct Tree {
    root: PathBuf,
    files: Vec<String>,
}

impl Tree {
    /// All files but the ignored ones.
    pub(super) fn of(repository: &Repository) -> Result<Self, Failure> {
        let mut git = git(repository.root());
        let listed =
            process::output(git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))
                .map_err(|reason| {
                    Failure::new(format!("git does not list the project's files: {reason}"))
                        .expected("git, and a clone of the project")
                        .advice("run it in a clone")
                })?;
        let mut files: Vec<String> = listed.split_terminator('\0').map(str::to_owned).collect();
        files.retain(|file| fs::symlink_metadata(repository.root().join(file)).is_ok());
        files.sort();
        files.dedup();
        Ok(Self { root: repository.root().to_owned(), files })
    }

    /// Paths from the root, in order.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    /// Bytes of a file.
    pub(super) fn size(&self, file: &str) -> u64 {
        fs::symlink_metadata(self.path(file)).map_or(0, |metadata| metadata.len())
    }

    /// A file's text; `None` when it is not there or is not text.
    pub(super) fn text(&self, file: &str) -> Option<String> {
        let text = fs::read_to_string(self.path(file)).ok()?;
        (!text.contains('\0')).then_some(text)
    }

    /// Folders with a crate of the workspace in them, from the root. The fuzz targets are a workspace of their own, built
    /// by a nightly toolchain.
    pub(super) fn crates(&self) -> impl Iterator<Item = &str> {
        self.files().filter_map(|file| file.strip_suffix("/Cargo.toml")).filter(|folder| *folder != "fuzz")
    }

    fn path(&self, file: &str) -> PathBuf {
        self.root.join(Path::new(file))
    }

    /// A tree for a test; the folder lives as long as the guard.
    #[cfg(test)]
    pub(super) fn fixture(files: &[(&str, &str)]) -> (tempfile::TempDir, Self) {
        let place = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = place.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let files = files.iter().map(|(file, _)| (*file).to_owned()).collect();
        let tree = Self { root: place.path().to_owned(), files };
        (place, tree)
    }
}

/// Git in a folder, whatever repository a hook that called us was at work in.
fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(folder).env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE");
    git
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_files_count_and_ignored_and_deleted_ones_do_not() {
        let (place, _) =
            Tree::fixture(&[("kept.rs", ""), ("gone.rs", ""), ("target/x", ""), (".gitignore", "/target/")]);
        for arguments in [["init", "--quiet"], ["add", "gone.rs"]] {
            process::output(git(place.path()).args(arguments)).unwrap();
        }
        fs::remove_file(place.path().join("gone.rs")).unwrap();
        let tree = Tree::of(&Repository::at(place.path())).unwrap();
        assert_eq!(tree.files().collect::<Vec<_>>(), [".gitignore", "kept.rs"]);
    }

    #[test]
    fn bytes_that_are_not_text_are_not_read_as_text() {
        let (_place, tree) = Tree::fixture(&[("a.bin", "a\0b"), ("crates/x/Cargo.toml", "")]);
        assert_eq!(tree.text("a.bin"), None);
        assert_eq!(tree.crates().collect::<Vec<_>>(), ["crates/x"]);
    }
}
