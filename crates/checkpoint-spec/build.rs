//! Lists the files of the families, so that a new one is a file or a folder and nothing else.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let families = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../graph/families");
    println!("cargo::rerun-if-changed={}", families.display());
    let mut files = Vec::new();
    collect(&families, &mut files)?;
    files.sort();
    let mut list = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&families)?.display().to_string();
        list += &format!("    ({name:?}, include_str!({file:?})),\n");
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("families.rs"), list + "]\n")?;
    Ok(())
}

/// The TOML files in a folder and below.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    Ok(())
}
