//! The bag: bounds first, then manifests, then digests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};

use super::{Problem, Room, VerifyError, io_at, sound_if_none};
use crate::bag::{self, DECLARATION, TAG_FILES};
use crate::layout::TAG_MANIFEST;
use crate::layout::is_path;
use crate::name::is_bundle_name;
use crate::{Digest, FORMAT, FormatVersion};

/// Files in a bundle.
const MOST_FILES: usize = 100_000;
/// Folders within folders: `data/captures/<implementation>`.
const DEEPEST: usize = 3;
/// Bytes of a tag file.
const LARGEST_TAG_FILE: u64 = 64 << 20;
/// Bytes of the results and of the numbers of a case, ten times those of the largest GPT-2; no other file but a capture is
/// larger.
pub(super) const LARGEST_RECORD: u64 = 1 << 28;

/// A file of the payload.
#[derive(Clone, Copy)]
pub(super) struct PayloadFile {
    /// What is in it.
    pub(super) sha256: Digest,
    /// Its size.
    pub(super) bytes: u64,
}

/// A bag whose manifests are sound: they list what is there.
pub(super) struct SoundBag {
    /// Tag files by path, but for the tag manifest.
    tags: BTreeMap<String, Digest>,
    /// Payload by path, `data/…`.
    pub(super) payload: BTreeMap<String, PayloadFile>,
    /// Bytes of the payload.
    pub(super) octets: u64,
    /// The digest of the tag manifest.
    pub(super) root: Digest,
    /// The name that it was given.
    pub(super) name: String,
    /// The version of the format, which is read here.
    pub(super) format: FormatVersion,
}

impl SoundBag {
    /// The digest of the payload's manifest.
    pub(super) fn payload_manifest(&self) -> Option<Digest> {
        self.tags.get(TAG_FILES[2]).copied()
    }
}

