//! A BagIt 1.0 bag (RFC 8493) in the making.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use time::OffsetDateTime;

use crate::layout::{TAG_MANIFEST, manifest};
use crate::moments;
use crate::write_error::{WriteError, io_at};
use crate::{Digest, FORMAT};

/// The declaration that makes a folder a bag.
pub(crate) const DECLARATION: &str = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";
/// Tag files, which the tag manifest lists.
pub(crate) const TAG_FILES: [&str; 3] = ["bag-info.txt", "bagit.txt", "manifest-sha256.txt"];

/// A bag that is being filled. Files are hashed as they come and synced before they count.
pub(crate) struct Bag {
    root: PathBuf,
    payload: BTreeMap<String, Digest>,
    octets: u64,
}

impl Bag {
    /// A bag in an empty folder.
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), payload: BTreeMap::new(), octets: 0 }
    }

    /// Writes a payload file.
    pub(crate) fn add_text(&mut self, path: &str, text: &str) -> Result<(), WriteError> {
        let target = self.target(path)?;
        write_new(&target, text.as_bytes()).map_err(io_at(&target))?;
        self.count(path, Digest::of(text.as_bytes()), text.len() as u64);
        Ok(())
    }

    /// Takes in a file that nobody else writes to: as a hard link where the file system can, else as a copy.
    pub(crate) fn add_file(&mut self, path: &str, source: &Path) -> Result<(Digest, u64), WriteError> {
        let target = self.target(path)?;
        let kind = fs::symlink_metadata(source).map_err(io_at(source))?.file_type();
        if !kind.is_file() || fs::hard_link(source, &target).is_err() {
            fs::copy(source, &target).map_err(io_at(source))?;
        }
        self.take(path, &target)
    }

    /// Takes in a copy of a file that its owner may write to later.
    pub(crate) fn add_copy(&mut self, path: &str, source: &Path) -> Result<(Digest, u64), WriteError> {
        let target = self.target(path)?;
        fs::copy(source, &target).map_err(io_at(source))?;
        self.take(path, &target)
    }

    /// Counts a file that is in its place. What is hashed is what is in the bag.
    fn take(&mut self, path: &str, target: &Path) -> Result<(Digest, u64), WriteError> {
        moments::pass();
        let mut file = File::open(target).map_err(io_at(target))?;
        let (digest, bytes) = Digest::of_reader(&mut file).map_err(io_at(target))?;
        file.sync_all().map_err(io_at(target))?;
        self.count(path, digest, bytes);
        Ok((digest, bytes))
    }

    /// Writes the tag files and gives the bag's name, which follows from the digest of the payload's manifest. The day is the
    /// only thing in a bag that the clock tells.
    pub(crate) fn finish(
        self,
        name: impl FnOnce(Digest) -> String,
        day: SystemTime,
    ) -> Result<String, WriteError> {
        let payload = manifest(self.payload.iter().map(|(path, &digest)| (path.as_str(), digest)));
        let name = name(Digest::of(payload.as_bytes()));
        let day = date(day);
        let oxum = format!("{}.{}", self.octets, self.payload.len());
        let info = bag_info(env!("CARGO_PKG_VERSION"), &FORMAT.to_string(), &day, &name, &oxum);
        let tags = TAG_FILES.into_iter().zip([info.as_str(), DECLARATION, payload.as_str()]);
        let tag_manifest = manifest(tags.clone().map(|(file, text)| (file, Digest::of(text.as_bytes()))));
        for (file, text) in tags.chain([(TAG_MANIFEST, tag_manifest.as_str())]) {
            let target = self.root.join(file);
            write_new(&target, text.as_bytes()).map_err(io_at(&target))?;
        }
        sync_folders(&self.root).map_err(io_at(&self.root))?;
        Ok(name)
    }

    fn target(&self, path: &str) -> Result<PathBuf, WriteError> {
        if self.payload.contains_key(path) {
            return Err(WriteError::Inconsistent { problem: format!("two files would be {path}") });
        }
        let target = self.root.join(path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(io_at(folder))?;
            moments::pass();
        }
        Ok(target)
    }

    fn count(&mut self, path: &str, digest: Digest, bytes: u64) {
        self.payload.insert(path.to_owned(), digest);
        self.octets += bytes;
    }
}

/// The text of `bag-info.txt`.
pub(crate) fn bag_info(agent: &str, format: &str, day: &str, name: &str, oxum: &str) -> String {
    format!(
        "Bag-Software-Agent: trialplate {agent}\nTrialplate-Format: {format}\nBagging-Date: {day}\n\
         External-Identifier: {name}\nPayload-Oxum: {oxum}\n"
    )
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    moments::pass();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    file.write_all(first)?;
    moments::pass();
    file.write_all(second)?;
    moments::pass();
    file.sync_all()
}

/// A name is safe on disk only when its folder is.
fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    File::open(folder)?.sync_all()
}

/// `YYYY-MM-DD` in UTC.
pub fn date(time: SystemTime) -> String {
    OffsetDateTime::from(time).date().to_string()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let days = [(0, "1970-01-01"), (951_782_400, "2000-02-29"), (951_868_800, "2000-03-01")];
        let later =
            [(1_735_689_599, "2024-12-31"), (1_735_689_600, "2025-01-01"), (4_107_542_400, "2100-03-01")];
        for (seconds, day) in days.into_iter().chain(later) {
            assert_eq!(date(UNIX_EPOCH + Duration::from_secs(seconds)), day);
        }
    }
}
