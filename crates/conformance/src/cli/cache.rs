//! `cache`: what is kept between runs, and how to be rid of it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::print;
use harness::cache::{LIMIT, contents, prune};
use harness::place::Place;

const EXAMPLES: &str = "\
Examples:
  cargo xtask cache                what is kept, and how much
  cargo xtask cache --limit 2e9    remove what was used longest ago, down to 2 GB
  cargo xtask cache --clear        remove every kept capture";

/// What `cache` takes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Remove what was used longest ago until no more than so many bytes are left
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    limit: Option<u64>,
    /// Remove every kept capture
    #[arg(long, conflicts_with = "limit")]
    clear: bool,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let place = Place::find()?;
    let folder = place.captures();
    let limit = if arguments.clear { Some(0) } else { arguments.limit };
    let removed = limit.map(|limit| prune(&folder, limit)).transpose()?;
    print(&described(&folder, removed)?)
}

fn described(folder: &Path, removed: Option<u64>) -> Result<String> {
    let kept = contents(folder)?;
    let total: u64 = kept.iter().map(|file| file.bytes).sum();
    let removed = removed.map_or_else(String::new, |removed| format!("removed   {}\n", size(removed)));
    Ok(format!(
        "{removed}captures  {} files, {}, of at most {} after a run\nfolder    {}\n",
        kept.len(),
        size(total),
        size(LIMIT),
        folder.display()
    ))
}

#[expect(clippy::cast_precision_loss, reason = "a size for people")]
fn size(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

/// A whole number of bytes, `2000000000` or `2e9`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be a whole number in range"
)]
fn bytes(text: &str) -> Result<u64, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is no number of bytes"))?;
    if number.is_finite() && (0.0..9e15).contains(&number) && number.fract() == 0.0 {
        Ok(number as u64)
    } else {
        Err(format!("`{text}` is no whole number of bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_whole_numbers() {
        assert_eq!((bytes("2e9"), bytes("12")), (Ok(2_000_000_000), Ok(12)));
        for wrong in ["-1", "1.5", "many", "NaN", "1e300"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
