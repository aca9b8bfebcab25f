//! What is done to the files of a bundle.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use capture::{CaptureFile, Case, TensorName};
use checkpoint_spec::{Results, SpecSet};
use proof_bundle::{AssayRecord, CaptureEntry, CaptureList, Digest, Materials, RecordKind, bundle_name};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::keys;
use crate::scene::Edit;

/// One thing that a forger does.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "op")]
pub(crate) enum Operation {
    /// Flips the lowest bit of a byte; counted from the end where `at` is negative.
    Flip {
        path: String,
        at: i64,
    },
    /// Replaces a text that is there once, or everywhere.
    Replace {
        path: String,
        from: String,
        to: String,
        #[serde(default)]
        everywhere: bool,
    },
    /// Puts bytes before those that are there.
    Prepend {
        path: String,
        bytes: Vec<u8>,
    },
    /// Puts a text, `times` over, behind what is there.
    Append {
        path: String,
        text: String,
        #[serde(default = "once")]
        times: usize,
    },
    /// Makes a file.
    Write {
        path: String,
        text: String,
    },
    /// Makes a file whose name is bytes.
    WriteBytesName {
        folder: String,
        name: Vec<u8>,
    },
    /// Makes a file as long as that, which takes no room on disk.
    Stretch {
        path: String,
        length: u64,
    },
    /// Cuts a file.
    Cut {
        path: String,
        length: u64,
    },
    Remove {
        path: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Copy {
        from: String,
        to: String,
    },
    Symlink {
        path: String,
        target: String,
    },
    HardLink {
        path: String,
        target: String,
    },
    Fifo {
        path: String,
    },
    Folder {
        path: String,
    },
    /// Sets a value of a record, by JSON pointer; the record is written in its one spelling.
    Set {
        path: String,
        pointer: String,
        /// TOML has no null: nothing stands for it.
        #[serde(default)]
        value: Value,
    },
    /// Takes out of arrays of a record, by JSON pointer, what has the key with that value.
    Leave {
        path: String,
        pointer: String,
        key: String,
        value: Value,
    },
    /// Puts the first element of an array of a record in once more.
    Duplicate {
        path: String,
        pointer: String,
    },
    /// Replaces a text in the header of a capture, whose length is made to fit.
    Header {
        path: String,
        from: String,
        to: String,
    },
    /// Claims another length of the header.
    HeaderLength {
        path: String,
        length: u64,
    },
    /// Flips the lowest bit of a byte of a tensor; counted from its start.
    Tensor {
        path: String,
        name: String,
        #[serde(default)]
        byte: u64,
    },
    /// Signs what is there.
    Sign {
        who: String,
    },
    /// Makes the materials say what the files of the model are.
    Model,
    /// Renders the reports again.
    Render,
    /// Makes the list of captures, the bundle's name, both manifests and the sum of the payload say what is there.
    Manifests,
}

fn once() -> usize {
    1
}

impl Operation {
    pub(crate) fn apply(&self, bundle: &Path) {
        let at = |path: &str| bundle.join(path);
        match self {
            Self::Flip { path, at: position } => flip(&at(path), *position),
            Self::Replace { path, from, to, everywhere } => replace(&at(path), from, to, *everywhere),
            Self::Prepend { path, bytes } => {
                let all = [bytes.as_slice(), &fs::read(at(path)).unwrap()].concat();
                fs::write(at(path), all).unwrap();
            }
            Self::Append { path, text, times } => {
                let mut file = File::options().append(true).open(at(path)).unwrap();
                file.write_all(text.repeat(*times).as_bytes()).unwrap();
            }
            Self::Write { path, text } => write(&at(path), text.as_bytes()),
            Self::WriteBytesName { folder, name } => {
                let name = std::ffi::OsString::from_vec(name.clone());
                write(&at(folder).join(name), b"");
            }
            Self::Stretch { path, length } | Self::Cut { path, length } => {
                let file = File::options().create(true).truncate(false).write(true).open(at(path)).unwrap();
                file.set_len(*length).unwrap();
            }
            Self::Remove { path } => fs::remove_file(at(path)).unwrap(),
            Self::Rename { from, to } => fs::rename(at(from), at(to)).unwrap(),
            Self::Copy { from, to } => drop(fs::copy(at(from), at(to)).unwrap()),
            Self::Symlink { path, target } => std::os::unix::fs::symlink(target, at(path)).unwrap(),
            Self::HardLink { path, target } => fs::hard_link(at(target), at(path)).unwrap(),
            Self::Fifo { path } => assert!(Command::new("mkfifo").arg(at(path)).status().unwrap().success()),
            Self::Folder { path } => fs::create_dir_all(at(path)).unwrap(),
            Self::Set { path, pointer, value } => {
                edit(bundle, path, |record| Edit::apply(record, pointer, value));
            }
            Self::Leave { path, pointer, key, value } => edit(bundle, path, |record| {
                leave(record, &pointer.split('/').skip(1).collect::<Vec<_>>(), key, value);
            }),
            Self::Duplicate { path, pointer } => edit(bundle, path, |record| {
                let array = record.pointer_mut(pointer).unwrap().as_array_mut().unwrap();
                array.push(array[0].clone());
            }),
            Self::Header { path, from, to } => header(&at(path), from, to),
            Self::HeaderLength { path, length } => {
                let mut file = File::options().write(true).open(at(path)).unwrap();
                file.write_all(&length.to_le_bytes()).unwrap();
            }
            Self::Tensor { path, name, byte } => tensor(&at(path), name, *byte),
            Self::Sign { who } => drop(proof_bundle::sign(bundle, &keys::key(who)).unwrap()),
            Self::Model => edit(bundle, "data/materials.json", |record| model(bundle, record)),
            Self::Render => render(bundle),
            Self::Manifests => manifests(bundle),
        }
    }
}

fn flip(path: &Path, position: i64) {
    let mut bytes = fs::read(path).unwrap();
    let length = i64::try_from(bytes.len()).unwrap();
    let position = if position < 0 { length + position } else { position };
    bytes[usize::try_from(position).unwrap()] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn replace(path: &Path, from: &str, to: &str, everywhere: bool) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{} has no {from}", path.display());
    let count = if everywhere { usize::MAX } else { 1 };
    fs::write(path, text.replacen(from, to, count)).unwrap();
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Changes a record as JSON and writes it in the spelling that its type gives it.
fn edit(bundle: &Path, path: &str, change: impl FnOnce(&mut Value)) {
    let place = bundle.join(path);
    let mut value: Value = serde_json::from_str(&fs::read_to_string(&place).unwrap()).unwrap();
    change(&mut value);
    let spelled = match path {
        "data/results.json" => spelling::<Results>(value),
        "data/materials.json" => spelling::<Materials>(value),
        "data/captures.json" => spelling::<CaptureList>(value),
        _ if path.starts_with("data/assays/") => spelling::<AssayRecord>(value),
        _ => spelling::<Case>(value),
    };
    fs::write(place, spelled).unwrap();
}

fn spelling<T: for<'de> Deserialize<'de> + Serialize>(value: Value) -> String {
    serde_json::to_string(&serde_json::from_value::<T>(value).unwrap()).unwrap() + "\n"
}

/// `*` stands for every element.
fn leave(value: &mut Value, pointer: &[&str], key: &str, unwanted: &Value) {
    match pointer {
        [] => {
            let array = value.as_array_mut().unwrap();
            array.retain(|element| element[key] != *unwanted);
        }
        ["*", rest @ ..] => {
            value.as_array_mut().unwrap().iter_mut().for_each(|each| leave(each, rest, key, unwanted));
        }
        [name, rest @ ..] => {
            let below = match name.parse::<usize>() {
                Ok(index) => &mut value[index],
                Err(_) => &mut value[*name],
            };
            leave(below, rest, key, unwanted);
        }
    }
}

/// The header's text and the data behind it.
fn parts(path: &Path) -> (String, Vec<u8>) {
    let bytes = fs::read(path).unwrap();
    let (length, rest) = bytes.split_at(8);
    let length = usize::try_from(u64::from_le_bytes(length.try_into().unwrap())).unwrap();
    (String::from_utf8(rest[..length].to_vec()).unwrap(), rest[length..].to_vec())
}

fn header(path: &Path, from: &str, to: &str) {
    let (text, data) = parts(path);
    assert!(text.contains(from), "the header has no {from}: {}", &text[..text.len().min(2000)]);
    let text = text.replacen(from, to, 1);
    fs::write(path, [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &data].concat()).unwrap();
}

fn tensor(path: &Path, name: &str, byte: u64) {
    let name = TensorName::parse(name).unwrap();
    assert!(CaptureFile::open(path).unwrap().layout(&name).is_some(), "no {name}");
    let (text, _) = parts(path);
    let header: Value = serde_json::from_str(&text).unwrap();
    let start = header[name.to_string()]["data_offsets"][0].as_u64().unwrap();
    let position = 8 + text.len() as u64 + start + byte;
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(position).unwrap()] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn model(bundle: &Path, materials: &mut Value) {
    for file in materials["weights"].as_array_mut().unwrap() {
        let path = bundle.join("data/model").join(file["name"].as_str().unwrap());
        let (digest, bytes) = Digest::of_reader(&mut File::open(path).unwrap()).unwrap();
        (file["sha256"], file["bytes"]) = (digest.to_string().into(), bytes.into());
    }
}

fn render(bundle: &Path) {
    let results: Results =
        serde_json::from_str(&fs::read_to_string(bundle.join("data/results.json")).unwrap()).unwrap();
    fs::write(bundle.join("data/report.html"), report::html(&results).unwrap()).unwrap();
    fs::write(bundle.join("data/report.md"), report::markdown(&results)).unwrap();
    fs::write(bundle.join("data/junit.xml"), report::junit(&results).unwrap()).unwrap();
}

/// Files of the bundle by path. Folders that cannot be named in a manifest are looked into all the same.
fn files(bundle: &Path) -> Vec<(String, PathBuf)> {
    let (mut files, mut folders) = (Vec::new(), vec![bundle.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = path.symlink_metadata().unwrap().file_type();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                files.push((path.strip_prefix(bundle).unwrap().to_string_lossy().into_owned(), path));
            }
        }
    }
    files.sort();
    files
}

/// As the bundle's own list of captures is written: what is here as it is, what is not as it was listed.
fn list_captures(bundle: &Path) {
    let place = bundle.join("data/captures.json");
    let listed: Option<CaptureList> = serde_json::from_slice(&fs::read(&place).unwrap()).ok();
    let elsewhere = listed.into_iter().flat_map(|list| list.captures).filter(|entry| !entry.stored);
    let captures = files(bundle).into_iter().filter(|(path, _)| path.starts_with("data/captures/"));
    let captures = captures.map(|(path, place)| {
        let (sha256, bytes) = Digest::of_reader(&mut File::open(place).unwrap()).unwrap();
        CaptureEntry { path, bytes, sha256, stored: true }
    });
    let mut captures: Vec<CaptureEntry> = captures.collect();
    captures.extend(elsewhere.filter(|entry| !bundle.join(&entry.path).exists()));
    captures.sort_by(|a, b| a.path.cmp(&b.path));
    let list = CaptureList { schema: RecordKind::Captures.schema(), captures };
    fs::write(place, serde_json::to_string(&list).unwrap() + "\n").unwrap();
}

/// The name of what is in the bundle, whose payload has that manifest; none where its records cannot be read.
fn name(bundle: &Path, payload: &str) -> Option<String> {
    let text = |path: &str| fs::read_to_string(bundle.join(path)).ok().filter(|text| text.len() < 1 << 24);
    let results: Results = serde_json::from_str(&text("data/results.json")?).ok()?;
    let materials: Materials = serde_json::from_str(&text("data/materials.json")?).ok()?;
    let case = |summary: &checkpoint_spec::CaseSummary| -> Option<Case> {
        serde_json::from_str(&text(&format!("data/cases/{}.json", summary.id))?).ok()
    };
    let cases: Vec<Case> = results.cases.iter().map(case).collect::<Option<_>>()?;
    let law = SpecSet::bundled(&results.architecture.family).ok()?;
    Some(bundle_name(&results, &materials, &cases, &law, Digest::of(payload.as_bytes())))
}

fn manifests(bundle: &Path) {
    list_captures(bundle);
    let list = |of: &dyn Fn(&str) -> bool| -> String {
        let listed = files(bundle).into_iter().filter(|(path, _)| of(path));
        let digest = |path: &Path| Digest::of_reader(&mut File::open(path).unwrap()).unwrap().0;
        listed.map(|(name, path)| format!("{}  {name}\n", digest(&path))).collect()
    };
    let is_payload = |path: &str| path.starts_with("data/");
    let payload = list(&is_payload);
    let there = files(bundle).into_iter().filter(|(path, _)| is_payload(path));
    let (count, octets) =
        there.fold((0, 0), |(count, octets), (_, path)| (count + 1, octets + path.metadata().unwrap().len()));
    let info = fs::read_to_string(bundle.join("bag-info.txt")).unwrap();
    let kept = info.lines().filter(|line| !line.starts_with("Payload-Oxum"));
    let named = |line: &str| match name(bundle, &payload) {
        Some(name) if line.starts_with("External-Identifier") => format!("External-Identifier: {name}\n"),
        _ => format!("{line}\n"),
    };
    let kept: String = kept.map(named).collect();
    fs::write(bundle.join("bag-info.txt"), format!("{kept}Payload-Oxum: {octets}.{count}\n")).unwrap();
    fs::write(bundle.join("manifest-sha256.txt"), payload).unwrap();
    let tag = |path: &str| !is_payload(path) && path != "tagmanifest-sha256.txt";
    fs::write(bundle.join("tagmanifest-sha256.txt"), list(&tag)).unwrap();
}
