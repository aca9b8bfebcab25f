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
        indexed(
            "index_of_a_shard_that_is_missing",
            r#"{"weight_map":{"b":"2.safetensors"}}"#,
            "2.safetensors",
        ),
        indexed(
            "index_of_a_tensor_that_is_missing",
            r#"{"weight_map":{"b":"1.safetensors"}}"#,
            "tensor \"b\"",
        ),
        indexed("index_that_lacks_a_tensor", r#"{"weight_map":{}}"#, "says nothing of"),
        indexed(
            "index_with_one_name_twice",
            r#"{"weight_map":{"a":"1.safetensors","a":"1.safetensors"}}"#,
            "comes twice",
        ),
        indexed("index_without_a_map", "{}", "weight_map"),
        indexed("index_that_is_half_a_file", r#"{"weight_map":{"a":"#, "EOF"),
        Case::file("file_of_something_else", "a.txt", b"logits: 1.0 2.0".to_vec(), "none of the formats"),
        Case::file("file_without_bytes", "a", Vec::new(), "none of the formats"),
    ]
}

/// A folder of one shard and an index.
fn indexed(name: &'static str, index: &str, says: &'static str) -> Case {
    let index = ("model.safetensors.index.json", index.as_bytes().to_vec());
    Case::folder(name, vec![("1.safetensors", one("a")), index], says)
}
