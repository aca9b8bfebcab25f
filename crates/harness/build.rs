//! Tells the program how it was compiled, for the materials of its bundles.

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = Command::new(env::var("RUSTC")?).arg("-V").output()?;
    // `target/<profile>/build/<package>/out`: the variable PROFILE names only the profile that another one inherits from.
    let out = env::var("OUT_DIR")?;
    let profile = Path::new(&out).ancestors().nth(3).and_then(Path::file_name).ok_or("no profile")?;
    let profile = if profile == "debug" { "dev".into() } else { profile.to_string_lossy() };
    for (name, value) in [
        ("RUSTC", String::from_utf8(rustc.stdout)?.trim()),
        ("PROFILE", &profile),
        ("TARGET", &env::var("TARGET")?),
        ("OPT_LEVEL", &env::var("OPT_LEVEL")?),
        ("FEATURES", &env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default()),
    ] {
        println!("cargo::rustc-env=TRIALPLATE_BUILD_{name}={value}");
    }
    Ok(())
}
