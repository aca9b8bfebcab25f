mod debugger;
mod real;

use std::path::{Path, PathBuf};

use super::{Dump, DumpError, Limits, read};

/// Dumps that the real libraries wrote; see `make.py` there.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps").join(name)
}

fn read_fixture(name: &str) -> Result<Dump, DumpError> {
    read(&fixture(name), &Limits::default())
}
