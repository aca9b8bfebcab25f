//! Safetensors.

use crate::case::Case;

/// A file with this header, followed by so many zeros.
pub(crate) fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// A file of one tensor with two values.
pub(crate) fn one(name: &str) -> Vec<u8> {
    file(&format!("{{{}}}", tensor(name, "F32", "[2]", 0, 8)), 8)
}

fn tensor(name: &str, dtype: &str, shape: &str, start: u64, end: u64) -> String {
    format!("\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[{start},{end}]}}")
}

fn of(tensors: &[String], data: usize) -> Vec<u8> {
    file(&format!("{{{}}}", tensors.join(",")), data)
}

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, bytes, says| Case::file(name, "a.safetensors", bytes, says);
    let two = |first: String, second: String| of(&[first, second], 16);
    let a = || tensor("a", "F32", "[2]", 0, 8);
    let whole = one("a");
    let mut of_8_eib = whole.clone();
    of_8_eib[..8].copy_from_slice(&(1u64 << 63).to_le_bytes());
    let mut truth = of(&[tensor("a", "BOOL", "[2]", 0, 2)], 1);
    truth.push(2);
    vec![
        case("safetensors_header_of_8_eib", of_8_eib, "the header claims 9223372036854775808 bytes"),
        case("safetensors_half_a_file", whole[..whole.len() - 1].to_vec(), "7 follow the header"),
        case("safetensors_half_a_header", whole[..30].to_vec(), "the header claims"),
        case("safetensors_empty_file", Vec::new(), "0 bytes long"),
        case(
            "safetensors_two_tensors_of_one_name",
            two(a(), tensor("a", "F32", "[2]", 8, 16)),
            "\"a\" comes twice",
        ),
        case("safetensors_overlap", two(a(), tensor("b", "F32", "[2]", 4, 12)), "without hole or overlap"),
        case("safetensors_hole", two(a(), tensor("b", "F32", "[1]", 12, 16)), "without hole or overlap"),
        case("safetensors_more_than_its_tensors", of(&[a()], 16), "16 follow the header"),
        case("safetensors_shape_of_other_bytes", of(&[tensor("a", "F32", "[3]", 0, 8)], 8), "needs 12 bytes"),
        case(
            "safetensors_shape_that_overflows",
            of(&[tensor("a", "F32", "[4294967296,4294967296]", 0, 8)], 8),
            "memory",
        ),
        case(
            "safetensors_unknown_dtype",
            of(&[tensor("a", "F8_E4M3", "[8]", 0, 8)], 8),
            "is \"F8_E4M3\", expected one of",
        ),
        case("safetensors_of_no_truth_value", truth, "BOOL holds the byte 2"),
        case("safetensors_name_that_leads_out", one("../../etc/passwd"), "lead out of a folder"),
        case("safetensors_name_from_the_root", one("/etc/passwd"), "lead out of a folder"),
        case("safetensors_name_with_an_escape", one("\\u001b[2J"), "control characters"),
        case("safetensors_name_without_end", one(&"a".repeat(5000)), "the name has 5000 bytes"),
        case("safetensors_empty_name", one(""), "the name is empty"),
        case("safetensors_without_tensors", file("{}", 0), "no tensor found"),
    ]
}
