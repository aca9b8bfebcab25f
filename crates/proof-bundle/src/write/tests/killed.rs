//! A writer that is killed, as by `kill -9`, at any moment.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::fixtures::Run;
use crate::{Digest, heads, moments, verify, write};

const SHELF: &str = "TRIALPLATE_END_SHELF";
const NAME: &str = "write::tests::killed::a_writer_that_is_killed_leaves_no_half_bundle_and_blocks_nobody";
const KILLS: u64 = 100;

/// Has another process write into `shelf`; how many moments it passed, or none when it was killed.
fn another_writes(shelf: &Path, end_at: Option<u64>) -> Option<u64> {
    let mut writer = Command::new(std::env::current_exe().unwrap());
    writer.args(["--exact", NAME, "--nocapture"]).env(SHELF, shelf);
    if let Some(moment) = end_at {
        writer.env(moments::AT, moment.to_string());
    }
    let output = writer.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let passed = text.lines().find_map(|line| line.split("moments passed: ").nth(1)?.trim().parse().ok());
    assert_eq!(output.status.success(), passed.is_some(), "{text}");
    passed
}

/// The bundles that anybody would see, each of which must hold.
fn sound_bundles(shelf: &Path) -> usize {
    let names = heads::folders(shelf).unwrap_or_default();
    for name in &names {
        assert_eq!(verify(&shelf.join(name)).unwrap().problems, [], "{name}");
    }
    names.len()
}

#[test]
fn a_writer_that_is_killed_leaves_no_half_bundle_and_blocks_nobody() {
    if let Some(shelf) = std::env::var_os(SHELF) {
        write(Path::new(&shelf), &Run::new().contents()).unwrap();
        println!("moments passed: {}", moments::passed());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let moments = [false, true].map(|replaces| {
        let shelf = folder.path().join(format!("counted-{replaces}"));
        if replaces {
            another_writes(&shelf, None).unwrap();
        }
        another_writes(&shelf, None).unwrap()
    });
    let (mut later, mut before) = (Run::new(), Run::new());
    later.day += Duration::from_secs(86_400);
    before.day -= Duration::from_secs(86_400);
    let mut interrupted = 0;
    for seed in 0..KILLS {
        let replaces = seed % 2 == 1;
        let shelf = folder.path().join(format!("{seed}"));
        if replaces {
            write(&shelf, &before.contents()).unwrap();
        }
        let random = Digest::of(&seed.to_le_bytes()).to_string();
        let moment = u64::from_str_radix(&random[..12], 16).unwrap() % moments[usize::from(replaces)];
        assert_eq!(another_writes(&shelf, Some(moment)), None, "seed {seed}: moment {moment}");
        interrupted += usize::from(sound_bundles(&shelf) == 0);
        write(&shelf, &later.contents()).unwrap();
        assert_eq!(sound_bundles(&shelf), 1);
        let hidden = std::fs::read_dir(&shelf).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = hidden.filter(|name| name.to_string_lossy().starts_with('.')).collect();
        assert_eq!(left, [".lock"], "seed {seed}: moment {moment}");
    }
    assert!(interrupted > 0, "no writer was killed before its bundle was in place");
}
