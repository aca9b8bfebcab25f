//! The folder of Hugging Face's debugger.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{fixture, read_fixture};
use crate::dump::{Dump, DumpError, Limits, read};

/// A copy of a folder that a test may change.
fn copy(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

fn read_copy(folder: &TempDir) -> Result<Dump, DumpError> {
    read(folder.path(), &Limits::default())
}

#[test]
fn modules_and_their_inputs_are_named_by_their_paths() {
    let dump = read_fixture("debugger_gpt2").unwrap();
    assert_eq!(dump.tensors["input_ids"].to_i64().unwrap(), [1, 2, 3]);
    assert_eq!(dump.tensors["logits"], dump.tensors["lm_head"]);
    assert_eq!(dump.tensors["logits"].shape, [1, 3, 16]);
    // The debugger prunes the middle layer from its tree of calls, and leaves the files.
    for layer in 0..3 {
        let tensor = |name: &str| &dump.tensors[&format!("transformer.h.{layer}.{name}")];
        assert_eq!(tensor("attn.c_attn").shape, [1, 3, 12]);
        assert_eq!(tensor("ln_1"), tensor("attn.input.0"));
        assert_eq!(tensor("attn.c_proj.input.0").shape, [1, 3, 4]);
    }
    assert!(dump.notes.is_empty(), "{:?}", dump.notes);
}

#[test]
fn llama_shows_what_it_is_given_by_keyword() {
    let dump = read_fixture("debugger_llama").unwrap();
    let tensor = |name: &str| &dump.tensors[&format!("model.layers.0.{name}")];
    assert_eq!(tensor("input_layernorm"), tensor("self_attn.input.hidden_states"));
    assert_eq!(tensor("self_attn.input.position_embeddings_0").shape, [1, 3, 2]);
    assert_eq!(dump.tensors["model.norm"], dump.tensors["lm_head.input.0"]);
}

#[test]
fn printed_tensors_are_no_tensors() {
    let error = read_fixture("debugger_printed").unwrap_err().to_string();
    assert!(error.contains("use_repr=False"), "{error}");
}

#[test]
fn a_file_that_the_tree_refers_to_must_be_there() {
    let folder = copy("debugger_llama");
    fs::remove_file(folder.path().join("LlamaForCausalLM.lm_head_outputs.safetensors")).unwrap();
    let error = read_copy(&folder).unwrap_err().to_string();
    assert!(error.contains("refers to \"LlamaForCausalLM.lm_head_outputs.safetensors\""), "{error}");
}

#[test]
fn a_file_must_have_the_shape_that_the_tree_says() {
    let folder = copy("debugger_llama");
    let file = |name: &str| folder.path().join(format!("LlamaForCausalLM.{name}.safetensors"));
    fs::copy(file("model.layers.0.mlp.up_proj_outputs"), file("lm_head_outputs")).unwrap();
    let error = read_copy(&folder).unwrap_err().to_string();
    assert!(error.contains("[1, 3, 16]") && error.contains("[1, 3, 6]"), "{error}");
}

#[test]
fn a_second_call_that_overwrote_the_first_is_noted() {
    let folder = copy("debugger_llama");
    let tree = tree(folder.path());
    let text = fs::read_to_string(&tree).unwrap();
    fs::write(&tree, format!("[{text}, {text}]")).unwrap();
    let dump = read_copy(&folder).unwrap();
    let note = "\"lm_head\" was written 2 times";
    assert!(dump.notes.iter().any(|found| found.contains(note)), "{:?}", dump.notes);
}

#[test]
fn a_tree_that_is_not_the_debuggers_is_refused() {
    for (from, to, reason) in [
        ("\"./Llama", "\"./../Llama", "expected a file beside the tree"),
        ("torch.Size([1, 3, 16])", "torch.Size([1, -3, 16])", "expected torch.Size"),
        ("{", "", "not the debugger's tree"),
    ] {
        let folder = copy("debugger_llama");
        let tree = tree(folder.path());
        let text = fs::read_to_string(&tree).unwrap();
        fs::write(&tree, text.replace(from, to)).unwrap();
        let error = read_copy(&folder).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn files_of_somebody_else_are_noted_and_two_models_refused() {
    let folder = copy("debugger_llama");
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let dump = read_copy(&folder).unwrap();
    assert!(dump.notes.iter().any(|note| note.contains("notes.txt: was not read")), "{:?}", dump.notes);
    fs::copy(tree(folder.path()), folder.path().join("Other_debug_tree_FULL_TENSORS.json")).unwrap();
    assert!(read_copy(&folder).unwrap_err().to_string().contains("the trees of 2 models"));
}

fn tree(folder: &Path) -> std::path::PathBuf {
    folder.join("LlamaForCausalLM_debug_tree_FULL_TENSORS.json")
}