/// All files with their sizes. Nothing is opened; links, devices and odd names are problems.
pub(super) fn walk(directory: &Path) -> Room<BTreeMap<String, u64>> {
    let (mut files, mut problems) = (BTreeMap::new(), Vec::new());
    let mut folders = vec![(directory.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        let mut empty = true;
        for entry in fs::read_dir(&folder).map_err(io_at(&folder))? {
            let entry = entry.map_err(io_at(&folder))?;
            empty = false;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let metadata = entry.path().symlink_metadata().map_err(io_at(&entry.path()))?;
            if !is_path(&path) {
                problems.push(Problem::at(path, "no such name may be in a bundle"));
            } else if metadata.is_dir() && depth < DEEPEST {
                folders.push((entry.path(), path + "/", depth + 1));
            } else if metadata.is_file() {
                files.insert(path, metadata.len());
            } else {
                problems.push(Problem::at(path, "neither a file nor a folder that belongs here"));
            }
            if files.len() > MOST_FILES {
                problems.push(Problem::at("", format!("more than {MOST_FILES} files")));
                return Ok(Err(problems));
            }
        }
        if empty && !prefix.is_empty() {
            problems.push(Problem::at(prefix, "an empty folder"));
        }
    }
    let mut folded = BTreeSet::new();
    for path in files.keys() {
        if !folded.insert(path.to_ascii_lowercase()) {
            problems.push(Problem::at(path, "differs from another name in case only"));
        }
    }
    sound_if_none(problems, files)
}

/// Tag files and both manifests; what is in the files is left to [`digests`].
pub(super) fn manifests(directory: &Path, files: &BTreeMap<String, u64>) -> Room<SoundBag> {
    let mut tags = BTreeMap::new();
    for file in TAG_FILES.into_iter().chain([TAG_MANIFEST]) {
        match tag_file(directory, files, file)? {
            Ok(text) => tags.insert(file, text),
            Err(problem) => return Ok(Err(vec![problem])),
        };
    }
    // First of all: what another version means by the rest is not known here.
    let format = match format(&tags["bag-info.txt"]) {
        Ok(format) => format,
        Err(what) => return Ok(Err(vec![Problem::at("bag-info.txt", what)])),
    };
    let (listed, payload) =
        match (parse(TAG_MANIFEST, &tags[TAG_MANIFEST]), parse(TAG_FILES[2], &tags[TAG_FILES[2]])) {
            (Ok(listed), Ok(payload)) => (listed, payload),
            (listed, payload) => {
                return Ok(Err([listed.err(), payload.err()].into_iter().flatten().collect()));
            }
        };
    let mut problems = Vec::new();
    if tags["bagit.txt"] != DECLARATION {
        problems.push(Problem::at("bagit.txt", "not the declaration of a BagIt 1.0 bag in UTF-8"));
    }
    let there = |payload: bool| files.keys().filter(move |path| path.starts_with("data/") == payload);
    let tag_files = there(false).filter(|path| *path != TAG_MANIFEST);
    same_set(TAG_MANIFEST, listed.keys(), tag_files, &mut problems);
    let unknown = listed.keys().filter(|path| !TAG_FILES.contains(&path.as_str()));
    problems.extend(unknown.map(|path| Problem::at(path, "no tag file of a bundle")));
    same_set(TAG_FILES[2], payload.keys(), there(true), &mut problems);
    // Before its digest is taken: that of a file of no end takes no end of time.
    let too_large = |path: &&String| !path.starts_with("data/captures/") && files[*path] > LARGEST_RECORD;
    let too_many = |path: &String| Problem::at(path, format!("{} bytes are too many", files[path]));
    problems.extend(there(true).filter(too_large).map(too_many));
    let octets: u64 = there(true).map(|path| files[path]).sum();
    let oxum = format!("{octets}.{}", payload.len());
    let name = match bag_info(&tags["bag-info.txt"], format, &oxum) {
        Ok(name) => name,
        // Of files that are missing or added, the manifests say more.
        Err(what) => {
            if problems.is_empty() {
                problems.push(Problem::at("bag-info.txt", what));
            }
            String::new()
        }
    };
    let size = |path: &String| files.get(path).copied().unwrap_or_default();
    let payload = payload.into_iter().map(|(path, sha256)| {
        let bytes = size(&path);
        (path, PayloadFile { sha256, bytes })
    });
    let payload = payload.collect();
    let root = Digest::of(tags[TAG_MANIFEST].as_bytes());
    sound_if_none(problems, SoundBag { tags: listed, payload, octets, root, name, format })
}

/// The version of the format that `bag-info.txt` names, if it is read here. Format 1 had no line for it.
pub(crate) fn format(info: &str) -> Result<FormatVersion, String> {
    let named = info.lines().find_map(|line| line.strip_prefix("Trialplate-Format: "));
    let version = named.map_or(Ok(FormatVersion::new(1, 0)), FormatVersion::parse);
    let readable = version.and_then(|version| version.check_readable_by(FORMAT).map(|()| version));
    readable.map_err(|error| error.to_string())
}

/// The name that `bag-info.txt` gives, which has five lines and no other.
fn bag_info(text: &str, format: FormatVersion, oxum: &str) -> Result<String, String> {
    let mut lines = text.lines();
    let mut value = |label: &str| {
        let line = lines.next().unwrap_or_default();
        let value = line.strip_prefix(label).and_then(|rest| rest.strip_prefix(": "));
        value.ok_or_else(|| format!("`{line}` found, expected `{label}: …`"))
    };
    let agent = value("Bag-Software-Agent")?.strip_prefix("trialplate ").unwrap_or_default();
    let format = (value("Trialplate-Format")?, format.to_string());
    let day = value("Bagging-Date")?;
    let name = value("External-Identifier")?;
    let found = value("Payload-Oxum")?;
    let is_day = day.len() == 10
        && day
            .bytes()
            .enumerate()
            .all(|(at, b)| if at == 4 || at == 7 { b == b'-' } else { b.is_ascii_digit() });
    if !is_path(agent) || format.0 != format.1 || !is_day || !is_bundle_name(name) {
        return Err("agent, format, day or name is not in its form".to_owned());
    }
    if found != oxum {
        return Err(format!("does not say `Payload-Oxum: {oxum}`"));
    }
    let again = bag::bag_info(agent, &format.1, day, name, oxum);
    if again == text { Ok(name.to_owned()) } else { Err("more than its five lines".to_owned()) }
}

fn tag_file(
    directory: &Path,
    files: &BTreeMap<String, u64>,
    file: &str,
) -> Result<Result<String, Problem>, VerifyError> {
    match files.get(file) {
        None => Ok(Err(Problem::at(file, "missing: this is no BagIt bag"))),
        Some(&bytes) if bytes > LARGEST_TAG_FILE => {
            Ok(Err(Problem::at(file, format!("{bytes} bytes are too many"))))
        }
        Some(_) => read_text(directory, file, LARGEST_TAG_FILE),
    }
}

/// A text file, whatever its size was said to be: no more than `most` bytes are read.
pub(super) fn read_text(
    directory: &Path,
    path: &str,
    most: u64,
) -> Result<Result<String, Problem>, VerifyError> {
    let full = directory.join(path);
    let mut bytes = Vec::new();
    let file = File::open(&full).map_err(io_at(&full))?;
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(io_at(&full))?;
    if bytes.len() as u64 > most {
        return Ok(Err(Problem::at(path, format!("larger than {most} bytes"))));
    }
    Ok(String::from_utf8(bytes).map_err(|_| Problem::at(path, "not UTF-8")))
}

/// Lines of `digest  path`, in order of path, each path once.
pub(super) fn parse(file: &str, text: &str) -> Result<BTreeMap<String, Digest>, Problem> {
    let mut entries: BTreeMap<String, Digest> = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let number = entries.len() + 1;
        let problem = |what: &str| Problem::at(file, format!("line {number}: {what}"));
        let (line, after) = rest.split_once('\n').ok_or_else(|| problem("no line break at its end"))?;
        let (digest, path) = line.split_once("  ").ok_or_else(|| problem("not `digest  path`"))?;
        let digest = Digest::try_from(digest.to_owned()).map_err(|error| problem(&error.to_string()))?;
        if !is_path(path) {
            return Err(problem("no such path may be in a bundle"));
        }
        if entries.last_key_value().is_some_and(|(last, _)| last.as_str() >= path) {
            return Err(problem("paths are not in order, or one is there twice"));
        }
        entries.insert(path.to_owned(), digest);
        rest = after;
    }
    Ok(entries)
}

