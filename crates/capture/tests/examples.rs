//! The examples that ports copy do what they say.

use std::process::Command;

use capture::dump::{Limits, read};

#[test]
fn the_standalone_dump_is_read_as_it_was_put_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump.safetensors");
    // Cargo builds the examples of a package with its tests: `deps/examples-…` beside `examples/`.
    let test = std::env::current_exe().unwrap();
    let example = test.ancestors().nth(2).unwrap().join("examples/standalone_dump");
    assert!(Command::new(example).arg(&path).status().unwrap().success());
    let dump = read(&path, &Limits::default()).unwrap();
    assert_eq!(dump.tensors["logits"].to_f32().unwrap(), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(dump.tensors["h.0.ln_1"].shape, [1, 2, 3]);
}
