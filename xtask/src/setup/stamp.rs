//! What the environment was made of, and whether that still holds.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::environment;
use crate::failure::Failure;
use crate::process;
use crate::python::Interpreter;
use crate::repository::Repository;

/// Raised whenever environments made by older code must be made again.
const FORMAT: u32 = 1;
const STAMP: &str = "setup.json";

/// What a finished environment was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stamp {
    format: u32,
    /// An environment does not work anywhere else.
    location: PathBuf,
    /// The lock files, word for word.
    locks: [String; 2],
    /// The interpreter that the environment was made with.
    pub(crate) interpreter: Interpreter,
    /// Which build of PyTorch was asked for.
    pub(super) torch_backend: Option<String>,
    /// The installed packages' folders of metadata.
    pub(crate) packages: Vec<String>,
}

/// What the environment has to be now. What the user leaves open, any environment fulfils.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The lock files, word for word.
    pub(crate) locks: [String; 2],
    /// Set when the user names one.
    pub(crate) interpreter: Option<Interpreter>,
    /// Set when the user names one.
    pub(crate) torch_backend: Option<String>,
}

/// How an environment stands to what is wanted.
#[derive(Debug)]
pub(crate) enum State {
    /// As wanted.
    Current(Stamp),
    /// Sound, and other packages are wanted.
    Outdated { stamp: Stamp, why: String },
    /// To be made from scratch.
    Unfit { why: String },
}

/// Looks at the environment without changing it.
pub(crate) fn inspect(repository: &Repository, wanted: &Wanted) -> State {
    let stamp = match read(repository) {
        Ok(stamp) => stamp,
        Err(why) => return State::Unfit { why },
    };
    if let Some(why) = unfit(&stamp, repository, wanted) {
        return State::Unfit { why };
    }
    match outdated(&stamp, repository, wanted) {
        Some(why) => State::Outdated { stamp, why },
        None => State::Current(stamp),
    }
}

/// From now on the environment does not count as finished.
pub(super) fn remove(repository: &Repository) -> Result<(), Failure> {
    let path = repository.environment().join(STAMP);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(cannot(&path, &error)),
        _ => Ok(()),
    }
}

impl Stamp {
    /// Of the environment as it is now.
    pub(super) fn of(
        repository: &Repository,
        wanted: &Wanted,
        interpreter: &Interpreter,
    ) -> Result<Self, Failure> {
        let folder = environment::site_packages(repository, &interpreter.version);
        Ok(Self {
            format: FORMAT,
            location: repository.environment(),
            locks: wanted.locks.clone(),
            interpreter: interpreter.clone(),
            torch_backend: wanted.torch_backend.clone(),
            packages: installed(&folder).map_err(|error| cannot(&folder, &error))?,
        })
    }

    /// Whole or not at all.
    pub(super) fn write(&self, repository: &Repository) -> Result<(), Failure> {
        let path = repository.environment().join(STAMP);
        let draft = path.with_extension("draft");
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Failure::new(format!("cannot describe the environment: {error}")))?;
        fs::write(&draft, text)
            .and_then(|()| fs::rename(&draft, &path))
            .map_err(|error| cannot(&path, &error))
    }
}

fn read(repository: &Repository) -> Result<Stamp, String> {
    let text = fs::read_to_string(repository.environment().join(STAMP))
        .map_err(|_| "there is no finished one yet".to_owned())?;
    match serde_json::from_str::<Stamp>(&text) {
        Ok(stamp) if stamp.format == FORMAT => Ok(stamp),
        _ => Err("it was made by another version of this command".into()),
    }
}

