//! What a work tree has that its commit has not.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use proof_bundle::{Diff, Digest, Known, LARGEST_DIFF};

/// Bytes of changed files that a diff is made of; beyond that, making it would take longer than the run.
const LARGEST_CHANGE: u64 = 256 << 20;

/// A diff, and the file that it was written to.
pub(crate) struct Written {
    pub(crate) diff: Known<Diff>,
    /// Where it is, where it is to come with the bundle.
    pub(crate) file: Option<PathBuf>,
}

/// Writes into `folder` what `git apply --index` makes the work tree at `root` from, new files included. Nothing in the
/// repository changes: index and objects are in the folder, too.
pub(crate) fn write(root: &Path, is_dirty: bool, folder: &Path) -> Written {
    let unknown = |reason: String| Written { diff: Known::Unknown(reason), file: None };
    if !is_dirty {
        return unknown("the work tree is clean".to_owned());
    }
    match written(root, folder) {
        Ok((file, diff)) => Written { file: Some(file).filter(|_| diff.in_bundle), diff: Known::Value(diff) },
        Err(error) => unknown(format!("{error:#}")),
    }
}

fn written(root: &Path, folder: &Path) -> Result<(PathBuf, Diff)> {
    let bytes = changed_bytes(root)?;
    if bytes > LARGEST_CHANGE {
        bail!("the changed files have {bytes} bytes, at most {LARGEST_CHANGE} are made a diff of");
    }
    let objects = output(git(root).args(["rev-parse", "--path-format=absolute", "--git-path", "objects"]))?;
    let objects = String::from_utf8(objects)?;
    let own = tempfile::Builder::new().prefix("diff-").tempdir_in(folder)?;
    let apart = || {
        let mut git = git(root);
        git.env("GIT_INDEX_FILE", own.path().join("index"))
            .env("GIT_OBJECT_DIRECTORY", own.path())
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", objects.trim());
        git
    };
    output(apart().args(["read-tree", "HEAD"]))?;
    output(apart().args(["add", "--all", ":/"]))?;
    let path = folder.join("materials.diff");
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    let mut diff = apart();
    diff.args(["-c", "core.quotePath=true", "-c", "diff.algorithm=myers", "diff", "--cached", "--binary"]);
    diff.args(["--full-index", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames"]);
    diff.args(["--src-prefix=a/", "--dst-prefix=b/", "--no-relative", "HEAD"]).stdout(file);
    run(&mut diff)?;
    let (sha256, bytes) = Digest::of_reader(&mut File::open(&path)?)?;
    Ok((path, Diff { bytes, sha256, in_bundle: bytes <= LARGEST_DIFF }))
}

/// Bytes of the files that are new or changed.
fn changed_bytes(root: &Path) -> Result<u64> {
    let top = String::from_utf8(output(git(root).args(["rev-parse", "--show-toplevel"]))?)?;
    let top = Path::new(top.trim_end_matches('\n'));
    let listed = output(git(top).args(["ls-files", "-z", "--others", "--modified", "--exclude-standard"]))?;
    let names = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let size = |name: &[u8]| {
        let path = top.join(String::from_utf8_lossy(name).as_ref());
        path.symlink_metadata().map_or(0, |metadata| metadata.len())
    };
    Ok(names.map(size).fold(0, u64::saturating_add))
}

fn git(root: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(root).stdin(Stdio::null());
    git
}

fn output(git: &mut Command) -> Result<Vec<u8>> {
    run(git.stdout(Stdio::piped()))
}

fn run(git: &mut Command) -> Result<Vec<u8>> {
    let output = git.stderr(Stdio::piped()).spawn().and_then(std::process::Child::wait_with_output)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("git: {}, {}", output.status, said.lines().next().unwrap_or("without a word"));
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A repository with one commit, and a folder beside it.
    fn repository() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let (root, folder) = (place.path().join("repository"), place.path().join("work"));
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(&folder).unwrap();
        fs::write(root.join("kept"), "kept\n").unwrap();
        fs::write(root.join("changed"), "before\n").unwrap();
        fs::write(root.join("removed"), "removed\n").unwrap();
        fs::write(root.join(".gitignore"), "ignored\n").unwrap();
        output(git(&root).args(["init", "-q"])).unwrap();
        output(git(&root).args(["add", "--all"])).unwrap();
        let by = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"];
        output(git(&root).args(by).args(["commit", "-q", "-m", "first"])).unwrap();
        (place, root, folder)
    }

    #[test]
    fn a_diff_makes_the_work_tree_from_the_commit_and_leaves_the_repository_alone() {
        let (place, root, folder) = repository();
        fs::write(root.join("changed"), "after\n").unwrap();
        fs::remove_file(root.join("removed")).unwrap();
        fs::write(root.join("new"), [0, 159, 146, 150]).unwrap();
        fs::write(root.join("ignored"), "").unwrap();
        let status = || output(git(&root).args(["status", "--porcelain"])).unwrap();
        let before = status();
        let written = write(&root, true, &folder);
        assert_eq!(status(), before);
        let file = written.file.unwrap();
        let bytes = fs::read(&file).unwrap();
        let diff = Diff { bytes: bytes.len() as u64, sha256: Digest::of(&bytes), in_bundle: true };
        assert_eq!(written.diff, Known::Value(diff));

        let clone = place.path().join("clone");
        output(Command::new("git").args(["clone", "-q"]).arg(&root).arg(&clone)).unwrap();
        output(git(&clone).args(["apply", "--index"]).arg(&file)).unwrap();
        assert_eq!(fs::read(clone.join("changed")).unwrap(), b"after\n");
        assert_eq!(fs::read(clone.join("new")).unwrap(), [0, 159, 146, 150]);
        assert!(!clone.join("removed").exists() && !clone.join("ignored").exists());
    }

    #[test]
    fn a_diff_that_is_too_large_is_left_out_and_has_its_digest() {
        let (_place, root, folder) = repository();
        // Beyond what compression can make small: digests of numbers.
        let noise = (0..400_000u32).map(|number| Digest::of(&number.to_le_bytes()).to_string());
        fs::write(root.join("new"), noise.collect::<Vec<_>>().join("\n")).unwrap();
        let written = write(&root, true, &folder);
        let Known::Value(diff) = written.diff else { panic!("{:?}", written.diff) };
        assert!(diff.bytes > LARGEST_DIFF && !diff.in_bundle && written.file.is_none());
    }

    #[test]
    fn where_there_is_no_diff_there_is_a_reason() {
        let (place, root, folder) = repository();
        assert_eq!(write(&root, false, &folder).diff, Known::Unknown("the work tree is clean".to_owned()));
        let nowhere = place.path().join("nowhere");
        assert!(
            matches!(write(&nowhere, true, &folder).diff, Known::Unknown(reason) if reason.contains("git"))
        );
    }
}
