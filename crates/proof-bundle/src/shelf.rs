//! The folder that holds bundles, where a bundle appears whole or not at all.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::moments;
use crate::signature::signature_path;
use crate::write_error::{WriteError, io_at};

/// Folders in the making.
const INCOMING: &str = ".incoming-";
/// Bundles that are being replaced.
const OUTGOING: &str = ".outgoing-";

/// A folder of bundles, held by one writer at a time.
pub(crate) struct Shelf {
    folder: PathBuf,
    /// Held as long as the shelf is.
    _lock: File,
}

impl Shelf {
    /// Opens the folder, waits for other writers, and clears away what a writer that was stopped left behind.
    pub(crate) fn open(folder: &Path) -> Result<Self, WriteError> {
        fs::create_dir_all(folder).map_err(io_at(folder))?;
        let path = folder.join(".lock");
        let lock = File::create(&path).map_err(io_at(&path))?;
        lock.lock().map_err(io_at(&path))?;
        moments::pass();
        let shelf = Self { folder: folder.to_owned(), _lock: lock };
        shelf.recover()?;
        Ok(shelf)
    }

    /// An empty folder to make a bundle in. It is removed unless it is put in place.
    pub(crate) fn incoming(&self) -> Result<TempDir, WriteError> {
        // Readable as any new folder is: an auditor is somebody else.
        let readable = Permissions::from_mode(0o777);
        let made = tempfile::Builder::new().prefix(INCOMING).permissions(readable).tempdir_in(&self.folder);
        made.map_err(io_at(&self.folder))
    }

    /// Gives a finished bundle its name. One that had it before stays until the new one is there.
    pub(crate) fn place(&self, incoming: TempDir, name: &str) -> Result<PathBuf, WriteError> {
        let (bundle, outgoing) = (self.folder.join(name), self.folder.join(format!("{OUTGOING}{name}")));
        let replaces = bundle.symlink_metadata().is_ok();
        if replaces {
            // A signature of the bundle that goes is none of the one that comes.
            remove_file(&signature_path(&bundle))?;
            moments::pass();
            fs::rename(&bundle, &outgoing).map_err(io_at(&bundle))?;
            moments::pass();
        }
        if let Err(error) = fs::rename(incoming.path(), &bundle) {
            if replaces {
                fs::rename(&outgoing, &bundle).map_err(io_at(&outgoing))?;
            }
            return Err(io_at(&bundle)(error));
        }
        let _ = incoming.keep();
        moments::pass();
        self.sync()?;
        moments::pass();
        if replaces {
            fs::remove_dir_all(&outgoing).map_err(io_at(&outgoing))?;
        }
        Ok(bundle)
    }

    /// A bundle that was on its way out comes back when its successor did not arrive.
    fn recover(&self) -> Result<(), WriteError> {
        for entry in fs::read_dir(&self.folder).map_err(io_at(&self.folder))? {
            let entry = entry.map_err(io_at(&self.folder))?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if name.starts_with(INCOMING) {
                fs::remove_dir_all(&path).map_err(io_at(&path))?;
            } else if let Some(bundle) = name.strip_prefix(OUTGOING) {
                let bundle = self.folder.join(bundle);
                if bundle.symlink_metadata().is_ok() {
                    fs::remove_dir_all(&path).map_err(io_at(&path))?;
                } else {
                    fs::rename(&path, &bundle).map_err(io_at(&path))?;
                }
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), WriteError> {
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(io_at(&self.folder))
    }
}

fn remove_file(path: &Path) -> Result<(), WriteError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_at(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(folder: &Path) -> Vec<String> {
        let names =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name != ".lock").collect();
        names.sort();
        names
    }

    fn bundle(shelf: &Shelf, content: &str) -> TempDir {
        let incoming = shelf.incoming().unwrap();
        fs::write(incoming.path().join("file"), content).unwrap();
        incoming
    }

    #[test]
    fn a_bundle_replaces_its_predecessor() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(folder.path()).unwrap();
        for content in ["old", "new"] {
            let placed = shelf.place(bundle(&shelf, content), "name").unwrap();
            assert_eq!(fs::read_to_string(placed.join("file")).unwrap(), content);
        }
        assert_eq!(listing(folder.path()), ["name"]);
    }

    #[test]
    fn what_is_not_placed_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(folder.path()).unwrap();
        drop(bundle(&shelf, "half"));
        assert!(listing(folder.path()).is_empty());
    }

    #[test]
    fn leftovers_of_a_crash_are_cleared_and_bundles_come_back() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in
            [(".incoming-x", "half"), (".outgoing-lost", "old"), (".outgoing-kept", "old"), ("kept", "new")]
        {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("file"), content).unwrap();
        }
        drop(Shelf::open(folder.path()).unwrap());
        assert_eq!(listing(folder.path()), ["kept", "lost"]);
        assert_eq!(fs::read_to_string(folder.path().join("kept/file")).unwrap(), "new");
        assert_eq!(fs::read_to_string(folder.path().join("lost/file")).unwrap(), "old");
    }
}
