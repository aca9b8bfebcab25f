//! A zip archive as NumPy and PyTorch write it: its members known as a whole before one is unpacked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::DeflateDecoder;
use rawzip::{CompressionMethod, FileReader, RECOMMENDED_BUFFER_SIZE, ZipArchive, ZipArchiveEntryWayfinder};

use super::error::DumpError;
use super::limits::Limits;

/// An open archive whose members have names of their own, do not overlap, and unpack to an accepted size.
pub(super) struct Archive {
    path: PathBuf,
    archive: ZipArchive<FileReader>,
    length: u64,
    members: BTreeMap<String, Member>,
}

/// Where a member is, and what the directory says of it.
#[derive(Clone, Copy)]
struct Member {
    place: ZipArchiveEntryWayfinder,
    method: CompressionMethod,
    unpacked: u64,
}

impl Archive {
    /// Opens the archive and checks its directory against the limits.
    pub(super) fn open(path: &Path, limits: &Limits) -> Result<Self, DumpError> {
        let file = File::open(path).map_err(|source| DumpError::io(path, source))?;
        let length = file.metadata().map_err(|source| DumpError::io(path, source))?.len();
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let archive = ZipArchive::from_file(file, &mut buffer).map_err(|error| broken(path, &error))?;
        let mut opened = Self { path: path.to_owned(), archive, length, members: BTreeMap::new() };
        opened.read_directory(&mut buffer, limits)?;
        opened.check_overlap()?;
        opened.check_size(limits)?;
        Ok(opened)
    }

    /// Bytes that all of it may become.
    pub(super) fn unpacked_limit(&self, limits: &Limits) -> u64 {
        limits.expansion.saturating_mul(self.length).max(limits.free_expansion)
    }

    /// The names of all members, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// What a member unpacks to, as the directory says.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.members.get(name).map(|member| member.unpacked)
    }

    /// The member's content, no longer than the directory says; what is shorter, or has another checksum, ends with an error.
    pub(super) fn reader(&self, name: &str) -> Result<Box<dyn Read + '_>, DumpError> {
        let member = self
            .members
            .get(name)
            .ok_or_else(|| DumpError::malformed(&self.path, format!("the archive has no member {name:?}")))?;
        let entry = self.archive.get_entry(member.place).map_err(|error| broken(&self.path, &error))?;
        Ok(match member.method {
            CompressionMethod::STORE => Box::new(entry.verifying_reader(entry.reader())),
            CompressionMethod::DEFLATE => {
                Box::new(entry.verifying_reader(DeflateDecoder::new(BufReader::new(entry.reader()))))
            }
            method => {
                let problem = format!("is compressed by {method:?}, expected stored or deflated");
                return Err(DumpError::tensor(&self.path, name, problem));
            }
        })
    }

    /// The whole of a member, of at most `limit` bytes.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, DumpError> {
        let claimed = self.size(name).unwrap_or_default();
        if claimed > limit {
            return Err(DumpError::too_large(
                &self.path,
                format!("bytes of the member {name:?}:"),
                claimed,
                limit,
            ));
        }
        let mut bytes = Vec::new();
        self.reader(name)?
            .take(claimed.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| DumpError::tensor(&self.path, name, error.to_string()))?;
        Ok(bytes)
    }

    fn read_directory(&mut self, buffer: &mut [u8], limits: &Limits) -> Result<(), DumpError> {
        let path = &self.path;
        let expected = self.archive.entries_hint();
        let mut found = 0;
        let mut entries = self.archive.entries(buffer);
        while let Some(entry) = entries.next_entry().map_err(|error| broken(path, &error))? {
            found += 1;
            if found > limits.tensors as u64 {
                return Err(DumpError::too_large(path, "members:", found, limits.tensors as u64));
            }
            let name = check_name(entry.file_path().as_bytes())
                .map_err(|problem| DumpError::malformed(path, problem))?;
            let member = Member {
                place: entry.wayfinder(),
                method: entry.compression_method(),
                unpacked: entry.uncompressed_size_hint(),
            };
            if self.members.insert(name.clone(), member).is_some() {
                let (path, other) = (path.clone(), path.clone());
                return Err(DumpError::Duplicate { path, tensor: name, other });
            }
        }
        if found != expected {
            let problem = format!("the archive's directory lists {found} members and counts {expected}");
            return Err(DumpError::malformed(path, problem));
        }
        Ok(())
    }

    /// Members that share bytes are how a small archive unpacks to anything.
    fn check_overlap(&self) -> Result<(), DumpError> {
        let mut ranges = BTreeSet::new();
        for (name, member) in &self.members {
            let entry = self.archive.get_entry(member.place).map_err(|error| broken(&self.path, &error))?;
            let (start, end) = entry.compressed_data_range();
            ranges.insert((start, end, name));
        }
        let mut position = 0;
        for (start, end, name) in ranges {
            if start < position || end > self.archive.directory_offset() {
                let problem = format!("the member {name:?} shares bytes with another");
                return Err(DumpError::malformed(&self.path, problem));
            }
            position = end;
        }
        Ok(())
    }

    fn check_size(&self, limits: &Limits) -> Result<(), DumpError> {
        let unpacked = self.members.values().fold(0u64, |sum, member| sum.saturating_add(member.unpacked));
        let limit = self.unpacked_limit(limits);
        if unpacked > limit {
            let what = format!("an archive of {} bytes would unpack to so many:", self.length);
            return Err(DumpError::too_large(&self.path, what, unpacked, limit));
        }
        Ok(())
    }
}

fn check_name(bytes: &[u8]) -> Result<String, String> {
    let name = std::str::from_utf8(bytes).map_err(|_| {
        format!("the archive has a member named {}, which is not UTF-8", bytes.escape_ascii())
    })?;
    let leads_out = name.starts_with('/') || name.contains('\\') || name.split('/').any(|part| part == "..");
    if leads_out || name.chars().any(char::is_control) {
        return Err(format!("the archive has a member named {name:?}, which would lead out of a folder"));
    }
    Ok(name.to_owned())
}

fn broken(path: &Path, error: &rawzip::Error) -> DumpError {
    DumpError::malformed(path, format!("not a whole zip archive: {error}. Half a file?"))
}

/// Requires that a reader has given everything; a verifying one tells a wrong checksum only now.
pub(super) fn finish(mut source: impl Read) -> io::Result<()> {
    if source.read(&mut [0])? != 0 {
        return Err(io::Error::other("goes on after its last value"));
    }
    Ok(())
}