fn same_set<'a>(
    manifest: &str,
    listed: impl Iterator<Item = &'a String>,
    there: impl Iterator<Item = &'a String>,
    problems: &mut Vec<Problem>,
) {
    let (listed, there): (BTreeSet<_>, BTreeSet<_>) = (listed.collect(), there.collect());
    problems.extend(
        listed.difference(&there).map(|path| Problem::at(*path, format!("missing, {manifest} lists it"))),
    );
    problems.extend(
        there.difference(&listed).map(|path| Problem::at(*path, format!("{manifest} does not list it"))),
    );
}

/// Whether every file is what the manifests say.
pub(super) fn digests(directory: &Path, sizes: &BTreeMap<String, u64>, bag: &SoundBag) -> Room<()> {
    let payload = bag.payload.iter().map(|(path, file)| (path, &file.sha256));
    let entries: Vec<(&String, &Digest)> = bag.tags.iter().chain(payload).collect();
    // File by file: the largest takes as long as many others together.
    let found = entries.par_iter().with_max_len(1).map(|(path, expected)| {
        let size = sizes.get(*path).copied().unwrap_or_default();
        digest(&directory.join(path), size).map(|found| match found {
            None => Some(Problem::at(*path, format!("had {size} bytes and has another size now"))),
            Some(found) if found != **expected => {
                Some(Problem::at(*path, format!("SHA-256 is {found}, the manifest says {expected}")))
            }
            Some(_) => None,
        })
    });
    let found: Vec<Result<Option<Problem>, VerifyError>> = found.collect();
    let problems: Result<Vec<Problem>, VerifyError> =
        found.into_iter().filter_map(Result::transpose).collect();
    sound_if_none(problems?, ())
}

/// The digest of a file of that size; none when it is longer or shorter. One that grows while it is read has no end.
fn digest(path: &Path, size: u64) -> Result<Option<Digest>, VerifyError> {
    let mut file = File::open(path).map_err(io_at(path))?.take(size.saturating_add(1));
    let (digest, read) = Digest::of_reader(&mut file).map_err(io_at(path))?;
    Ok((read == size).then_some(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_read_strictly() {
        let digest = Digest::of(b"");
        let line = |path: &str| format!("{digest}  {path}\n");
        let good = line("data/a") + &line("data/b");
        assert_eq!(parse("m", &good).unwrap().len(), 2);
        let bad = [
            line("data/b") + &line("data/a"),
            line("data/a") + &line("data/a"),
            line("/etc/passwd"),
            line("data/../../x"),
            line("data/a").trim_end().to_owned(),
            line("data/a").replace("  ", " *"),
            line("data/a").to_uppercase(),
            line("data/a").replace('\n', "\r\n"),
            "\n".to_owned() + &good,
        ];
        for text in bad {
            assert!(parse("m", &text).is_err(), "{text}");
        }
    }
}
