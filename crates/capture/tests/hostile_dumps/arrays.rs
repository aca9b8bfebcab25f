//! Arrays of NumPy's.

use crate::case::Case;

/// An array whose header is this text, followed by so many zeros.
pub(crate) fn array(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).expect("a short header").to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// A header of that dtype and shape.
pub(crate) fn header(descr: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n")
}

/// Two values.
pub(crate) fn small() -> Vec<u8> {
    array(&header("<f4", "(2,)"), 8)
}

pub(crate) fn cases() -> Vec<Case> {
    let file = |name, header: &str, data, says| Case::file(name, "a.npy", array(header, data), says);
    let whole = small();
    let mut claims_4_gib = b"\x93NUMPY\x02\x00\xff\xff\xff\xff{".to_vec();
    claims_4_gib.resize(100, b' ');
    let mut version = whole.clone();
    version[6] = 9;
    let mut truth = array(&header("|b1", "(2,)"), 1);
    truth.push(7);
    vec![
        Case::file("npy_half_a_file", "a.npy", whole[..whole.len() - 3].to_vec(), "half a file?"),
        Case::file("npy_half_a_header", "a.npy", whole[..20].to_vec(), "the header claims"),
        Case::file("npy_shorter_than_its_magic", "a.npy", whole[..4].to_vec(), "ends in the array's header"),
        Case::file("npy_empty_file", "a.npy", Vec::new(), "ends in the array's header"),
        Case::file("npy_of_something_else", "a.npy", b"no array".to_vec(), "not an array of NumPy's"),
        Case::file("npy_header_of_4_gib", "a.npy", claims_4_gib, "the header claims"),
        Case::file("npy_unknown_version", "a.npy", version, "version [9, 0]"),
        file("npy_more_than_its_shape", &header("<f4", "(2,)"), 9, "needs 8 bytes, 9 follow"),
        file(
            "npy_shape_of_an_exbibyte",
            &header("<f4", "(1152921504606846975,)"),
            8,
            "needs 4611686018427387900",
        ),
        file(
            "npy_shape_that_overflows",
            &header("<f4", "(9223372036854775807, 9)"),
            8,
            "than memory can address",
        ),
        file("npy_shape_that_is_negative", &header("<f4", "(-2,)"), 8, "the shape has"),
        file("npy_shape_of_rank_65", &header("<f4", &format!("({})", "1,".repeat(65))), 4, "more than 64"),
        file(
            "npy_header_that_computes",
            &header("<f4", "(2,)").replace("2,", "__import__('os')"),
            8,
            "the shape has",
        ),
        file("npy_of_objects", &header("|O", "(2,)"), 8, "Python objects"),
        file("npy_of_bfloat16", &header("<V2", "(2,)"), 4, "astype(numpy.float32)"),
        file("npy_of_complex_numbers", &header("<c8", "(1,)"), 8, "imaginary"),
        Case::file("npy_of_no_truth_value", "a.npy", truth, "BOOL holds the byte 7"),
    ]
}
