//! One file for each way to be malformed.

use std::fs::{self, File};

use super::{identity, place, sample};
use crate::{CaptureFile, FileError, TensorName, TensorSource, write};

const METADATA: &str = r#"{\"schema\":\"trialplate/capture/1\",\"identity\":{\"name\":\"rust\",\"version\":\"1\",\"precision\":\"f32\",\"device\":\"cpu\"},\"not_contiguous\":[]}"#;

/// A file with that header and that many bytes of data.
fn with_header(header: impl AsRef<[u8]>, data: usize) -> Vec<u8> {
    let header = header.as_ref();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// A file whose metadata is right, with those entries.
fn with_entries(entries: &str, data: usize) -> Vec<u8> {
    with_header(format!(r#"{{"__metadata__":{{"trialplate":"{METADATA}"}},{entries}}}"#), data)
}

/// A file with one right entry and that metadata.
fn with_metadata(metadata: &str) -> Vec<u8> {
    with_header(
        format!(r#"{{"__metadata__":{metadata},"a":{{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}}}"#),
        4,
    )
}

/// A file whose metadata is right but for a text that is replaced.
fn with_changed_metadata(from: &str, to: &str) -> Vec<u8> {
    assert!(METADATA.contains(from));
    with_metadata(&format!(r#"{{"trialplate":"{}"}}"#, METADATA.replace(from, to)))
}

fn entry(name: &str, dtype: &str, shape: &str, offsets: &str) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
}

/// A file with one entry of four bytes of data.
fn with_entry(dtype: &str, shape: &str, offsets: &str) -> Vec<u8> {
    with_entries(&entry("a", dtype, shape, offsets), 4)
}

/// A file with tensors `a`, `b`, … of bytes at those offsets.
fn with_offsets(offsets: &[(usize, usize)], data: usize) -> Vec<u8> {
    let entries: Vec<String> = ('a'..='z')
        .zip(offsets)
        .map(|(name, (start, end))| {
            entry(&name.to_string(), "U8", &format!("[{}]", end - start), &format!("[{start},{end}]"))
        })
        .collect();
    with_entries(&entries.join(","), data)
}

fn with_name(name: &str) -> Vec<u8> {
    with_entries(&entry(name, "U8", "[4]", "[0,4]"), 4)
}

fn opened(bytes: &[u8]) -> Result<CaptureFile, FileError> {
    let (_directory, path) = place();
    fs::write(&path, bytes).unwrap();
    CaptureFile::open(&path)
}

/// Opens each file and looks for the text in the error.
fn assert_rejected(files: impl IntoIterator<Item = (&'static str, Vec<u8>, &'static str)>) {
    for (what, bytes, expected) in files {
        match opened(&bytes) {
            Ok(_) => panic!("{what}: accepted"),
            Err(FileError::Io { source, .. }) => panic!("{what}: {source}"),
            Err(error @ FileError::Malformed { .. }) => {
                let text = error.to_string();
                assert!(text.contains(expected), "{what}: {text}");
                assert!(text.contains("capture.safetensors"), "{what}: {text}");
            }
        }
    }
}

#[test]
fn the_files_here_are_right_but_for_one_thing() {
    assert!(opened(&with_entry("U8", "[4]", "[0,4]")).is_ok());
    assert!(opened(&with_offsets(&[(0, 3), (3, 3), (3, 4)], 4)).is_ok());
    assert!(opened(&with_name("step0/h.0.attn.q")).is_ok());
    assert!(opened(&with_changed_metadata("rust", "rost")).is_ok());
}

#[test]
fn lengths() {
    let whole = with_entry("U8", "[4]", "[0,4]");
    assert_rejected([
        ("no bytes", vec![], "0 bytes long"),
        ("seven bytes", vec![0; 7], "7 bytes long"),
        ("no header", vec![0; 8], "not a JSON object"),
        ("one byte too few", whole[..whole.len() - 1].to_vec(), "the tensors need 4 bytes of data, 3 follow"),
        ("one byte too many", [&whole[..], &[0]].concat(), "the tensors need 4 bytes of data, 5 follow"),
        ("header cut off", whole[..40].to_vec(), "32 bytes follow"),
        (
            "header length 2⁶⁴ − 1",
            [&[0xff; 8][..], &whole[8..]].concat(),
            "claims 18446744073709551615 bytes",
        ),
    ]);
}

#[test]
fn a_header_too_long_is_not_even_read() {
    let (_directory, path) = place();
    let file = File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &(1u64 << 39).to_le_bytes(), 0).unwrap();
    let error = CaptureFile::open(&path).unwrap_err().to_string();
    assert!(error.contains("at most 67108864 are accepted"), "{error}");
}

#[test]
fn no_json_object() {
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let deep_shape = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_rejected([
        ("not UTF-8", with_header(b"{\"\xff\":1}", 0), "not UTF-8"),
        ("an array", with_header("[]", 0), "not a JSON object"),
        ("a string", with_header(r#""{}""#, 0), "not a JSON object"),
        ("a space before", with_header(" {}", 0), "not a JSON object"),
        ("a newline after", with_header("{}\n", 0), "not a JSON object"),
        ("a zero after", with_header("{}\0", 0), "not a JSON object"),
        ("a byte order mark", with_header("\u{feff}{}", 0), "not a JSON object"),
        ("not closed", with_header(r#"{"a":{}"#, 0), "not as specified"),
        ("two objects", with_header("{}{}", 0), "not as specified"),
        ("a comma too many", with_header("{,}", 0), "not as specified"),
        ("a comment", with_header("{/**/}", 0), "not as specified"),
        ("nested deeply", with_header(deep, 0), "not as specified"),
        ("a shape nested deeply", with_entry("U8", &deep_shape, "[0,4]"), "not as specified"),
    ]);
}

#[test]
fn fields_of_an_entry() {
    let with = |fields: &str| with_entries(&format!(r#""a":{fields}"#), 4);
    assert_rejected([
        ("no object", with("4"), "expected an object"),
        ("null", with("null"), "expected an object"),
        ("an array", with(r#"["U8",[4],[0,4]]"#), "expected an object"),
        ("no dtype", with(r#"{"shape":[4],"data_offsets":[0,4]}"#), "missing field `dtype`"),
        ("no shape", with(r#"{"dtype":"U8","data_offsets":[0,4]}"#), "missing field `shape`"),
        ("no offsets", with(r#"{"dtype":"U8","shape":[4]}"#), "missing field `data_offsets`"),
        (
            "a field more",
            with(r#"{"dtype":"U8","shape":[4],"data_offsets":[0,4],"order":"F"}"#),
            "unknown field `order`",
        ),
        (
            "dtype twice",
            with(r#"{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}"#),
            "duplicate field `dtype`",
        ),
        (
            "shape twice",
            with(r#"{"dtype":"U8","shape":[4],"shape":[4],"data_offsets":[0,4]}"#),
            "duplicate field `shape`",
        ),
    ]);
}

#[test]
fn dtypes() {
    let number = r#""a":{"dtype":8,"shape":[4],"data_offsets":[0,4]}"#;
    assert_rejected([
        ("lower case", with_entry("u8", "[4]", "[0,4]"), r#"tensor "a" is "u8", expected one of F64, F32"#),
        ("an unknown one", with_entry("F8_E4M3", "[4]", "[0,4]"), r#"is "F8_E4M3""#),
        ("an unsigned one", with_entry("U16", "[2]", "[0,4]"), r#"is "U16""#),
        ("empty", with_entry("", "[4]", "[0,4]"), r#"is """#),
        ("a number", with_entries(number, 4), "not as specified"),
    ]);
}

#[test]
fn shapes() {
    let rank = |rank| format!("[{}]", vec!["1"; rank].join(","));
    assert!(opened(&with_entry("F32", &rank(64), "[0,4]")).is_ok());
    assert_rejected([
        ("negative", with_entry("U8", "[-4]", "[0,4]"), "not as specified"),
        ("a fraction", with_entry("U8", "[4.0]", "[0,4]"), "not as specified"),
        ("an exponent", with_entry("U8", "[4e0]", "[0,4]"), "not as specified"),
        ("a string", with_entry("U8", r#"["4"]"#, "[0,4]"), "not as specified"),
        ("null", with_entry("U8", "null", "[0,4]"), "not as specified"),
        ("2⁶⁴", with_entry("U8", "[18446744073709551616]", "[0,4]"), "not as specified"),
        ("2⁶³", with_entry("U8", "[9223372036854775808]", "[0,4]"), "more elements than memory"),
        (
            "a product of 2⁶⁴ + 4",
            with_entry("U8", "[4294967296,4294967296]", "[0,4]"),
            "more elements than memory",
        ),
        (
            "zero times too many",
            with_entry("U8", "[0,18446744073709551615,2]", "[0,0]"),
            "more elements than memory",
        ),
        ("rank 65", with_entry("F32", &rank(65), "[0,4]"), "at most 64 dimensions"),
        ("rank 10⁶", with_entry("F32", &rank(1_000_000), "[0,4]"), "at most 64 dimensions"),
        ("too few elements", with_entry("U8", "[3]", "[0,4]"), "U8 of shape [3] needs 3 bytes"),
        ("too many elements", with_entry("F32", "[2]", "[0,4]"), "F32 of shape [2] needs 8 bytes"),
        ("a scalar that is none", with_entry("U8", "[]", "[0,4]"), "U8 of shape [] needs 1 bytes"),
    ]);
}

#[test]
fn offsets() {
    assert_rejected([
        ("the wrong way round", with_entry("U8", "[4]", "[4,0]"), "data offsets [4, 0]"),
        ("one", with_entry("U8", "[4]", "[4]"), "not as specified"),
        ("three", with_entry("U8", "[4]", "[0,4,8]"), "not as specified"),
        ("negative", with_entry("U8", "[4]", "[-4,0]"), "not as specified"),
        ("a fraction", with_entry("U8", "[4]", "[0,4.0]"), "not as specified"),
        ("2⁶⁴", with_entry("U8", "[4]", "[18446744073709551612,18446744073709551616]"), "not as specified"),
        (
            "far out",
            with_entry("U8", "[4]", "[18446744073709551611,18446744073709551615]"),
            "starts at 18446744073709551611 of the data, expected at 0",
        ),
        ("a hole before", with_offsets(&[(1, 4)], 4), r#""a" starts at 1 of the data, expected at 0"#),
        (
            "a hole between",
            with_offsets(&[(0, 1), (2, 4)], 4),
            r#""b" starts at 2 of the data, expected at 1"#,
        ),
        ("a hole at the end", with_offsets(&[(0, 3)], 4), "the tensors need 3 bytes of data, 4 follow"),
        ("an overlap", with_offsets(&[(0, 3), (2, 4)], 4), r#""b" starts at 2 of the data, expected at 3"#),
        (
            "the same twice",
            with_offsets(&[(0, 4), (0, 4)], 4),
            r#""b" starts at 0 of the data, expected at 4"#,
        ),
        ("not in order", with_offsets(&[(2, 4), (0, 2)], 4), r#""a" starts at 2 of the data, expected at 0"#),
        ("past the end", with_offsets(&[(0, 5)], 4), "the tensors need 5 bytes of data, 4 follow"),
        ("an empty tensor out of order", with_offsets(&[(0, 4), (2, 2)], 4), r#""b" starts at 2"#),
    ]);
}

#[test]
fn names() {
    let twice = |first: &str, second: &str| {
        let entries = [entry(first, "U8", "[4]", "[0,4]"), entry(second, "U8", "[0]", "[4,4]")];
        with_entries(&entries.join(","), 4)
    };
    assert_rejected([
        ("twice", twice("a", "a"), r#"the name "a" comes twice"#),
        ("twice, once escaped", twice("a", r"\u0061"), r#"the name "a" comes twice"#),
        ("empty", with_name(""), r#""" is no name of a tensor"#),
        ("no step", with_name("step/a"), "is no name of a tensor"),
        ("a step spelled otherwise", with_name("step01/a"), "is no name of a tensor"),
        ("a signed step", with_name("step+1/a"), "is no name of a tensor"),
        ("a step past usize", with_name("step18446744073709551616/a"), "is no name of a tensor"),
        ("nothing in a step", with_name("step0/"), "is no name of a tensor"),
        ("a space", with_name("a b"), "is no name of a tensor"),
        ("a control character", with_name(r"a\u001b[2J"), r#""a\u{1b}[2J" is no name of a tensor"#),
        ("a lone surrogate", with_name(r"\ud800"), "not as specified"),
        ("not ASCII", with_name("α"), "is no name of a tensor"),
        ("the metadata", with_name("__metadata__"), r#"the name "__metadata__" comes twice"#),
    ]);
}

#[test]
fn metadata() {
    let plain = METADATA.to_owned();
    let object = |fields: &str| with_metadata(&format!("{{{fields}}}"));
    assert_rejected([
        (
            "none",
            with_header(r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, 4),
            "has the keys []",
        ),
        ("null", with_metadata("null"), "expected an object of strings"),
        ("an array", with_metadata("[]"), "expected an object of strings"),
        ("empty", with_metadata("{}"), "has the keys []"),
        ("another key", object(r#""format":"pt""#), r#"has the keys ["format"], expected ["trialplate"]"#),
        (
            "a key more",
            object(&format!(r#""trialplate":"{plain}","format":"pt""#)),
            r#"["format", "trialplate"]"#,
        ),
        (
            "a key twice",
            object(&format!(r#""trialplate":"{plain}","trialplate":"{plain}""#)),
            r#"the key "trialplate" comes twice"#,
        ),
        ("no string", object(r#""trialplate":{}"#), "not as specified"),
        ("no JSON", object(r#""trialplate":"rust""#), "`__metadata__.trialplate`"),
        ("an array in it", object(r#""trialplate":"[]""#), "expected an object"),
        ("text after it", object(&format!(r#""trialplate":"{plain} x""#)), "trailing characters"),
    ]);
}

#[test]
fn fields_of_metadata() {
    let identity = r#"{\"name\":\"rust\",\"version\":\"1\",\"precision\":\"f32\",\"device\":\"cpu\"}"#;
    let array = r#"[\"rust\",\"1\",\"f32\",\"cpu\"]"#;
    let change = with_changed_metadata;
    assert_rejected([
        ("another schema", change("capture/1", "capture/2"), r#"the schema is "trialplate/capture/2""#),
        ("schema twice", change(r#"{\"schema"#, r#"{\"schema\":\"x\",\"schema"#), "duplicate field `schema`"),
        ("a field more", change(r#"{\"schema"#, r#"{\"digest\":\"x\",\"schema"#), "unknown field `digest`"),
        ("no list", change(r#",\"not_contiguous\":[]"#, ""), "missing field `not_contiguous`"),
        ("an identity that is an array", change(identity, array), "expected an object"),
        (
            "an identity with a field more",
            change(r#"\"cpu\""#, r#"\"cpu\",\"gpu\":1"#),
            "unknown field `gpu`",
        ),
        ("a name twice", change(r#"{\"name"#, r#"{\"name\":\"x\",\"name"#), "duplicate field `name`"),
        ("another precision", change("f32", "f8"), "unknown variant `f8`"),
        ("a precision in capitals", change("f32", "F32"), "unknown variant `F32`"),
        ("an unknown tensor listed", change("[]", r#"[\"b\"]"#), "`b` is in `not_contiguous`"),
        ("a tensor listed twice", change("[]", r#"[\"a\",\"a\"]"#), r#""a" comes twice in `not_contiguous`"#),
        ("no name listed", change("[]", r#"[\"step01/a\"]"#), "is no name of a tensor"),
        ("a number listed", change("[]", "[1]"), "invalid type"),
    ]);
}

#[test]
fn what_is_no_file() {
    let (directory, path) = place();
    assert!(matches!(CaptureFile::open(&path), Err(FileError::Io { .. })), "there is none");
    let problem = |path| CaptureFile::open(path).unwrap_err().to_string();
    assert!(problem(directory.path()).contains("not a regular file"));
    assert!(problem(std::path::Path::new("/dev/zero")).contains("not a regular file"));
}

#[test]
fn a_boolean_that_is_none() {
    let (_directory, path) = place();
    write(&path, &identity(), &sample()).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() = 2;
    fs::write(&path, bytes).unwrap();
    let file = CaptureFile::open(&path).unwrap();
    let error = file.tensor(&TensorName::of_step(2, "flags")).unwrap_err().to_string();
    assert!(error.contains("the byte 2 at element 2"), "{error}");
}
