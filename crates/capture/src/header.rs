//! The header of a safetensors file, checked as a whole against the length of the file.
//!
//! Layout: `u64` little-endian length of the header, the header (a JSON object, padded with spaces), the data. See
//! <https://github.com/huggingface/safetensors#format>. The `safetensors` crate accepts duplicate tensor names
//! (the last wins) and unknown fields; this reader does not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use tensor_compare::{DType, Shape};

use crate::json::{self, Object, UniqueMap};

/// Bytes of the length that every file starts with.
pub(crate) const LENGTH_SIZE: u64 = 8;

/// The longest header accepted. GPT-2 small over a thousand steps needs about 30 MiB.
pub(crate) const MAXIMUM_HEADER: u64 = 64 << 20;

/// The key that is no tensor.
pub(crate) const METADATA_KEY: &str = "__metadata__";

/// Data of every tensor starts at a multiple of this, given that tensors are ordered by dtype size.
const ALIGNMENT: usize = 8;

/// The element types that a reader knows.
pub(crate) trait Element: Copy + fmt::Display {
    /// The safetensors spelling of each, for a message.
    fn known() -> String;
    /// The one with that safetensors spelling.
    fn from_name(name: &str) -> Option<Self>;
    /// Its safetensors spelling.
    fn name(self) -> &'static str;
    /// Bytes per element: at most 8.
    fn size(self) -> usize;
}

/// One tensor in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry<D = DType> {
    pub(crate) name: String,
    pub(crate) dtype: D,
    pub(crate) shape: Shape,
    /// Bytes, counted from the end of the header.
    pub(crate) data: Range<u64>,
}

/// A checked header: entries are in the order of their data, leave no hole and fill the file.
#[derive(Debug)]
pub(crate) struct Header<D = DType> {
    pub(crate) metadata: Option<BTreeMap<String, String>>,
    pub(crate) entries: Vec<Entry<D>>,
}

/// In which order a header may list its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As their data lies in the file.
    Data,
    /// Any.
    Any,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    dtype: String,
    #[serde(deserialize_with = "json::dimensions")]
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

#[derive(Debug)]
struct RawHeader {
    metadata: Option<BTreeMap<String, String>>,
    entries: Vec<(String, RawEntry)>,
}

/// The length of the header, from the first bytes of a file of `file_length` bytes.
pub(crate) fn length(first: [u8; LENGTH_SIZE as usize], file_length: u64) -> Result<u64, String> {
    let length = u64::from_le_bytes(first);
    let available = file_length.saturating_sub(LENGTH_SIZE);
    if length > available {
        return Err(format!("the header claims {length} bytes, {available} bytes follow in the file"));
    }
    if length > MAXIMUM_HEADER {
        return Err(format!("the header claims {length} bytes, at most {MAXIMUM_HEADER} are accepted"));
    }
    Ok(length)
}

/// Reads a header that is followed by `data_length` bytes of data.
pub(crate) fn parse<D: Element>(bytes: &[u8], data_length: u64, order: Order) -> Result<Header<D>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("the header is not UTF-8: {error}"))?;
    let text = text.trim_end_matches(' ');
    if !text.starts_with('{') || !text.ends_with('}') {
        return Err("the header is not a JSON object, padded with nothing but spaces".to_owned());
    }
    let raw: RawHeader =
        serde_json::from_str(text).map_err(|error| format!("the header is not as specified: {error}"))?;
    let mut entries = raw.entries.into_iter().map(check_entry).collect::<Result<Vec<_>, _>>()?;
    if order == Order::Any {
        entries.sort_by_key(|entry| (entry.data.start, entry.data.end));
    }
    check_cover(&entries, data_length)?;
    Ok(Header { metadata: raw.metadata, entries })
}

/// The length, header and padding that `parse` reads back. Names must be unique; the caller sees to that.
pub(crate) fn render<D: Element>(
    metadata: Option<(&str, &str)>,
    entries: &[Entry<D>],
) -> Result<Vec<u8>, String> {
    let mut bytes = 0u64.to_le_bytes().to_vec();
    serde_json::to_writer(&mut bytes, &Rendered { metadata, entries }).map_err(|error| error.to_string())?;
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), b' ');
    let length = bytes.len() as u64 - LENGTH_SIZE;
    if length > MAXIMUM_HEADER {
        return Err(format!("the header needs {length} bytes, at most {MAXIMUM_HEADER} are accepted"));
    }
    bytes[..LENGTH_SIZE as usize].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

fn check_entry<D: Element>((name, raw): (String, RawEntry)) -> Result<Entry<D>, String> {
    let dtype = D::from_name(&raw.dtype)
        .ok_or_else(|| format!("tensor {name:?} is {:?}, expected one of {}", raw.dtype, D::known()))?;
    let shape = Shape::new(raw.shape).map_err(|error| format!("tensor {name:?}: {error}"))?;
    let (start, end) = raw.data_offsets;
    // A shape's bytes fit in memory, so the product cannot overflow.
    let needed = (shape.elements() * dtype.size()) as u64;
    if end.checked_sub(start) != Some(needed) {
        return Err(format!(
            "tensor {name:?} has the data offsets [{start}, {end}]; {dtype} of shape {shape} needs {needed} bytes"
        ));
    }
    Ok(Entry { name, dtype, shape, data: start..end })
}

/// Requires that each tensor starts where the one before ends, and that they fill the data exactly.
fn check_cover<D>(entries: &[Entry<D>], data_length: u64) -> Result<(), String> {
    let mut position = 0;
    for Entry { name, data, .. } in entries {
        if data.start != position {
            return Err(format!(
                "tensor {name:?} starts at {} of the data, expected at {position}: tensors must follow each other without hole or overlap",
                data.start
            ));
        }
        position = data.end;
    }
    if position != data_length {
        return Err(format!("the tensors need {position} bytes of data, {data_length} follow the header"));
    }
    Ok(())
}

impl Element for DType {
    fn known() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::from_name(name)
    }

    fn name(self) -> &'static str {
        self.name()
    }

    fn size(self) -> usize {
        self.size()
    }
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = RawHeader;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
        let mut header = RawHeader { metadata: None, entries: Vec::new() };
        let mut names = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(Error::custom(format_args!("the name {name:?} comes twice")));
            }
            if name == METADATA_KEY {
                header.metadata = Some(map.next_value::<UniqueMap>()?.0);
            } else {
                header.entries.push((name, map.next_value::<Object<RawEntry>>()?.0));
            }
        }
        Ok(header)
    }
}

struct Rendered<'a, D> {
    metadata: Option<(&'a str, &'a str)>,
    entries: &'a [Entry<D>],
}

impl<D: Element> Serialize for Rendered<'_, D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some((key, value)) = self.metadata {
            map.serialize_entry(METADATA_KEY, &BTreeMap::from([(key, value)]))?;
        }
        for entry in self.entries {
            let raw = RawEntry {
                dtype: entry.dtype.name().to_owned(),
                shape: entry.shape.dimensions().to_vec(),
                data_offsets: (entry.data.start, entry.data.end),
            };
            map.serialize_entry(&entry.name, &raw)?;
        }
        map.end()
    }
}
