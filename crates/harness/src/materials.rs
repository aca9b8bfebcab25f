//! What a run stood on: commit, locks, weights, toolchain, machine.

mod diff;
mod machine;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use checkpoint_spec::SpecSet;
use proof_bundle::{Current, CurrentModel, Digest, Git, Head, MaterialFile, spec_digest};

pub use machine::{cpu, toolchain};

pub(crate) use diff::{Written, write as write_diff};
pub(crate) use machine::{build, operating_system};

use crate::digest::files_below;
use crate::model::{self, Model};
use crate::place::{BUNDLED_MODEL, Place};

/// Whether git knows of changes that no commit holds. Without git there is no commit to be clean of.
pub fn work_tree_is_dirty(root: &Path) -> bool {
    git(root, &["status", "--porcelain"]).is_none_or(|changes| !changes.is_empty())
}

/// The state that a bundle is held against. The model is at hand when it is the one that comes with the repository.
pub fn current(place: &Place, head: Option<&Head>) -> Result<Current> {
    let reference = place.reference();
    let family = head.map_or("gpt2", |head| head.family.as_str());
    let is_bundled = head.is_some_and(|head| head.model == BUNDLED_MODEL);
    let model = if is_bundled {
        let (weights, tokenizer) = files_of(&place.bundled_model())?;
        Some(CurrentModel { weights, tokenizer })
    } else {
        None
    };
    Ok(Current {
        git: repository_state(&place.root),
        cargo_lock: digest(&place.root.join("Cargo.lock"))?.0,
        python_lock: digest(&reference.join("requirements.lock"))?.0,
        reference_source: digest_of_all(&files_below(&reference.join("trialplate_reference"), &["py"])?)?,
        specs: spec_digest(&SpecSet::sources(family)?),
        model,
    })
}

/// The specs of the commit that a bundle names; none when they are those of this program, or the commit is not one that
/// the present one follows: what was merely fetched may be anybody's.
pub fn law_of(place: &Place, head: &Head) -> Option<Vec<(String, String)>> {
    let own = SpecSet::sources(&head.family).ok()?;
    let commit = &head.materials.git.as_ref()?.commit;
    if spec_digest(&own) == head.materials.specs || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    git(&place.root, &["merge-base", "--is-ancestor", commit, "HEAD"])?;
    let folder = format!("{commit}:crates/graph/families");
    let names = git(&place.root, &["ls-tree", "-r", "--name-only", &folder])?;
    let text = |(file, path): (&str, &str)| {
        Some((file.to_owned(), git_text(&place.root, &format!("{folder}/{path}"))?))
    };
    names.lines().filter_map(|path| Some((spec_file(&head.family, path)?, path))).map(text).collect()
}

/// The name by which specs are known of a file below the families' folder: that of the family without its folder, what
/// holds in every family as it is; none of another family's.
fn spec_file<'a>(family: &str, path: &'a str) -> Option<&'a str> {
    match path.split_once('/') {
        Some((folder, file)) if folder == family => Some(file),
        Some(("operations", _)) | None => Some(path),
        Some(_) => None,
    }
}

/// A file of a commit, byte for byte.
fn git_text(root: &Path, object: &str) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(["cat-file", "blob", object]).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).ok()).flatten()
}

/// Configuration and weights, and the tokenizer apart from them.
pub fn model_files(model: &Model) -> Result<(Vec<MaterialFile>, Vec<MaterialFile>)> {
    partition(&model.files()?)
}

/// The same, of a model that is not opened.
pub fn files_of(directory: &Path) -> Result<(Vec<MaterialFile>, Vec<MaterialFile>)> {
    partition(&model::files(directory)?)
}

fn partition(files: &[PathBuf]) -> Result<(Vec<MaterialFile>, Vec<MaterialFile>)> {
    let is_tokenizer = |file: &MaterialFile| {
        ["tokenizer", "vocab", "merges", "special_tokens"].iter().any(|part| file.name.starts_with(part))
    };
    let files: Vec<MaterialFile> = files.iter().map(|file| material(file)).collect::<Result<_>>()?;
    Ok(files.into_iter().partition(|file| !is_tokenizer(file)))
}

fn material(path: &Path) -> Result<MaterialFile> {
    let (sha256, bytes) = digest(path)?;
    Ok(MaterialFile { name: material_name(path), bytes, sha256 })
}

/// A file's name, without folders.
pub(crate) fn material_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

pub(crate) fn digest(path: &Path) -> Result<(Digest, u64)> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    Digest::of_reader(&mut file).with_context(|| path.display().to_string())
}

/// The digest of what `sha256sum` prints for the files, in their order.
pub(crate) fn digest_of_all(files: &[PathBuf]) -> Result<Digest> {
    let mut list = String::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        list += &format!("{}  {name}\n", digest(file)?.0);
    }
    Ok(Digest::of(list.as_bytes()))
}

pub(crate) fn repository_state(root: &Path) -> Option<Git> {
    Some(Git {
        commit: git(root, &["rev-parse", "HEAD"])?,
        tree: git(root, &["rev-parse", "HEAD^{tree}"])?,
        dirty: work_tree_is_dirty(root),
    })
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use proof_bundle::heads;

    use super::*;

    /// A commit of `root` whose only spec says `text`, on a branch of its own where `orphan` is one.
    fn commit(root: &Path, text: &str, orphan: Option<&str>) -> String {
        let by = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"];
        if let Some(branch) = orphan {
            git(root, &["checkout", "-q", "--orphan", branch]).unwrap();
        }
        let specs = root.join("crates/graph/families/gpt2");
        std::fs::create_dir_all(&specs).unwrap();
        std::fs::write(specs.join("00-foundation.toml"), text).unwrap();
        git(root, &["add", "--all"]).unwrap();
        git(root, &[&by[..], &["commit", "-q", "-m", text]].concat()).unwrap();
        git(root, &["rev-parse", "HEAD"]).unwrap()
    }

    #[test]
    fn a_commit_brings_its_law_only_where_the_present_one_follows_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        git(root, &["init", "-q", "-b", "main"]).unwrap();
        let ours = commit(root, "of ours", None);
        commit(root, "of today", None);
        let foreign = commit(root, "of somebody else", Some("foreign"));
        git(root, &["checkout", "-q", "main"]).unwrap();

        let golden = heads::read(&Place::find().unwrap().bundles().join("golden")).unwrap();
        let place = Place { root: root.to_owned(), ..Place::find().unwrap() };
        let law = |commit: &str| {
            let mut head = golden.clone();
            head.materials.specs = Digest::of(b"other specs");
            head.materials.git.as_mut().unwrap().commit = commit.to_owned();
            law_of(&place, &head)
        };
        assert_eq!(law(&ours), Some(vec![("00-foundation.toml".to_owned(), "of ours".to_owned())]));
        assert_eq!(law(&foreign), None);
    }
}
