//! Models of a Hugging Face hub: downloaded once, checked, and used like any directory from then on.
//!
//! ```text
//! CACHE/.downloads/                the hf-hub crate's own; files may be there in part
//! CACHE/OWNER--NAME/COMMIT/        a model: it appears when all its files are there and checked
//! CACHE/OWNER--NAME/refs/REVISION  the commit that a branch or tag was at
//! ```

mod problem;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo, Metadata};
use hf_hub::{Cache, Repo, RepoType};
use proof_bundle::Digest;
use serde::Deserialize;

use harness::events::{Part, Progress};
use harness::exit::usage;
use harness::interrupt::Interrupt;
use problem::Problem;

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// How often a transfer that breaks off is taken up in one run.
const ATTEMPTS: usize = 3;

/// A hub, and where its models are kept.
pub(super) struct Hub {
    endpoint: String,
    api: Api,
    downloads: Cache,
    cache: PathBuf,
    has_token: bool,
    offline: bool,
}

/// What is asked for.
struct Wanted {
    repository: String,
    revision: String,
}

/// One file at one commit, as the hub announces it.
struct Remote {
    name: String,
    metadata: Metadata,
}

/// `NAME` or `OWNER/NAME`, of the letters that a hub allows.
pub(super) fn is_repository(text: &str) -> bool {
    text.split('/').count() <= 2 && text.split('/').all(is_plain)
}

/// A branch, a tag or a commit.
pub(super) fn is_revision(text: &str) -> bool {
    text.split('/').all(is_plain)
}