fn unfit(stamp: &Stamp, repository: &Repository, wanted: &Wanted) -> Option<String> {
    if stamp.location != repository.environment() {
        return Some(format!("it was made for {}", stamp.location.display()));
    }
    let Interpreter { executable, version: made_with, library } = &stamp.interpreter;
    if wanted.interpreter.as_ref().is_some_and(|chosen| *chosen != stamp.interpreter) {
        return Some(format!("it was made with {}", executable.display()));
    }
    if !library.is_file() {
        return Some(format!("its library {} is not there any more", library.display()));
    }
    let mut ask = repository.python_command();
    let asked = ask.args(["-I", "-S", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"]);
    match process::output(asked) {
        Ok(version) if version.trim() == made_with => None,
        Ok(version) => Some(format!("its interpreter was {made_with} and is {} now", version.trim())),
        Err(reason) => Some(format!("its interpreter does not run any more ({reason})")),
    }
}

fn outdated(stamp: &Stamp, repository: &Repository, wanted: &Wanted) -> Option<String> {
    if stamp.locks != wanted.locks {
        return Some("the lock file has changed".into());
    }
    if wanted.torch_backend.is_some() && wanted.torch_backend != stamp.torch_backend {
        return Some("another build of PyTorch is asked for".into());
    }
    let folder = environment::site_packages(repository, &stamp.interpreter.version);
    let gone = stamp.packages.iter().find(|package| !folder.join(package).is_dir())?;
    Some(format!("{} is not there any more", gone.trim_end_matches(METADATA)))
}

const METADATA: &str = ".dist-info";

fn installed(folder: &Path) -> io::Result<Vec<String>> {
    let names: io::Result<Vec<OsString>> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect();
    let mut packages: Vec<String> = names?
        .into_iter()
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.ends_with(METADATA))
        .collect();
    packages.sort();
    Ok(packages)
}

fn cannot(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("{}: {error}", path.display())).advice(
        "see that the repository is writable and its disk is not full, then run `cargo xtask setup --fresh`",
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use tempfile::{TempDir, tempdir};

    use super::*;

    fn wanted() -> Wanted {
        Wanted { locks: ["a".into(), "b".into()], interpreter: None, torch_backend: None }
    }

    /// An environment whose interpreter is a script that prints its version.
    fn environment() -> (TempDir, Repository) {
        let place = tempdir().unwrap();
        let repository = Repository::at(place.path());
        fs::create_dir_all(repository.environment().join("bin")).unwrap();
        fs::create_dir_all(repository.environment().join("lib/python3.11/site-packages/torch-2.0.dist-info"))
            .unwrap();
        fs::write(repository.python(), "#!/bin/sh\necho 3.11.7\n").unwrap();
        fs::set_permissions(repository.python(), fs::Permissions::from_mode(0o755)).unwrap();
        Stamp::of(&repository, &wanted(), &interpreter(&repository)).unwrap().write(&repository).unwrap();
        (place, repository)
    }

    fn interpreter(repository: &Repository) -> Interpreter {
        Interpreter { executable: "python3".into(), version: "3.11.7".into(), library: repository.python() }
    }

    fn why(repository: &Repository, wanted: &Wanted) -> (&'static str, String) {
        match inspect(repository, wanted) {
            State::Current(_) => ("current", String::new()),
            State::Outdated { why, .. } => ("outdated", why),
            State::Unfit { why } => ("unfit", why),
        }
    }

    #[test]
    fn unchanged_is_current() {
        let (_place, repository) = environment();
        assert_eq!(why(&repository, &wanted()).0, "current");
    }

    #[test]
    fn no_stamp_means_from_scratch() {
        let (_place, repository) = environment();
        remove(&repository).unwrap();
        remove(&repository).unwrap();
        assert_eq!(why(&repository, &wanted()).0, "unfit");
    }

    #[test]
    fn half_a_stamp_or_an_older_one_means_from_scratch() {
        let (_place, repository) = environment();
        let path = repository.environment().join(STAMP);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert_eq!(why(&repository, &wanted()).0, "unfit");
        fs::write(&path, text.replace("\"format\": 1", "\"format\": 0")).unwrap();
        assert_eq!(why(&repository, &wanted()).0, "unfit");
    }

    #[test]
    fn a_changed_lock_or_a_lost_package_is_mended_in_place() {
        let (_place, repository) = environment();
        assert_eq!(why(&repository, &Wanted { locks: ["a".into(), "c".into()], ..wanted() }).0, "outdated");
        fs::remove_dir(repository.environment().join("lib/python3.11/site-packages/torch-2.0.dist-info"))
            .unwrap();
        assert_eq!(why(&repository, &wanted()), ("outdated", "torch-2.0 is not there any more".into()));
    }

    #[test]
    fn the_build_of_pytorch_counts_only_when_it_is_named() {
        let (_place, repository) = environment();
        let cpu = Wanted { torch_backend: Some("cpu".into()), ..wanted() };
        assert_eq!(why(&repository, &cpu).0, "outdated");
    }

    #[test]
    fn another_interpreter_means_from_scratch() {
        let (_place, repository) = environment();
        let other = Interpreter { executable: "python3.11".into(), ..interpreter(&repository) };
        assert_eq!(why(&repository, &Wanted { interpreter: Some(other), ..wanted() }).0, "unfit");
        fs::write(repository.python(), "#!/bin/sh\necho 3.11.8\n").unwrap();
        assert_eq!(why(&repository, &wanted()).1, "its interpreter was 3.11.7 and is 3.11.8 now");
        fs::write(repository.python(), "#!/bin/sh\nexit 127\n").unwrap();
        assert!(why(&repository, &wanted()).1.contains("does not run any more"));
        fs::remove_file(repository.python()).unwrap();
        assert!(why(&repository, &wanted()).1.contains("is not there any more"));
    }

    #[test]
    fn an_environment_that_was_copied_elsewhere_is_unfit() {
        let (place, repository) = environment();
        let copy = tempdir().unwrap();
        symlink(place.path().join(".venv"), copy.path().join(".venv")).unwrap();
        let (state, reason) = why(&Repository::at(copy.path()), &wanted());
        assert_eq!(
            (state, reason),
            ("unfit", format!("it was made for {}", repository.environment().display()))
        );
    }
}
