//! The folder `.venv`: who may touch it, and how it begins.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::step::step;
use crate::failure::Failure;
use crate::python::Interpreter;
use crate::repository::Repository;

/// Held while the environment is changed; also says that the folder is ours to change.
const LOCK: &str = "setup.lock";

/// Waits until nobody else changes the environment. Released when the file is dropped, or the process ends.
pub(super) fn lock(repository: &Repository) -> Result<File, Failure> {
    let folder = repository.environment();
    refuse_foreign(&folder)?;
    fs::create_dir_all(&folder).map_err(|error| cannot_write(&folder, &error))?;
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(|error| cannot_write(&path, &error))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => eprintln!("Another set-up of .venv is at work: waiting for it …"),
        Err(TryLockError::Error(error)) => return Err(cannot_write(&path, &error)),
    }
    file.lock().map_err(|error| cannot_write(&path, &error))?;
    Ok(file)
}

/// Empties the folder, the lock apart.
pub(super) fn clear(repository: &Repository) -> Result<(), Failure> {
    let folder = repository.environment();
    let emptied = fs::read_dir(&folder).and_then(|entries| {
        for entry in entries {
            let entry = entry?;
            if entry.file_name() != LOCK {
                remove(&entry)?;
            }
        }
        Ok(())
    });
    emptied.map_err(|error| cannot_write(&folder, &error))
}

/// A virtual environment with nothing but pip.
pub(super) fn create(repository: &Repository, interpreter: &Interpreter) -> Result<(), Failure> {
    let mut python = Command::new(&interpreter.executable);
    python.current_dir(repository.root()).args(["-I", "-m", "venv"]).arg(repository.environment());
    step("Creating the virtual environment", python)
}

/// A folder with something in it that no set-up has begun belongs to somebody else.
fn refuse_foreign(folder: &Path) -> Result<(), Failure> {
    let foreign =
        !folder.join(LOCK).exists() && fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if foreign {
        return Err(Failure::new(format!("{} was not made by `cargo xtask setup`", folder.display()))
            .expected("a folder that may be emptied and filled with the locked packages")
            .advice("move it away, or delete it"));
    }
    Ok(())
}

fn remove(entry: &fs::DirEntry) -> io::Result<()> {
    if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot write {}: {error}", path.display()))
        .advice("see that the repository is writable and its disk is not full")
}

/// Where the environment keeps its packages.
pub(super) fn site_packages(repository: &Repository, version: &str) -> PathBuf {
    let minor = version.rsplit_once('.').map_or(version, |(minor, _)| minor);
    repository.environment().join(format!("lib/python{minor}/site-packages"))
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;

    #[test]
    fn a_folder_of_the_users_own_is_not_touched() {
        let place = tempdir().unwrap();
        let repository = Repository::at(place.path());
        fs::create_dir(repository.environment()).unwrap();
        fs::write(repository.environment().join("pyvenv.cfg"), "home = elsewhere").unwrap();
        let failure = lock(&repository).unwrap_err().to_string();
        assert!(failure.contains("was not made by `cargo xtask setup`"), "{failure}");
        assert!(repository.environment().join("pyvenv.cfg").exists());
    }

    #[test]
    fn what_a_set_up_began_may_be_cleared_while_the_lock_is_held() {
        let place = tempdir().unwrap();
        let repository = Repository::at(place.path());
        let _held = lock(&repository).unwrap();
        fs::create_dir(repository.environment().join("lib")).unwrap();
        fs::write(repository.environment().join("pyvenv.cfg"), "").unwrap();
        clear(&repository).unwrap();
        let left: Vec<_> =
            fs::read_dir(repository.environment()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, [LOCK]);
        assert!(matches!(
            File::open(repository.environment().join(LOCK)).unwrap().try_lock(),
            Err(TryLockError::WouldBlock)
        ));
    }

    #[test]
    fn packages_lie_under_the_minor_version() {
        let place = site_packages(&Repository::at(Path::new("r")), "3.11.7");
        assert_eq!(place, Path::new("r/.venv/lib/python3.11/site-packages"));
    }
}