/// Safe as the name of a file and as a part of an address.
fn is_plain(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed) && !text.starts_with('.') && !text.contains("..")
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Hub {
    /// The hub of `HF_ENDPOINT`, read with the token of `HF_TOKEN` or of `$HF_HOME/token`; with `HF_HUB_OFFLINE` it is
    /// not asked.
    pub(super) fn from_environment(cache: PathBuf) -> Result<Self> {
        let variable = |name| env::var(name).ok().filter(|value| !value.trim().is_empty());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let endpoint = endpoint.trim().trim_end_matches('/').to_owned();
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            return Err(usage(format!(
                "HF_ENDPOINT is {endpoint:?}, expected an address like {DEFAULT_ENDPOINT}"
            )));
        }
        let token = variable("HF_TOKEN").or_else(stored_token).map(|token| token.trim().to_owned());
        let has_token = token.is_some();
        let downloads = Cache::new(cache.join(".downloads"));
        let api = ApiBuilder::from_cache(downloads.clone())
            .with_endpoint(endpoint.clone())
            .with_token(token)
            .with_progress(false)
            .build()
            .context("the client of the hub cannot be made")?;
        let offline = variable("HF_HUB_OFFLINE").is_some_and(|value| value != "0");
        Ok(Self { endpoint, api, downloads, cache, has_token, offline })
    }

    /// The directory of the model, downloaded when it is not there.
    pub(super) fn download(
        self,
        repository: &str,
        revision: Option<&str>,
        interrupt: &Interrupt,
        progress: &Progress,
    ) -> Result<PathBuf> {
        let revision = revision.unwrap_or("main").to_owned();
        let wanted = Wanted { repository: repository.to_owned(), revision };
        // A commit is what it is; a branch may have moved.
        if let Some(directory) = self.complete(&wanted, &wanted.revision) {
            return Ok(directory);
        }
        let progress = progress.clone();
        interrupt.watch(move || self.fetch(&wanted, &progress))?
    }

    /// The model at a commit, if it is there as a whole.
    fn complete(&self, wanted: &Wanted, commit: &str) -> Option<PathBuf> {
        Some(self.shelf(wanted).join(commit)).filter(|directory| is_commit(commit) && directory.is_dir())
    }

    fn shelf(&self, wanted: &Wanted) -> PathBuf {
        self.cache.join(wanted.repository.replace('/', "--"))
    }

    fn reference(&self, wanted: &Wanted) -> PathBuf {
        self.shelf(wanted).join("refs").join(wanted.revision.replace('/', "--"))
    }

    fn fetch(&self, wanted: &Wanted, progress: &Progress) -> Result<PathBuf> {
        let commit = match self.commit(wanted) {
            Ok(commit) => commit,
            Err(problem) => return self.remembered(wanted, &problem, progress),
        };
        let directory = match self.complete(wanted, &commit) {
            Some(directory) => directory,
            None => self.assemble(wanted, &commit, progress)?,
        };
        let reference = self.reference(wanted);
        write_whole(&reference, &commit).with_context(|| reference.display().to_string())?;
        Ok(directory)
    }

    /// The commit that the revision is at. Every model has a `config.json`.
    fn commit(&self, wanted: &Wanted) -> Result<String, Problem> {
        if self.offline {
            return Err(Problem::Unreachable("HF_HUB_OFFLINE is set".to_owned()));
        }
        let repository = self.api.repo(wanted.at(&wanted.revision));
        let metadata = self.api.metadata(&repository.url("config.json"))?;
        match metadata.commit_hash() {
            commit if is_commit(commit) => Ok(commit.to_owned()),
            other => Err(Problem::Strange(format!("{other:?} is no commit"))),
        }
    }

    /// What the revision was the last time, when the hub cannot be asked.
    fn remembered(&self, wanted: &Wanted, problem: &Problem, progress: &Progress) -> Result<PathBuf> {
        let commit = fs::read_to_string(self.reference(wanted)).unwrap_or_default();
        match (problem, self.complete(wanted, &commit)) {
            (Problem::Unreachable(_) | Problem::Status(_), Some(directory)) => {
                progress.note(&format!("{problem}: {wanted} as it was at {commit} is used"));
                Ok(directory)
            }
            _ => Err(self.tell(problem, wanted, "config.json")),
        }
    }

    /// Downloads all files and puts them in place together.
    fn assemble(&self, wanted: &Wanted, commit: &str, progress: &Progress) -> Result<PathBuf> {
        let shelf = self.shelf(wanted);
        fs::create_dir_all(&shelf).with_context(|| shelf.display().to_string())?;
        let unfinished = tempfile::tempdir_in(&shelf).with_context(|| shelf.display().to_string())?;
        let fetch = |name: &str| -> Result<Option<PathBuf>> {
            let place = unfinished.path().join(name);
            match self.file(wanted.at(commit), name, &place, progress) {
                Ok(()) => Ok(Some(place)),
                Err(Problem::Missing) => Ok(None),
                Err(problem) => Err(self.tell(&problem, wanted, name)),
            }
        };
        let need = |name: &str| fetch(name)?.ok_or_else(|| self.tell(&Problem::Missing, wanted, name));
        need("config.json")?;
        fetch("tokenizer.json")?;
        if fetch(WEIGHTS)?.is_none() {
            let index = fetch(INDEX)?.ok_or_else(|| self.no_weights(wanted))?;
            for shard in shards(&index, wanted)? {
                need(&shard)?;
            }
        }
        let directory = shelf.join(commit);
        match fs::rename(unfinished.path(), &directory) {
            // Another run may have been first; its files are the same.
            Err(error) if !directory.is_dir() => Err(error).with_context(|| directory.display().to_string()),
            _ => Ok(directory),
        }
    }

    /// Downloads a file unless it is there, checks that it is the one announced, and links it to its place.
    fn file(&self, repo: Repo, name: &str, place: &Path, progress: &Progress) -> Result<(), Problem> {
        let downloads = self.downloads.repo(repo.clone());
        let repository = self.api.repo(repo);
        let metadata = self.api.metadata(&repository.url(name))?;
        let etag = metadata.etag();
        if !is_plain(etag.strip_prefix("W/").unwrap_or(etag)) {
            return Err(Problem::Strange(format!("{etag:?} is no ETag of a file")));
        }
        let blob = downloads.blob_path(etag);
        let pointer = downloads.pointer_path(metadata.commit_hash()).join(name);
        let remote = Remote { name: name.to_owned(), metadata };
        if !blob.is_file() {
            remote.download(&repository, progress)?;
        }
        if let Err(problem) = remote.check(&blob) {
            // The next run starts anew. What cannot be removed will be found wanting again.
            let _ = fs::remove_file(pointer);
            let _ = fs::remove_file(blob);
            return Err(problem);
        }
        Ok(fs::hard_link(blob, place)?)
    }

    fn no_weights(&self, wanted: &Wanted) -> anyhow::Error {
        usage(format!(
            "{wanted}: {} has neither {WEIGHTS} nor {INDEX} there; look for a revision with safetensors, or convert \
             the model with `save_pretrained(…, safe_serialization=True)` and give its directory",
            self.endpoint
        ))
    }
}

