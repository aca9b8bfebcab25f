//! Folders.

use crate::arrays::small;
use crate::case::Case;
use crate::safetensors::one;

pub(crate) fn cases() -> Vec<Case> {
    let half = one("b")[..40].to_vec();
    vec![
        Case::folder("folder_without_files", Vec::new(), "no tensor found"),
        Case::folder(
            "folder_without_dumps",
            vec![("notes.txt", b"mine".to_vec())],
            "notes.txt: was not read",
        ),
        Case::folder(
            "folder_with_two_tensors_of_one_name",
            vec![("1.safetensors", one("a")), ("2.safetensors", one("a"))],
            "two tensors have the name \"a\"",
        ),
        Case::folder(
            "folder_with_one_name_in_two_formats",
            vec![("a.npy", small()), ("b.safetensors", one("a"))],
            "two tensors have the name \"a\"",
        ),
        Case::folder(
            "folder_with_half_a_file",
            vec![("a.safetensors", one("a")), ("b.safetensors", half)],
            "b.safetensors: the header claims",
        ),
        Case::file("file_of_something_else", "a.txt", b"logits: 1.0 2.0".to_vec(), "none of the formats"),
        Case::file("file_without_bytes", "a", Vec::new(), "none of the formats"),
    ]
}