impl Wanted {
    fn at(&self, revision: &str) -> Repo {
        Repo::with_revision(self.repository.clone(), RepoType::Model, revision.to_owned())
    }
}

impl Remote {
    /// Downloads it with the hf-hub crate, which goes on where an earlier transfer broke off.
    fn download(&self, repository: &ApiRepo, progress: &Progress) -> Result<(), Problem> {
        let part = progress.download(self.name.clone(), self.metadata.size() as u64);
        let attempt = || repository.download_with_progress(&self.name, Bytes(&part));
        let mut done = attempt();
        for _ in 1..ATTEMPTS {
            if matches!(done, Err(ApiError::IoError(_))) {
                done = attempt();
            }
        }
        part.finish(if done.is_ok() { "downloaded" } else { "broke off" });
        done?;
        Ok(())
    }

    /// Whether a file has the size that was announced and, for large ones, the SHA-256 that its ETag is.
    fn check(&self, path: &Path) -> Result<(), Problem> {
        let differs = |found: String, expected: String| {
            Err(Problem::Broken(format!(
                "{found} arrived, {expected} was announced; what arrived is removed"
            )))
        };
        let (sha256, size) = Digest::of_reader(&mut File::open(path)?)?;
        let (found, etag) = (sha256.to_string(), self.metadata.etag());
        if size != self.metadata.size() as u64 {
            return differs(format!("{size} bytes"), format!("{} bytes", self.metadata.size()));
        }
        if etag.len() == found.len() && etag != found {
            return differs(format!("SHA-256 {found}"), etag.to_owned());
        }
        Ok(())
    }
}

/// Progress as the hf-hub crate tells of it.
struct Bytes<'a>(&'a Part);

impl hf_hub::api::Progress for Bytes<'_> {
    fn init(&mut self, _: usize, _: &str) {
        self.0.at(0);
    }

    fn update(&mut self, bytes: usize) {
        self.0.steps(bytes);
    }

    fn finish(&mut self) {}
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "hf:{}@{}", self.repository, self.revision)
    }
}

/// The files that an index names.
fn shards(index: &Path, wanted: &Wanted) -> Result<BTreeSet<String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let problem = |what: String| usage(format!("{wanted}: {INDEX}: {what}"));
    let text = fs::read(index).with_context(|| index.display().to_string())?;
    let Index { weight_map } = serde_json::from_slice(&text).map_err(|error| problem(error.to_string()))?;
    let shards: BTreeSet<String> = weight_map.into_values().collect();
    match shards.iter().find(|shard| !is_plain(shard)) {
        Some(shard) => Err(problem(format!("{shard:?} is not the name of a file beside it"))),
        None => Ok(shards),
    }
}

/// The token that `hf auth login` leaves.
fn stored_token() -> Option<String> {
    let home = match env::var_os("HF_HOME") {
        Some(home) => PathBuf::from(home),
        None => PathBuf::from(env::var_os("HOME")?).join(".cache/huggingface"),
    };
    fs::read_to_string(home.join("token")).ok().filter(|token| !token.trim().is_empty())
}

/// Writes a small file so that it is there whole or not at all.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}
